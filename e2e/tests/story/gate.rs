//! A run from its form to its end: plan read, evidence read, approved by the one who started it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use coxswain_e2e::wait::until;
use serde_json::Value;

use super::{CLUSTER, SAN, SERVERS, Story};

/// Time preflight may take on a busy machine.
pub(crate) const PREFLIGHT: Duration = Duration::from_secs(180);
/// Time a bootstrap may take on a busy machine.
pub(crate) const BOOTSTRAP: Duration = Duration::from_secs(900);

/// The run of the story.
pub(crate) struct Run {
    /// Its number.
    pub(crate) id: i64,
    /// Indices of the steps that install k3s, by server.
    pub(crate) installs: Vec<(String, u64)>,
}

impl Run {
    /// The run as the panel's API has it.
    pub(crate) async fn view(&self, story: &Story) -> Result<Value> {
        story
            .browser
            .json(&format!("/api/v1/runs/{}", self.id))
            .await
    }

    /// Index of the step that installs k3s on a server.
    pub(crate) fn install_on(&self, server: &str) -> Result<u64> {
        let found = self.installs.iter().find(|(name, _)| name == server);
        found
            .map(|(_, step)| *step)
            .with_context(|| format!("no step installs on {server}"))
    }
}

/// Fills in the form, reads the plan, starts.
pub(crate) async fn start(story: &Story) -> Result<Run> {
    let browser = &story.browser;
    browser.click("cluster-action-bootstrap").await?;
    browser
        .fill("field-installer_url", &story.lab.installer_url)
        .await?;
    browser.fill("field-sans", SAN).await?;
    browser.shot("08-form").await?;
    browser.click("plan-show").await?;
    let plan = browser.hidden_text("plan-view").await?;
    for word in SERVERS
        .into_iter()
        .chain(["--cluster-init", SAN, story.lab.installer_url.as_str()])
    {
        ensure!(plan.contains(word), "the plan does not name {word}: {plan}");
    }
    let hash = browser.text("plan-sha256").await?;
    browser.shot("09-plan").await?;
    browser.click("run-start").await?;
    let run = begun(story).await?;
    let view = run.view(story).await?;
    ensure!(
        view["plan"]["sha256"] == hash.trim(),
        "the run has another plan than the one that was shown"
    );
    ensure!(
        run.installs.len() == SERVERS.len(),
        "steps that install k3s: {:?}",
        run.installs
    );
    Ok(run)
}

/// The run whose start was clicked, once its gate is open.
pub(crate) async fn begun(story: &Story) -> Result<Run> {
    let browser = &story.browser;
    browser.see("run-status").await?;
    let address = browser.address().await?;
    let id = address
        .rsplit("/runs/")
        .next()
        .and_then(|rest| rest.split(['?', '#']).next()?.parse().ok());
    let id = id.with_context(|| format!("no run in {address}"))?;
    let mut run = Run {
        id,
        installs: Vec::new(),
    };
    run.installs = installs(&run.view(story).await?)?;
    reach(story, "waiting", PREFLIGHT).await?;
    Ok(run)
}

fn installs(view: &Value) -> Result<Vec<(String, u64)>> {
    let stages = view["plan"]["stages"].as_array().context("stages")?;
    let steps = stages
        .iter()
        .filter_map(|stage| stage["steps"].as_array())
        .flatten();
    Ok(steps
        .filter(|step| step["kind"] == "install_k3s")
        .filter_map(|step| Some((step["target"].as_str()?.to_owned(), step["index"].as_u64()?)))
        .collect())
}

/// Reads the evidence and approves.
pub(crate) async fn approve(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.see("gate").await?;
    let evidence = browser.hidden_text("gate").await?;
    for server in SERVERS {
        ensure!(
            evidence.contains(server),
            "no evidence about {server}: {evidence}"
        );
    }
    browser.shot("10-gate").await?;
    browser
        .fill("field-comment", "Read plan and evidence.")
        .await?;
    browser.fill("field-confirm", CLUSTER).await?;
    browser.shot("11-approve").await?;
    browser.click("gate-approve").await?;
    reach(story, "running", PREFLIGHT).await
}

/// Statuses from which a run does not go on by itself.
const TROUBLE: [&str; 3] = ["failed", "parked", "stopped"];

/// Waits until the run is in trouble.
pub(crate) async fn trouble(story: &Story, patience: Duration) -> Result<String> {
    until("the run in trouble", patience, async || {
        let state = story.browser.attribute("run-status", "data-state").await?;
        Ok(state.filter(|state| TROUBLE.contains(&state.as_str())))
    })
    .await
}

/// Waits until the run is in this trouble and no other.
pub(crate) async fn reach_trouble(story: &Story, wanted: &str, patience: Duration) -> Result<()> {
    let seen = trouble(story, patience).await?;
    ensure!(seen == wanted, "the run is {seen} instead of {wanted}");
    Ok(())
}

/// Waits until the page has heard that the run is no longer in this state.
pub(crate) async fn leave(story: &Story, old: &str, patience: Duration) -> Result<()> {
    until(
        &format!("the run is no longer {old}"),
        patience,
        async || {
            let state = story.browser.attribute("run-status", "data-state").await?;
            Ok(state.is_some_and(|state| state != old).then_some(()))
        },
    )
    .await
}

/// Waits for a status of the run; one that cannot lead there fails at once.
pub(crate) async fn reach(story: &Story, wanted: &str, patience: Duration) -> Result<()> {
    let seen = until(&format!("the run is {wanted}"), patience, async || {
        let state = story.browser.attribute("run-status", "data-state").await?;
        match state {
            Some(state) if state == wanted || TROUBLE.contains(&state.as_str()) => Ok(Some(state)),
            other => bail!("it is {other:?}"),
        }
    })
    .await?;
    ensure!(seen == wanted, "the run is {seen} instead of {wanted}");
    Ok(())
}

/// Waits for the end and looks at what the run says about itself.
pub(crate) async fn completed(story: &Story, run: &Run) -> Result<()> {
    reach(story, "completed", BOOTSTRAP).await?;
    story.browser.shot("15-completed").await?;
    let view = run.view(story).await?;
    let steps = view["steps"].as_array().context("steps")?;
    for (index, step) in steps.iter().enumerate() {
        let good = ["succeeded", "already_satisfied"]
            .iter()
            .any(|status| step["status"] == *status);
        ensure!(good, "step {}: {step}", index + 1);
    }
    for (server, index) in &run.installs {
        let step = &steps[usize::try_from(*index)?];
        ensure!(
            step["attempt"] == 1,
            "k3s was installed on {server} in attempt {}",
            step["attempt"]
        );
    }
    let decided = view["stages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|stage| stage["decision"]["approved"] == true);
    for stage in decided {
        ensure!(
            stage["decision"]["self_approved"] == true,
            "the approval is not marked: {}",
            stage["decision"]
        );
    }
    came_back(&view)?;
    story.browser.no_faults().await
}

/// The history names both starts of the panel since the run began.
fn came_back(view: &Value) -> Result<()> {
    let entries = view["history"].as_array().context("history")?;
    let starts = entries
        .iter()
        .filter_map(|entry| entry["text"].as_str())
        .filter(|text| text.starts_with("The panel was started again"));
    ensure!(
        starts.count() == 2,
        "the history does not name both starts of the panel: {entries:#?}"
    );
    Ok(())
}
