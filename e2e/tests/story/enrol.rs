//! Hosts: a generated key pair is authorised by hand, fingerprints are compared with the hosts' own, and
//! every connection test ends green. Then the cluster's form.

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::SOON;

use super::{BALANCER, CLUSTER, SERVERS, SPARE, Story};

/// Every check of the connection test, in order.
const CHECKS: [&str; 5] = ["resolve", "connect", "host_key", "authenticate", "sudo"];

pub(crate) async fn hosts(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-hosts").await?;
    browser.click("host-add").await?;
    browser.see("host-dialog").await?;
    generate_key_pair(story).await?;
    for (n, name) in SERVERS.into_iter().chain([BALANCER]).enumerate() {
        if n > 0 {
            browser.click("host-add").await?;
        }
        enrol(story, name).await.with_context(|| name.to_owned())?;
    }
    browser.shot("05-hosts").await?;
    browser.no_faults().await
}

/// The host that joins later; its key is authorised already.
pub(crate) async fn spare(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-hosts").await?;
    browser.click("host-add").await?;
    enrol(story, SPARE).await?;
    browser.no_faults().await
}

/// Does with the public key what a person does with it: runs the shown command on every host.
async fn generate_key_pair(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.fill("field-ssh_user", &story.lab.user).await?;
    browser.fill("field-credential-name", "lab").await?;
    browser.click("credential-create").await?;
    let key = browser.hidden_text("credential-public-key").await?;
    ensure!(
        key.trim().starts_with("ssh-ed25519 "),
        "not a public key: {key}"
    );
    let command = browser.text("credential-command").await?;
    ensure!(
        command.contains(key.trim()),
        "the command carries another key"
    );
    browser.shot("03-key-pair").await?;
    for name in SERVERS.into_iter().chain([BALANCER, SPARE]) {
        story.lab.as_user(name, &command).await?;
    }
    Ok(())
}

async fn enrol(story: &Story, name: &str) -> Result<()> {
    let browser = &story.browser;
    let host = story.lab.host(name)?;
    browser.fill("field-name", name).await?;
    browser.fill("field-ssh_address", &host.address).await?;
    browser
        .fill("field-ssh_port", &host.ssh_port.to_string())
        .await?;
    browser.fill("field-ssh_user", &story.lab.user).await?;
    browser.click("host-save").await?;

    let shown = browser.text("host-fingerprint").await?;
    let own = story.lab.fingerprints(name).await?;
    let seen: Vec<&str> = shown
        .split_whitespace()
        .filter(|word| word.starts_with("SHA256:"))
        .collect();
    ensure!(!seen.is_empty(), "no fingerprint on screen: {shown}");
    for fingerprint in &seen {
        ensure!(
            own.iter().any(|own| own == fingerprint),
            "{fingerprint} is not the host's: {own:?}"
        );
    }
    browser.shot(&format!("04-fingerprint-{name}")).await?;
    browser.click("host-scan-confirm").await?;

    for check in CHECKS {
        browser
            .expect(&format!("host-check-{check}"), "data-state", "ok", SOON)
            .await?;
    }
    browser.shot(&format!("04-tested-{name}")).await?;
    browser.click("host-done").await?;
    browser.gone("host-done").await?;
    let row = format!("host-row-{name}");
    browser
        .expect(&row, "data-enrolment", "pinned", SOON)
        .await?;
    browser.expect(&row, "data-test", "passed", SOON).await
}

pub(crate) async fn cluster(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-clusters").await?;
    browser.click("cluster-new").await?;
    browser.fill("field-name", CLUSTER).await?;
    browser
        .fill("field-endpoint", &story.lab.host(BALANCER)?.address)
        .await?;
    for server in SERVERS {
        browser
            .choose(&format!("member-role-{server}"), "server")
            .await?;
    }
    browser
        .choose(&format!("member-role-{BALANCER}"), "load_balancer")
        .await?;
    browser.shot("06-new-cluster").await?;
    browser.click("cluster-create").await?;
    browser.see("cluster-action-bootstrap").await?;
    browser.shot("07-planned-cluster").await?;
    browser.no_faults().await
}
