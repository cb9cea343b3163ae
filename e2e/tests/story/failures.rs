//! What goes wrong, with clicks: bad input is named at its field, a run is rejected, a join fails with k3s's
//! own words and is unwound. Afterwards all hosts are as they were.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::browser::SOON;
use coxswain_e2e::held;
use coxswain_e2e::wait::until;
use serde_json::Value;

use super::gate::{self, Run};
use super::{BALANCER, CLUSTER, SERVERS, SPARE, Story, crash, enrol, health};

/// Time a failing join, or its undo, may take on a busy machine.
const SOME: Duration = Duration::from_secs(240);
/// What the approver says who turns the run down.
const REASON: &str = "Not during the day.";
/// What k3s says when the flags that all servers share differ (recorded).
const WORDS: &str = "critical configuration value mismatch";

pub(crate) async fn tell(story: &Story) -> Result<()> {
    enrol::spare(story).await.context("the spare host")?;
    let before = Picture::take(story).await?;
    bad_input(story).await.context("bad input")?;
    rejected(story).await.context("the rejected run")?;
    before
        .still_holds(story)
        .await
        .context("after the rejection")?;
    failed_and_unwound(story).await.context("the failed join")?;
    before
        .still_holds(story)
        .await
        .context("after the unwinding")?;
    health::assert(story)
        .await
        .context("the cluster's health")?;
    story.browser.no_faults().await
}

/// Everything that a join may change on the hosts.
#[derive(PartialEq, Debug)]
struct Picture {
    spare: String,
    balancer: String,
}

impl Picture {
    async fn take(story: &Story) -> Result<Self> {
        let look = "{ find /etc/rancher /var/lib/rancher /var/lib/kubelet /var/lib/cni /run/k3s /usr/local/bin \
                    /etc/systemd/system /var/lib/coxswain/jobs /run/coxswain -mindepth 1 2>/dev/null || true; } | sort; \
                    systemctl is-active k3s k3s-agent || true";
        Ok(Self {
            spare: story.lab.ssh(SPARE, look).await?,
            balancer: story
                .lab
                .ssh(
                    BALANCER,
                    "cat /etc/haproxy/haproxy.cfg; stat -c %a /etc/haproxy/haproxy.cfg",
                )
                .await?,
        })
    }

    async fn still_holds(&self, story: &Story) -> Result<()> {
        let now = Self::take(story).await?;
        ensure!(now == *self, "before: {self:#?}\nnow: {now:#?}");
        Ok(())
    }
}

/// Opens the form for the spare host and fills it in, but for the version.
async fn form(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let hosts = browser.json("/api/v1/hosts").await?;
    let spare = hosts
        .as_array()
        .into_iter()
        .flatten()
        .find(|host| host["name"] == SPARE)
        .and_then(|host| host["id"].as_i64())
        .context("the spare host's number")?;
    browser.click("nav-clusters").await?;
    browser.click(&format!("cluster-card-{CLUSTER}")).await?;
    browser.click("cluster-action-join").await?;
    browser.choose("field-host", &spare.to_string()).await?;
    browser
        .fill("field-installer_url", &story.lab.installer_url)
        .await
}

async fn runs(story: &Story) -> Result<usize> {
    let runs = story.browser.json("/api/v1/runs").await?;
    Ok(runs.as_array().context("a list of runs")?.len())
}

async fn bad_input(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let before = runs(story).await?;
    form(story).await?;
    browser.fill("field-version", "1.33").await?;
    browser.click("plan-show").await?;
    browser
        .expect("field-version", "aria-invalid", "true", SOON)
        .await?;
    // The page gives it the focus when it has been drawn.
    until("the wrong field has the focus", SOON, async || {
        let focused = browser.focused().await?;
        Ok((focused.as_deref() == Some("field-version")).then_some(()))
    })
    .await?;
    let text = browser.page_text().await?;
    ensure!(
        text.contains("1.33"),
        "the page does not say what is wrong: {text}"
    );
    browser.shot("17-bad-input").await?;
    ensure!(runs(story).await? == before, "a run was stored");
    // The browser notes the refusal in its console: it was wanted.
    browser.console().await.map(drop)
}

/// Starts a join without naming the version: the cluster's own is in the plan.
async fn join(story: &Story) -> Result<Run> {
    let browser = &story.browser;
    form(story).await?;
    browser.click("plan-show").await?;
    let plan = browser.hidden_text("plan-view").await?;
    let version = story
        .lab
        .ssh(
            SERVERS[0],
            "/usr/local/bin/k3s --version | sed -n 's/^k3s version \\([^ ]*\\).*/\\1/p'",
        )
        .await?;
    let wanted = format!("INSTALL_K3S_VERSION={}", version.trim());
    ensure!(plan.contains(&wanted), "the plan has no {wanted}: {plan}");
    browser.click("run-start").await?;
    gate::begun(story).await
}

async fn rejected(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let run = join(story).await?;
    browser.click("gate-reject").await?;
    browser
        .expect("field-comment", "aria-invalid", "true", SOON)
        .await?;
    browser.fill("field-comment", REASON).await?;
    browser.click("gate-reject").await?;
    gate::reach(story, "rejected", SOON).await?;
    browser.click("tab-plan").await?;
    let plan = browser.hidden_text("plan-view").await?;
    ensure!(
        plan.contains("Rejected by") && plan.contains(REASON),
        "the plan does not say how the gate was decided: {plan}"
    );
    browser.click("tab-history").await?;
    let history = browser.hidden_text("history").await?;
    ensure!(history.contains(REASON), "the comment is lost: {history}");
    browser.shot("18-rejected").await?;
    let view = run.view(story).await?;
    let touched = view["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|step| step["attempt"] != 0);
    ensure!(!touched, "a step of a rejected run was attempted: {view}");
    browser.no_faults().await
}

/// Between approval and k3s's start somebody puts a configuration on the host that does not fit the cluster.
async fn failed_and_unwound(story: &Story) -> Result<()> {
    let browser = &story.browser;
    let run = join(story).await?;
    browser.fill("field-comment", "Go on.").await?;
    browser.fill("field-confirm", CLUSTER).await?;
    browser.click("gate-approve").await?;
    gate::reach(story, "running", SOME).await?;
    let job = crash::hold(story, &run, SPARE).await?;
    let config = "mkdir -p /etc/rancher/k3s && echo 'cluster-domain: other.test' >/etc/rancher/k3s/config.yaml";
    story.lab.ssh(SPARE, config).await?;
    held::release(&story.lab, SPARE, &job).await?;

    gate::reach_trouble(story, "failed", SOME).await?;
    let step = run.install_on(SPARE)?;
    let view = run.view(story).await?;
    let error = &view["steps"][usize::try_from(step)?]["error"];
    ensure!(
        error.to_string().contains(WORDS),
        "the step does not fail with k3s's own words: {error}"
    );
    let page = browser.page_text().await?;
    ensure!(
        page.contains(WORDS),
        "k3s's words are not on the page: {page}"
    );
    browser.shot("19-failed").await?;

    browser.click("run-unwind").await?;
    browser.see("run-dialog").await?;
    let undo = browser.text("run-dialog").await?;
    ensure!(
        undo.contains("remove k3s") && undo.contains(SPARE),
        "the undo plan does not say what it does: {undo}"
    );
    browser.shot("19-undo-plan").await?;
    browser.click("run-confirm").await?;
    gate::leave(story, "failed", SOME).await?;
    gate::reach(story, "unwound", SOME).await?;
    browser.shot("19-unwound").await?;
    let undone: Value = run.view(story).await?;
    ensure!(
        undone["steps"][usize::try_from(step)?]["status"] == "undone",
        "the installation is not undone: {undone}"
    );
    // What a person wrote is theirs to take away.
    story.lab.ssh(SPARE, "rm -rf /etc/rancher").await?;
    browser.no_faults().await
}
