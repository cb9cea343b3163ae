//! `failover_drill`: a server without k3s, through to the report; and the panel dead meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{
    DrillPlane, DrillReport, DrillVerdict, FieldValue, RunCommand, RunId, RunStatus, StepStatus,
};

use crate::day::{BALANCER, Day, SERVERS, in_real_time, on_the_lab};

/// Time a drill may take on a busy machine, besides its observation.
const AROUND: Duration = Duration::from_secs(240);
/// Who has the fault.
const VICTIM: &str = SERVERS[0];
/// As many replicas as servers: what runs on the victim comes back elsewhere.
const WORKLOAD: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"drilled","namespace":"default"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"drilled"}},"template":{"metadata":{"labels":{"app":"drilled"}},"spec":{"containers":[{"name":"c","image":"c"}]}}}}"#;

/// Starts a drill of so many seconds and lets it through its gate.
async fn begin(day: &Day, fault: &str, seconds: &str) -> Result<RunId> {
    let make = format!(
        "printf '%s' '{WORKLOAD}' | timeout 20 /usr/local/bin/kubectl apply -f - && timeout 60 sh -c 'until [ \"$(/usr/local/bin/kubectl get deployment drilled -o jsonpath={{.status.readyReplicas}})\" = 3 ]; do sleep 1; done'"
    );
    day.lab.ssh(SERVERS[1], &make).await?;
    let form = inputs([
        ("cluster", day.cluster().await?),
        ("host", day.host(VICTIM).await?),
        ("fault", text(fault)),
        ("observe_s", text(seconds)),
        // The stand-in may have put all replicas on one server.
        ("only_replicas", FieldValue::Bool(true)),
    ]);
    let run = day.operator.start("failover_drill", form).await?;
    day.operator.approve(run).await?;
    Ok(run)
}

/// Waits until the fault is there and watched.
async fn watched(day: &Day, run: RunId) -> Result<()> {
    until("the drill is watched", AROUND, async || {
        let view = day.operator.run(run).await?;
        let steps = view.plan.stages.iter().flat_map(|s| &s.steps);
        let mut both = steps.zip(&view.steps);
        let watching = both.any(|(step, now)| {
            step.title.starts_with("Watch for") && now.status == StepStatus::Running
        });
        ensure!(
            view.summary.status == RunStatus::Running || watching,
            "the run is {:?}",
            view.summary.status
        );
        Ok(watching.then_some(()))
    })
    .await
}

/// When something was seen first, milliseconds after the fault.
fn seen(report: &DrillReport, name: &str) -> Result<i64> {
    let point = report.points.iter().find(|point| point.name == name);
    let point = point.with_context(|| format!("no {name}: {:?}", report.points))?;
    ensure!(point.verdict == DrillVerdict::AsExpected, "{point:?}");
    point.after_ms.with_context(|| format!("{point:?}"))
}

async fn k3s(day: &Day) -> Result<String> {
    let look = "systemctl show k3s.service -p ActiveState --value";
    Ok(day.lab.ssh(VICTIM, look).await?.trim().to_owned())
}

async fn timers(day: &Day) -> Result<String> {
    let look = "systemctl list-timers --all --no-legend 'coxswain-drill-*'; ls /run/coxswain | grep drill || true";
    Ok(day.lab.ssh(VICTIM, look).await?.trim().to_owned())
}

/// Nothing comes from the victim's API to another server: dropped, not refused.
async fn is_cut_off(day: &Day) -> Result<bool> {
    let connect = format!(
        "timeout 3 bash -c '</dev/tcp/{}/6443'",
        day.lab.host(VICTIM)?.address
    );
    let said = day.lab.try_ssh(SERVERS[1], &connect).await?;
    Ok(said.code == Some(124))
}

/// What a report has to tell of a server without k3s, at a tenth of k3s's timers.
fn told(report: &DrillReport, scale: i64) -> Result<()> {
    let unready = seen(report, "Node NotReady")?;
    let evicted = seen(report, "First eviction")?;
    ensure!(
        unready >= 20_000 / scale && evicted - unready >= 250_000 / scale,
        "NotReady after {unready} ms, first eviction after {evicted} ms"
    );
    let away = |name: &str| {
        let found = report.availability.iter().find(|a| a.name == name);
        found
            .map(|a| a.away_ms)
            .with_context(|| format!("{name}: {:?}", report.availability))
    };
    let whole = report.ended_at.0 - report.started_at.0;
    ensure!(
        away(VICTIM)? > whole / 2,
        "the victim: {:?}",
        report.availability
    );
    ensure!(away(SERVERS[1])? < whole / 4, "{:?}", report.availability);
    ensure!(away(BALANCER)? < 30_000, "{:?}", report.availability);
    ensure!(
        report
            .availability
            .iter()
            .any(|a| a.plane == DrillPlane::Applications),
        "{:?}",
        report.availability
    );
    ensure!(report.aborted.is_none(), "{:?}", report.aborted);
    ensure!(report.score.points.is_some(), "{:?}", report.score);
    Ok(())
}

#[test]
fn a_server_without_k3s_is_reported_and_comes_back() {
    on_the_lab(async |day| {
        let run = begin(day, "stopped", "60").await?;
        watched(day, run).await?;
        ensure!(k3s(day).await? != "active", "k3s still runs");
        ensure!(
            timers(day).await?.contains(".timer"),
            "no timer waits on {VICTIM}"
        );
        day.operator.completed(run, AROUND).await?;
        told(&day.operator.report(run).await?, 10)?;
        let left = timers(day).await?;
        ensure!(left.is_empty(), "left on {VICTIM}: {left}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// The panel is killed while the cluster is watched, and comes back: the drill goes on, with a gap that is told.
#[test]
fn a_killed_panel_goes_on_with_a_gap() {
    on_the_lab(async |day| {
        let run = begin(day, "cut", "45").await?;
        watched(day, run).await?;
        ensure!(is_cut_off(day).await?, "{VICTIM} is not cut off");
        day.panel.kill().await?;
        // Time without a panel is what the gap is made of: there is nothing else to wait for.
        tokio::time::sleep(Duration::from_secs(10)).await;
        day.panel.launch().await?;
        day.operator.completed(run, AROUND).await?;
        let report = day.operator.report(run).await?;
        ensure!(!report.gaps.is_empty(), "no gap: {report:?}");
        ensure!(report.aborted.is_none(), "{:?}", report.aborted);
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// As if the plug was pulled; the switch is on another host.
#[test]
fn a_server_without_power_is_switched_on_again() {
    on_the_lab(async |day| {
        day.operator
            .give_power(VICTIM, BALANCER, "lab-power")
            .await?;
        let run = begin(day, "power_off", "30").await?;
        watched(day, run).await?;
        let gone = day.lab.try_ssh(VICTIM, "true").await;
        ensure!(gone.map_or(true, |o| o.code != Some(0)), "{VICTIM} is on");
        day.operator.completed(run, AROUND).await?;
        let report = day.operator.report(run).await?;
        seen(&report, "Node NotReady")?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// A person ends it: the fault is taken away at once, and what was seen until then is told.
#[test]
fn a_stopped_drill_heals_and_reports_what_it_saw() {
    on_the_lab(async |day| {
        let run = begin(day, "killed", "300").await?;
        watched(day, run).await?;
        day.operator.command(run, &RunCommand::Stop).await?;
        // The observation did not get to its end: that is what the run says.
        day.operator.reach(run, RunStatus::Failed, AROUND).await?;
        let report = day.operator.report(run).await?;
        ensure!(report.aborted.is_some(), "{report:?}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// The panel never comes back: the timer on the server mends its network without it, and leaves no rule.
#[test]
#[ignore = "takes minutes: cargo xtask test --full"]
fn without_a_panel_the_server_heals_itself() {
    on_the_lab(async |day| {
        let run = begin(day, "cut", "20").await?;
        watched(day, run).await?;
        day.panel.kill().await?;
        ensure!(is_cut_off(day).await?, "{VICTIM} is not cut off");
        until("the timer has mended the network", AROUND, async || {
            Ok((!is_cut_off(day).await?).then_some(()))
        })
        .await?;
        let look = "nft list tables 2>/dev/null || true; iptables -t mangle -S 2>/dev/null || true; [ ! -e /run/coxswain/drill-cut ] || echo coxswain";
        let rules = day.lab.ssh(VICTIM, look).await?.to_lowercase();
        ensure!(!rules.contains("coxswain"), "left on {VICTIM}: {rules}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

#[test]
#[ignore = "takes minutes: cargo xtask test --full"]
fn in_real_time_pods_are_evicted_after_five_minutes() {
    in_real_time(async |day| {
        let run = begin(day, "stopped", "420").await?;
        day.operator
            .completed(run, AROUND + Duration::from_secs(420))
            .await?;
        told(&day.operator.report(run).await?, 1)?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}
