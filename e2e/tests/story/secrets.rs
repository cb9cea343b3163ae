//! Where the cluster's token must not be: unit files, process lists, the panel's files and log, the page.
//! And the audit trail holds.

use anyhow::{Context, Result, ensure};

use super::crash::Overheard;
use super::{BALANCER, SERVERS, Story};

pub(crate) async fn assert(story: &Story, overheard: &Overheard) -> Result<()> {
    let token = story
        .lab
        .ssh(SERVERS[0], "cat /var/lib/rancher/k3s/server/token")
        .await?;
    // The last part is the secret one; the rest is a hash of the public CA.
    let secret = token.trim().rsplit(':').next().context("a token")?;
    ensure!(secret.len() >= 16, "the token's form is not as expected");
    for (place, text) in &overheard.places {
        ensure!(!text.contains(secret), "the token shows in {place}");
    }
    for server in SERVERS {
        let script = "cat /etc/systemd/system/k3s.service; ps axww -o args=; journalctl -q --no-pager -o cat; \
                      stat -c 'mode %a' /etc/systemd/system/k3s.service.env";
        let said = story.lab.ssh(server, script).await?;
        ensure!(
            !said.contains(secret),
            "the token shows in unit file, process list or journal of {server}"
        );
        ensure!(
            said.contains("mode 600"),
            "the .env file of {server} can be read by others"
        );
    }
    let balancer = story
        .lab
        .ssh(BALANCER, "cat /etc/haproxy/haproxy.cfg")
        .await?;
    ensure!(!balancer.contains(secret), "the token shows in haproxy.cfg");
    story.panel.keeps_secret(secret)?;
    let page = story
        .browser
        .script("return document.documentElement.outerHTML", Vec::new())
        .await?;
    ensure!(
        !page.to_string().contains(secret),
        "the token shows in the page"
    );
    audit(story).await
}

async fn audit(story: &Story) -> Result<()> {
    let output = story.panel.command(&["audit", "verify"]).await?;
    ensure!(output.code == Some(0), "audit verify: {output:?}");
    story.browser.click("nav-audit").await?;
    story.browser.see("audit-intact").await?;
    story.browser.shot("16-audit").await?;
    story.browser.no_faults().await
}
