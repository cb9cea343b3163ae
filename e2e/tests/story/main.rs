//! The whole story with clicks, on the lab: first administrator, key pair, hosts, cluster, bootstrap with a
//! panel that is killed twice on the way, and what the hosts themselves say at the end.
//!
//! One test, because each chapter stands on the one before. Pictures of it lie in `target/e2e`.

mod crash;
mod day2;
mod drill;
mod enrol;
mod failures;
mod gate;
mod health;
mod log;
mod looks;
mod once;
mod people;
mod secrets;
mod setup;

use anyhow::{Context, Result, bail};
use coxswain_e2e::browser::Browser;
use coxswain_e2e::environment::Environment;
use coxswain_e2e::lab::Lab;
use coxswain_e2e::panel::Panel;
use tokio::signal::unix::{SignalKind, signal};

/// The servers of the story, the first one first.
const SERVERS: [&str; 3] = ["node1", "node2", "node3"];
/// A host that is in no cluster.
const SPARE: &str = "node4";
/// The host with HAProxy.
const BALANCER: &str = "lb";
/// A name that the API's certificate must carry besides the addresses.
const SAN: &str = "k3s.lab.test";
/// The cluster's name.
const CLUSTER: &str = "lab";

/// What all chapters work with.
struct Story {
    lab: Lab,
    panel: Panel,
    browser: Browser,
}

#[test]
fn from_bare_hosts_to_a_cluster_that_answers() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let result: Result<()> = runtime.block_on(async {
        let environment = Environment::read()?;
        let panel = Panel::start(&environment.programs).await?;
        let browser = Browser::start(environment.shots.clone()).await?;
        let mut story = Story {
            lab: environment.lab,
            panel,
            browser,
        };
        let told = tokio::select! {
            told = tell(&mut story) => told,
            // Whoever ends the test must not leave panel and browser behind.
            interrupted = interrupted() => interrupted,
        };
        if told.is_err() {
            // A browser that does not even give a picture must not hide the failure itself.
            story.browser.shot("failure").await.ok();
            story
                .browser
                .page_text()
                .await
                .map(|text| eprintln!("the page says:\n{text}\n"))
                .ok();
            story
                .browser
                .console()
                .await
                .map(|entries| eprintln!("its console: {entries:#?}"))
                .ok();
            story
                .panel
                .log()
                .map(|log| eprintln!("the panel's log:\n{log}"))
                .ok();
        }
        let closed = story.browser.close().await.context("close the browser");
        told.and(closed)
    });
    if let Err(error) = result {
        panic!("{error:#}");
    }
}

/// Waits for Ctrl-C or SIGTERM; the answer is always an error.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}

async fn tell(story: &mut Story) -> Result<()> {
    setup::first_administrator(story).await.context("set-up")?;
    enrol::hosts(story).await.context("enrolment")?;
    enrol::cluster(story).await.context("the cluster's form")?;
    let run = gate::start(story).await.context("starting the run")?;
    let token_free = crash::approve_and_kill(story, &run)
        .await
        .context("the run")?;
    gate::completed(story, &run)
        .await
        .context("the run's end")?;
    log::every_line_once(story, &run)
        .await
        .context("the log in the browser")?;
    health::assert(story).await.context("the hosts")?;
    once::installers(story, &run).await.context("installers")?;
    secrets::assert(story, &token_free)
        .await
        .context("secrets")?;
    failures::tell(story).await.context("what goes wrong")?;
    day2::tell(story).await.context("the days after")?;
    drill::tell(story).await.context("a failover drill")?;
    looks::pages(story, &run)
        .await
        .context("pictures of all pages")?;
    people::viewer(story, &run).await.context("a viewer")
}
