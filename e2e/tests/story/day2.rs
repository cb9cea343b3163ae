//! What people do on the days after, on the cluster's page: where the names come from, and a look by keyboard.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::SOON;
use coxswain_e2e::wait::until;
use fantoccini::key::Key;

use super::gate::{self, Run};
use super::{CLUSTER, SAN, SERVERS, Story, log, looks};

/// Time a look may take on a busy machine.
const SOME: Duration = Duration::from_secs(120);
/// Most presses of Tab that lead anywhere on a page.
const FAR: usize = 150;

pub(crate) async fn tell(story: &Story) -> Result<()> {
    names(story).await.context("names in the certificate")?;
    nodes(story).await.context("the nodes by one key")?;
    story.browser.no_faults().await
}

async fn cluster_page(story: &Story) -> Result<()> {
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
