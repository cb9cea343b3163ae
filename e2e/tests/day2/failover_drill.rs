//! `failover_drill`: a server with each fault, through to the report; what ends it early, what refuses it, and the panel
//! dead meanwhile.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{
    DrillPlane, DrillReport, DrillVerdict, FieldValue, Inputs, RunCommand, RunId, RunStatus,
    StepStatus,
};

use crate::day::{BALANCER, Day, SERVERS, in_real_time, on_the_lab};

/// Time a drill may take on a busy machine, besides its observation.
const AROUND: Duration = Duration::from_secs(240);
/// Time in which an abort rule ends a fault, on a busy machine: a member is given up after an election's time.
const HEALED: Duration = Duration::from_secs(90);
/// Longer than all of that.
const LONG: &str = "300";
/// Who has the fault.
const VICTIM: &str = SERVERS[0];
/// As many replicas as servers: what runs on the victim comes back elsewhere.
const WORKLOAD: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"drilled","namespace":"default"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"drilled"}},"template":{"metadata":{"labels":{"app":"drilled"}},"spec":{"containers":[{"name":"c","image":"c"}]}}}}"#;

/// Makes the workload with so many replicas, and waits until all are ready.
async fn deploy(day: &Day, replicas: usize) -> Result<()> {
    let workload = WORKLOAD.replace("\"replicas\":3", &format!("\"replicas\":{replicas}"));
    let make = format!(
        "printf '%s' '{workload}' | timeout 20 /usr/local/bin/kubectl apply -f - && timeout 60 sh -c 'until [ \"$(/usr/local/bin/kubectl get deployment drilled -o jsonpath={{.status.readyReplicas}})\" = {replicas} ]; do sleep 1; done'"
    );
    day.lab.ssh(SERVERS[1], &make).await.map(drop)
}

/// A drill of so many seconds.
async fn form(day: &Day, victim: &str, fault: &str, seconds: &str) -> Result<Inputs> {
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("host", day.host(victim).await?),
        ("fault", text(fault)),
        ("observe_s", text(seconds)),
        // The stand-in may have put all replicas on one server.
        ("only_replicas", FieldValue::Bool(true)),
    ]))
}

/// Starts a drill and lets it through its gate.
async fn let_through(day: &Day, form: Inputs) -> Result<RunId> {
    deploy(day, 3).await?;
    let run = day.operator.start("failover_drill", form).await?;
    day.operator.approve(run).await?;
    Ok(run)
}

/// Starts a drill of so many seconds and lets it through its gate.
async fn begin(day: &Day, fault: &str, seconds: &str) -> Result<RunId> {
    let_through(day, form(day, VICTIM, fault, seconds).await?).await
}

/// Waits until the fault is taken away, long before its timer would.
async fn healed(day: &Day) -> Result<()> {
    until("k3s is started again", HEALED, async || {
        let state = k3s(day).await?;
        Ok(matches!(state.as_str(), "active" | "activating").then_some(()))
    })
    .await
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

/// By how much NotReady may be seen later than it was so, whatever k3s's timers: two looks, one without an answer, and
/// the whole seconds of what says when pods are evicted.
const LATE_MS: i64 = 15_000;

/// What a report has to tell of a server without k3s, at a tenth of k3s's timers.
fn told(report: &DrillReport, scale: i64) -> Result<()> {
    let unready = seen(report, "Node NotReady")?;
    let evicted = seen(report, "First eviction")?;
    ensure!(
        unready >= 20_000 / scale && evicted - unready >= 300_000 / scale - LATE_MS,
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
    ensure!(away(SERVERS[1])? < whole / 2, "{:?}", report.availability);
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

/// As in a crash: systemd starts it again by itself, and the drill is over when the cluster has taken that in.
#[test]
fn a_killed_k3s_is_started_again_by_systemd() {
    on_the_lab(async |day| {
        let pid = "systemctl show k3s.service -p MainPID --value";
        let before = day.lab.ssh(VICTIM, pid).await?;
        let run = begin(day, "killed", "20").await?;
        day.operator.completed(run, AROUND).await?;
        let died = format!(
            "journalctl --boot --quiet --output cat --unit k3s.service | grep -c 'status=9/KILL' || true; systemctl show k3s.service -p NRestarts --value; kill -0 {} 2>/dev/null || echo gone",
            before.trim()
        );
        let seen = day.lab.ssh(VICTIM, &died).await?;
        let seen: Vec<&str> = seen.split_whitespace().collect();
        ensure!(seen == ["1", "1", "gone"], "on {VICTIM}: {seen:?}");
        let report = day.operator.report(run).await?;
        ensure!(report.aborted.is_none(), "{:?}", report.aborted);
        ensure!(report.score.points.is_some(), "{:?}", report.score);
        let left = timers(day).await?;
        ensure!(left.is_empty(), "left on {VICTIM}: {left}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// Nobody reaches the API any more for longer than the form allows: the server comes back at once, and the report says
/// why.
#[test]
fn an_api_away_for_too_long_ends_the_drill() {
    on_the_lab(async |day| {
        let mut form = form(day, VICTIM, "stopped", LONG).await?;
        // Longer than a new leader takes when the victim led.
        form.insert("api_away_s".to_owned(), text("15"));
        let run = let_through(day, form).await?;
        watched(day, run).await?;
        ensure!(k3s(day).await? != "active", "k3s still runs");
        day.lab.ssh(BALANCER, "systemctl stop haproxy").await?;
        healed(day).await?;
        day.lab.ssh(BALANCER, "systemctl start haproxy").await?;
        day.operator.completed(run, AROUND).await?;
        let why = day.operator.report(run).await?.aborted;
        ensure!(
            why.as_ref()
                .is_some_and(|why| why.contains("the API was away")),
            "ended by {why:?}"
        );
        let left = timers(day).await?;
        ensure!(left.is_empty(), "left on {VICTIM}: {left}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// A second server fails meanwhile, and with it the quorum: the first one comes back at once, and with it the cluster.
#[test]
fn a_second_server_that_fails_ends_the_drill() {
    on_the_lab(async |day| {
        let second = SERVERS[2];
        let run = begin(day, "stopped", LONG).await?;
        watched(day, run).await?;
        day.lab.ssh(second, "systemctl stop k3s").await?;
        healed(day).await?;
        // The two that are left are a majority again, before anybody mends the second.
        until("the API answers again", AROUND, async || {
            cluster::nodes(&day.lab, VICTIM).await.map(Some)
        })
        .await?;
        day.lab.ssh(second, "systemctl start k3s").await?;
        day.operator.completed(run, AROUND).await?;
        let why = day.operator.report(run).await?.aborted;
        ensure!(
            why.as_ref().is_some_and(|why| why.ends_with(" either")),
            "ended by {why:?}"
        );
        cluster::whole(&day.lab, &SERVERS, BALANCER, AROUND).await
    });
}

/// What runs on one server alone would be away, and without its third member a drill is an outage.
#[test]
fn a_drill_that_would_be_an_outage_is_refused() {
    on_the_lab(async |day| {
        deploy(day, 1).await?;
        let pods = cluster::kubectl(&day.lab, SERVERS[0], "-n default get pods -o json").await?;
        let pods = pods["items"].as_array().context("items")?;
        let ours = |name: &str| name.starts_with("drilled-");
        let pod = pods
            .iter()
            .find(|pod| pod["metadata"]["name"].as_str().is_some_and(ours));
        let host = pod.and_then(|pod| pod["spec"]["nodeName"].as_str());
        let host = host.context("no pod")?;
        // Long enough for an eviction.
        let told = form(day, host, "stopped", LONG).await?;
        let mut untold = told.clone();
        untold.insert("only_replicas".to_owned(), FieldValue::Bool(false));
        let run = day.operator.start("failover_drill", untold).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.len() == 1
                    && seen[0].name == "Workloads on this server alone"
                    && seen[0].value.contains("drilled")
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let run = day.operator.start("failover_drill", told.clone()).await?;
        day.operator.in_the_way(run, |seen| seen.is_empty()).await?;

        let other = SERVERS.into_iter().find(|server| *server != host);
        let other = other.context("another server")?;
        day.lab.ssh(other, "systemctl stop k3s").await?;
        let run = day.operator.start("failover_drill", told).await?;
        let quorum = format!("Quorum without {host}");
        day.operator
            .in_the_way(run, |seen| seen.iter().any(|fact| fact.name == quorum))
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        Ok(())
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
