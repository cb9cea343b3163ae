//! What people do on the days after, on the cluster's page: where the names come from, a look by keyboard, files for
//! themselves, the guide when a server is away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::SOON;
use coxswain_e2e::wait::until;
use fantoccini::key::Key;
use sha2::{Digest as _, Sha256};

use super::gate::{self, Run};
use super::{BALANCER, CLUSTER, SAN, SERVERS, Story, health, log, looks};

/// Time a look may take on a busy machine.
const SOME: Duration = Duration::from_secs(120);
/// A kubeconfig that somebody has already.
const MINE: &str = "apiVersion: v1
kind: Config
current-context: mine
clusters:
- name: mine
  cluster:
    server: https://mine.test:6443
users:
- name: mine
  user: {}
contexts:
- name: mine
  context:
    cluster: mine
    user: mine
";
/// Most presses of Tab that lead anywhere on a page.
const FAR: usize = 150;

pub(crate) async fn tell(story: &Story) -> Result<()> {
    names(story).await.context("names in the certificate")?;
    nodes(story).await.context("the nodes by one key")?;
    kubeconfigs(story).await.context("kubeconfigs")?;
    snapshot(story).await.context("a snapshot")?;
    lost_member(story).await.context("a server is away")?;
    story.browser.no_faults().await
}

pub(crate) async fn cluster_page(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.click("nav-clusters").await?;
    browser.click(&format!("cluster-card-{CLUSTER}")).await?;
    browser.see("cluster-quorum").await?;
    browser.settled().await
}

/// Goes on with Tab until something has the focus.
async fn tab_to(story: &Story, testid: &str) -> Result<()> {
    for _ in 0..FAR {
        if story.browser.focused().await?.as_deref() == Some(testid) {
            return Ok(());
        }
        story.browser.press(&Key::Tab.to_string()).await?;
    }
    anyhow::bail!("Tab does not lead to `{testid}`")
}

async fn press(story: &Story, key: Key) -> Result<()> {
    story.browser.press(&key.to_string()).await
}

/// The run whose page is open.
async fn opened(story: &Story) -> Result<Run> {
    let browser = &story.browser;
    browser.see("run-status").await?;
    let address = browser.address().await?;
    let number = address.rsplit("/runs/").next();
    let id = number.and_then(|rest| rest.split(['?', '#']).next()?.parse().ok());
    Ok(Run {
        id: id.with_context(|| format!("no run in {address}"))?,
        installs: Vec::new(),
    })
}

async fn names(story: &Story) -> Result<()> {
    cluster_page(story).await?;
    let address = &story.lab.host(SERVERS[0])?.address;
    let wanted = [
        (SAN.to_owned(), "flag, on"),
        (address.clone(), "address of node1"),
        ("kubernetes.default.svc".to_owned(), "k3s's own"),
    ];
    for (name, origin) in wanted {
        let row = format!("san-{name}");
        until(&format!("{name}: {origin}"), SOON, async || {
            let text = story.browser.hidden_text(&row).await?;
            ensure!(text.contains(origin), "it says {text}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}

/// What the cluster says, started with Tab and Enter.
async fn nodes(story: &Story) -> Result<()> {
    cluster_page(story).await?;
    looks::both_themes(story, "21-cluster").await?;
    tab_to(story, "look-nodes").await?;
    press(story, Key::Enter).await?;
    opened(story).await?;
    gate::reach(story, "completed", SOME).await?;
    let version = story
        .lab
        .ssh(
            SERVERS[0],
            "k3s --version | sed -n 's/^k3s version \\([^ ]*\\).*/\\1/p'",
        )
        .await?;
    let shown = log::of_step(story, 0).await?;
    for server in SERVERS {
        let line = shown.iter().find(|line| line.starts_with(server));
        let line = line.with_context(|| format!("no line for {server}: {shown:?}"))?;
        ensure!(
            line.contains(" Ready ") && line.contains(version.trim()),
            "{server}: {line}"
        );
    }
    story.browser.shot("21-nodes").await
}

/// The text without quotes, which a writer of YAML may set or leave out.
fn plain(file: Vec<u8>) -> Result<String> {
    Ok(String::from_utf8(file)?.replace(['"', '\''], ""))
}

/// The one line of a kubeconfig that may be printed.
fn current(kubeconfig: &str) -> Option<&str> {
    kubeconfig
        .lines()
        .find(|line| line.starts_with("current-context"))
}

/// One for this cluster, and one that keeps what a person had.
async fn kubeconfigs(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let endpoint = format!("https://{}:6443", story.lab.host(BALANCER)?.address);
    cluster_page(story).await?;
    browser.click("cluster-kubeconfig").await?;
    browser.see("kubeconfig-dialog").await?;
    looks::both_themes(story, "22-kubeconfig").await?;
    browser.click("kubeconfig-download").await?;
    let saved = plain(browser.saved(&format!("{CLUSTER}.yaml")).await?)?;
    for words in [endpoint.as_str(), &format!("current-context: {CLUSTER}")] {
        ensure!(
            saved.contains(words),
            "no {words}, but {:?}",
            current(&saved)
        );
    }

    browser.click("kubeconfig-mode-into").await?;
    browser.fill("field-into", "no kubeconfig").await?;
    browser.click("kubeconfig-download").await?;
    browser
        .expect("field-into", "aria-invalid", "true", SOON)
        .await?;
    // The browser notes the refusal in its console: it was wanted.
    browser.console().await.map(drop)?;
    browser.fill("field-into", MINE).await?;
    browser.click("kubeconfig-download").await?;
    let saved = plain(browser.saved("kubeconfig.yaml").await?)?;
    for words in [
        endpoint.as_str(),
        "https://mine.test:6443",
        "current-context: mine",
        &format!("name: {CLUSTER}"),
    ] {
        ensure!(
            saved.contains(words),
            "no {words}, but {:?}",
            current(&saved)
        );
    }
    press(story, Key::Escape).await?;
    browser.gone("kubeconfig-dialog").await?;
    browser.click("nav-audit").await?;
    browser.settled().await?;
    let audit = browser.page_text().await?;
    ensure!(audit.contains("ubeconfig"), "no download is noted: {audit}");
    browser.no_faults().await
}

/// Saved by the form, listed on the cluster's page, and the browser has the same file as the server.
async fn snapshot(story: &Story) -> Result<()> {
    let browser = &story.browser;
    cluster_page(story).await?;
    browser.click("cluster-action-snapshot").await?;
    browser.choose("field-action", "save").await?;
    browser.click("plan-show").await?;
    browser.click("run-start").await?;
    browser.see("run-status").await?;
    gate::reach(story, "completed", SOME).await?;
    looks::both_themes(story, "22-snapshot-run").await?;

    cluster_page(story).await?;
    let clusters = browser.json("/api/v1/clusters").await?;
    let id = clusters[0]["id"].as_i64().context("the cluster's number")?;
    let path = format!("/api/v1/clusters/{id}/snapshots");
    let known = browser.json(&path).await?;
    let newest = &known[0];
    let name = newest["path"].as_str().and_then(|p| p.rsplit('/').next());
    let name = name.with_context(|| format!("no name: {newest}"))?;
    browser.click("snapshot-download").await?;
    let saved = browser.saved(name).await?;
    let path = newest["path"].as_str().context("a path")?;
    let server = newest["server"].as_str().context("a server")?;
    let sum = story
        .lab
        .ssh(server, &format!("sha256sum <'{path}' | cut -d' ' -f1"))
        .await?;
    let own = format!("{:x}", Sha256::digest(&saved));
    ensure!(sum.trim() == own, "{server} has {sum}, the browser {own}");
    looks::both_themes(story, "22-snapshots").await
}

/// The page leads to the procedure for one lost member, with the server filled in, and forgets it when k3s is back.
async fn lost_member(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let away = SERVERS[1];
    story.lab.ssh(away, "systemctl stop k3s").await?;
    cluster_page(story).await?;
    browser.see_within("recovery-guide", SOME).await?;
    let guide = browser.text("recovery-guide").await?;
    ensure!(
        guide.contains(&format!("{away} does not take part in etcd"))
            && guide.contains("no reason to restore"),
        "the guide says {guide}"
    );
    looks::both_themes(story, "22-member-lost").await?;
    browser.click("recovery-action").await?;
    browser.see("plan-show").await?;
    browser.settled().await?;
    looks::both_themes(story, "22-replace-form").await?;
    let form = browser.page_text().await?;
    ensure!(form.contains(away), "{away} is not filled in: {form}");
    story.lab.ssh(away, "systemctl start k3s").await?;
    cluster_page(story).await?;
    until("the guide has gone", SOME, async || {
        let shown = browser.is_shown("recovery-guide").await?;
        Ok((!shown).then_some(()))
    })
    .await?;
    health::assert(story).await
}
