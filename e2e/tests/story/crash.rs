//! The panel is killed while installers run: once it comes back while the installer still runs, once when
//! it has ended meanwhile. The page stays open all the time.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use coxswain_e2e::browser::SOON;
use coxswain_e2e::console::Entry;
use coxswain_e2e::held;
use coxswain_e2e::wait::until;
use fantoccini::key::Key;
use serde_json::Value;

use super::gate::{self, BOOTSTRAP, Run};
use super::{SERVERS, Story, log, looks};

/// What a word would show in if it were a secret: the process lists of hosts while an installer runs.
pub(crate) struct Overheard {
    pub(crate) places: Vec<(String, String)>,
}

/// Approves, then kills the panel at the second and at the third server.
pub(crate) async fn approve_and_kill(story: &mut Story, run: &Run) -> Result<Overheard> {
    let mut overheard = Overheard { places: Vec::new() };
    gate::approve(story).await?;
    // A page that loads anew would lose this.
    story
        .browser
        .script("window.storyBegan = true", Vec::new())
        .await?;

    let job = hold(story, run, SERVERS[1]).await?;
    story.browser.shot("12-installing").await?;
    listen(story, SERVERS[1], &mut overheard).await?;
    kill(story).await?;
    ensure!(
        running(story, SERVERS[1], &job).await?,
        "the installer did not outlive the panel"
    );
    come_back(story).await?;
    story.browser.shot("14-back").await?;
    let state = story
        .browser
        .attribute(
            &format!("step-{}", run.install_on(SERVERS[1])?),
            "data-state",
        )
        .await?;
    ensure!(
        state.as_deref() == Some("running"),
        "the step with the held installer is {state:?}"
    );
    stop_and_go_on(story, &job).await?;

    let job = hold(story, run, SERVERS[2]).await?;
    listen(story, SERVERS[2], &mut overheard).await?;
    kill(story).await?;
    held::release(&story.lab, SERVERS[2], &job).await?;
    let output = whole_output(story, SERVERS[2], &job).await?;
    come_back(story).await?;
    let step = run.install_on(SERVERS[2])?;
    story
        .browser
        .expect(
            &format!("step-{step}"),
            "data-state",
            "succeeded",
            BOOTSTRAP,
        )
        .await?;
    let lines = log::of_step(story, step).await?;
    let own: Vec<&str> = output.lines().collect();
    ensure!(
        lines == own,
        "the job wrote {own:#?}, the browser shows {lines:#?}"
    );
    Ok(overheard)
}

/// A person stops the run, reads what undoing it would mean, and goes on instead.
async fn stop_and_go_on(story: &Story, job: &str) -> Result<()> {
    let browser = &story.browser;
    browser.click("run-stop").await?;
    browser.click("run-confirm").await?;
    held::release(&story.lab, SERVERS[1], job).await?;
    gate::reach_trouble(story, "stopped", BOOTSTRAP).await?;
    browser.click("run-unwind").await?;
    let undo = browser.text("run-dialog").await?;
    ensure!(
        undo.contains("remove k3s") && undo.contains(SERVERS[1]) && !undo.contains(SERVERS[2]),
        "the undo plan does not say what it does: {undo}"
    );
    looks::both_themes(story, "14-undo").await?;
    browser.fill("field-confirm", "another").await?;
    browser.click("run-confirm").await?;
    browser
        .expect("field-confirm", "aria-invalid", "true", SOON)
        .await?;
    browser.press(&Key::Escape.to_string()).await?;
    browser.gone("run-dialog").await?;
    browser.click("run-retry").await?;
    let doing = browser.text("run-collecting").await?;
    ensure!(
        doing.contains("Collecting the evidence again"),
        "the page says: {doing}"
    );
    looks::both_themes(story, "14-collecting").await?;
    Ok(())
}

pub(crate) async fn hold(story: &Story, run: &Run, server: &str) -> Result<String> {
    let job = tokio::select! {
        job = held::installer(&story.lab, server, BOOTSTRAP) => job?,
        // A run that fails on the way never gets here.
        trouble = gate::trouble(story, BOOTSTRAP) => bail!("the run is {}", trouble?),
    };
    let step = run.install_on(server)?;
    ensure!(
        job == format!("{}-{}-1", run.id, step + 1),
        "the job is {job}, the step {}",
        step + 1
    );
    story
        .browser
        .expect(&format!("step-{step}"), "data-state", "running", SOON)
        .await?;
    Ok(job)
}

async fn running(story: &Story, server: &str, job: &str) -> Result<bool> {
    let look = format!(
        "systemctl is-active coxswain-{job}.service || true; ls /var/lib/coxswain/jobs/{job}"
    );
    let said = story.lab.ssh(server, &look).await?;
    let words: Vec<&str> = said.split_whitespace().collect();
    Ok(words.first() == Some(&"active") && !words.contains(&"exit"))
}

/// The job's own file, once the job has ended.
async fn whole_output(story: &Story, server: &str, job: &str) -> Result<String> {
    let folder = format!("/var/lib/coxswain/jobs/{job}");
    until(
        "the installer's end",
        Duration::from_secs(120),
        async || {
            let ended = story
                .lab
                .try_ssh(server, &format!("test -e {folder}/exit"))
                .await?;
            Ok((ended.code == Some(0)).then_some(()))
        },
    )
    .await?;
    story.lab.ssh(server, &format!("cat {folder}/output")).await
}

/// Kills the panel and waits until the page says so.
async fn kill(story: &mut Story) -> Result<()> {
    story.browser.no_faults().await?;
    story.panel.kill().await?;
    story.browser.see("link-banner").await?;
    story.browser.shot("13-disconnected").await
}

/// Starts the panel again and waits until the page has found it, without help.
async fn come_back(story: &mut Story) -> Result<()> {
    story.panel.launch().await?;
    story
        .browser
        .expect("link-state", "data-state", "live", Duration::from_secs(60))
        .await?;
    story.browser.gone("link-banner").await?;
    let same = story
        .browser
        .script("return window.storyBegan === true", Vec::new())
        .await?;
    ensure!(same == Value::Bool(true), "the page was loaded anew");
    let faults: Vec<Entry> = story.browser.console().await?;
    let faults: Vec<_> = faults
        .iter()
        .filter(|entry| entry.is_fault() && !entry.is_lost_connection())
        .collect();
    ensure!(faults.is_empty(), "the console has {faults:#?}");
    Ok(())
}

/// Keeps what everybody on the host can read while the installer runs.
async fn listen(story: &Story, server: &str, overheard: &mut Overheard) -> Result<()> {
    let said = story
        .lab
        .ssh(
            server,
            "ps axww -o args=; systemctl cat 'coxswain-*' || true",
        )
        .await?;
    overheard
        .places
        .push((format!("processes and units of {server}"), said));
    let pid = story.panel.pid().context("the panel runs")?;
    let own = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    overheard.places.push((
        "the panel's arguments".to_owned(),
        String::from_utf8_lossy(&own).into_owned(),
    ));
    Ok(())
}
