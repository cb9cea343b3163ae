//! A failover drill with clicks: form, gate, the watch while it goes on, and its report on the page and to print.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::wait::until;
use serde_json::Value;

use super::day2::cluster_page;
use super::gate::{self, PREFLIGHT, Run};
use super::{BALANCER, SERVERS, Story, health, looks};

/// Who has the fault.
const VICTIM: &str = SERVERS[2];
/// Long enough to see a node NotReady, seconds.
const OBSERVED: &str = "75";
/// For one that is stopped: no machine is so busy that it ends before.
const LONG: &str = "900";
/// Time a drill may take on a busy machine.
const DRILL: Duration = Duration::from_secs(480);
/// Lanes and points that this report has.
const TOLD: [&str; 3] = ["Node NotReady", VICTIM, BALANCER];

pub(crate) async fn tell(story: &Story) -> Result<()> {
    let run = begun(story, OBSERVED).await?;
    looks::both_themes(story, "23-drill-gate").await?;
    approved(story).await?;
    watched(story).await.context("while it goes on")?;
    looks::both_themes(story, "23-drill-watched").await?;
    gate::reach(story, "completed", DRILL).await?;
    reported(story, &run).await.context("its report")?;
    stopped(story).await.context("one that is stopped")?;
    health::assert(story).await
}

async fn begun(story: &Story, observed: &str) -> Result<Run> {
    let browser = &story.browser;
    cluster_page(story).await?;
    browser.click("cluster-action-failover_drill").await?;
    let hosts = browser.json("/api/v1/hosts").await?;
    let mut hosts = hosts.as_array().into_iter().flatten();
    let victim = hosts.find(|host| host["name"] == VICTIM);
    let victim = victim.and_then(|host| host["id"].as_i64());
    let victim = victim.context("the victim's number")?.to_string();
    browser.choose("field-host", &victim).await?;
    browser.fill("field-observe_s", observed).await?;
    browser.click("plan-show").await?;
    let plan = browser.hidden_text("plan-view").await?;
    ensure!(
        plan.contains("too short to see an eviction") == (observed == OBSERVED),
        "the plan does not say what it cannot show: {plan}"
    );
    browser.click("run-start").await?;
    gate::begun(story).await
}

async fn approved(story: &Story) -> Result<()> {
    let browser = &story.browser;
    browser.fill("field-comment", "Agreed for now.").await?;
    browser.fill("field-confirm", VICTIM).await?;
    browser.click("gate-approve").await?;
    gate::reach(story, "running", PREFLIGHT).await
}

/// k3s is away, and the page tells what is seen.
async fn watched(story: &Story) -> Result<()> {
    until("k3s of the victim is away", DRILL, async || {
        let look = "systemctl show k3s.service -p ActiveState --value";
        let state = story.lab.ssh(VICTIM, look).await?;
        Ok((state.trim() == "inactive").then_some(()))
    })
    .await?;
    let line = format!("{VICTIM} ");
    until("the page tells of it", DRILL, async || {
        let log = story.browser.hidden_text("log").await?;
        Ok((log.contains("API away through") && log.contains(&line)).then_some(()))
    })
    .await
}

/// The page, the file to print and the JSON tell the same.
async fn reported(story: &Story, run: &Run) -> Result<()> {
    let browser = &story.browser;
    let drawn = browser.hidden_text("report-timeline").await?;
    for word in TOLD {
        ensure!(drawn.contains(word), "no {word} is drawn: {drawn}");
    }
    looks::both_themes(story, "23-drill-report").await?;
    browser.no_faults().await?;

    let path = browser.attribute("run-report-json", "href").await?;
    let json = browser.json(&path.context("a link to the JSON")?).await?;
    let unready = json["points"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|point| point["name"] == "Node NotReady")
        .context("no point Node NotReady")?;
    ensure!(unready["verdict"] == "as_expected", "{unready}");
    let score = json["score"]["points"].as_i64().context("no score")?;

    let page = browser.address().await?;
    let path = browser.attribute("run-report", "href").await?;
    let path = path.context("a link to the file to print")?;
    browser.open(&story.panel.url(&path)).await?;
    let printed = browser.page_text().await?;
    for word in TOLD.into_iter().chain([score.to_string().as_str()]) {
        ensure!(printed.contains(word), "no {word} is printed: {printed}");
    }
    browser.shot("23-drill-printed").await?;
    browser.no_faults().await?;
    browser.open(&page).await?;
    let view: Value = run.view(story).await?;
    ensure!(view["summary"]["status"] == "completed", "{view}");
    Ok(())
}

/// It has no report of its own: the page draws what was seen until then.
async fn stopped(story: &Story) -> Result<()> {
    let browser = &story.browser;
    begun(story, LONG).await?;
    approved(story).await?;
    watched(story).await?;
    browser.click("run-stop").await?;
    browser.click("run-confirm").await?;
    gate::reach_trouble(story, "failed", DRILL).await?;
    browser.see("report-late").await?;
    let drawn = browser.hidden_text("report-timeline").await?;
    for word in [VICTIM, BALANCER] {
        ensure!(drawn.contains(word), "no {word} is drawn: {drawn}");
    }
    looks::both_themes(story, "23-drill-stopped").await?;
    browser.click("run-abandon").await?;
    browser.fill("field-comment", "Seen enough.").await?;
    browser.click("run-confirm").await?;
    gate::reach(story, "abandoned", DRILL).await?;
    browser.see("report-late").await?;
    browser.no_faults().await
}
