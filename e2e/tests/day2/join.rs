//! `join`: a spare host becomes an agent or a server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::runs::{failure, inputs, list, text};
use coxswain_e2e::wait::until;
use coxswain_e2e::{cluster, held};
use coxswain_wire::{Inputs, RunCommand, RunId, RunStatus};

use crate::day::{BALANCER, Day, SAN, SERVERS, SPARE, VERSION, on_the_lab};
use crate::uninstall::LEFT;

/// Time a join may take on a busy machine.
pub(crate) const JOIN: Duration = Duration::from_secs(180);

/// All servers when the spare host has joined as one.
const FOUR: [&str; 4] = [SERVERS[0], SERVERS[1], SERVERS[2], SPARE];
/// What k3s reads besides its arguments.
const CONFIG: &str = "/etc/rancher/k3s/config.yaml";

/// The form, filled in for the spare host.
pub(crate) async fn form(day: &Day, role: &str) -> Result<Inputs> {
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("host", day.host(SPARE).await?),
        ("role", text(role)),
        ("source", text("online")),
        ("installer_url", text(&day.lab.installer_url)),
        ("version", text(VERSION)),
        ("sans", list(if role == "server" { &[SAN] } else { &[] })),
    ]))
}

#[test]
fn an_agent_joins_although_the_panel_is_killed() {
    on_the_lab(async |day| {
        let run = day
            .operator
            .start("join", form(day, "agent").await?)
            .await?;
        day.operator.approve(run).await?;
        let job = held::installer(&day.lab, SPARE, JOIN).await?;
        day.panel.kill().await?;
        held::release(&day.lab, SPARE, &job).await?;
        day.panel.launch().await?;
        day.operator.completed(run, JOIN).await?;

        until("the agent is Ready", JOIN, async || {
            let nodes = cluster::nodes(&day.lab, SERVERS[0]).await?;
            ensure!(nodes.get(SPARE) == Some(&true), "nodes: {nodes:?}");
            cluster::members(&day.lab, &SERVERS).await.map(Some)
        })
        .await?;
        let (step, _) = job.rsplit_once('-').context("a job's name")?;
        let look = format!(
            "journalctl -q --no-pager -o cat -b _PID=1 | grep -c '^Started coxswain-{step}-'"
        );
        let started = day.lab.ssh(SPARE, &look).await?;
        ensure!(
            started.trim() == "1",
            "the installer was started {started} times"
        );
        Ok(())
    });
}

#[test]
fn a_server_joins_and_gets_its_place_in_the_load_balancer() {
    on_the_lab(async |day| {
        let form = form(day, "server").await?;
        day.operator.complete("join", form, JOIN).await?;
        cluster::whole(&day.lab, &FOUR, BALANCER, JOIN).await
    });
}

#[test]
fn other_flags_are_seen_at_the_gate() {
    on_the_lab(async |day| {
        let mut wrong = form(day, "server").await?;
        wrong.insert("args".to_owned(), list(&["--cluster-cidr=10.99.0.0/16"]));
        let run = day.operator.start("join", wrong).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.len() == SERVERS.len()
                    && seen.iter().all(|fact| {
                        fact.name == "Critical flags" && fact.value.contains("cluster-cidr")
                    })
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        Ok(())
    });
}

/// Flags that differ only since the gate was passed: k3s itself refuses, and its words reach the person.
async fn refused_by_k3s(day: &Day) -> Result<RunId> {
    let form = form(day, "server").await?;
    let run = day.operator.start("join", form).await?;
    day.operator.approve(run).await?;
    let job = held::installer(&day.lab, SPARE, JOIN).await?;
    let write = format!("mkdir -p /etc/rancher/k3s; echo 'cluster-cidr: 10.99.0.0/16' > {CONFIG}");
    day.lab.ssh(SPARE, &write).await?;
    held::release(&day.lab, SPARE, &job).await?;
    let failed = day.operator.reach(run, RunStatus::Failed, JOIN).await?;
    let (kind, error) = failure(&failed)?;
    ensure!(
        kind == "install_k3s"
            && error
                .message
                .contains("critical configuration value mismatch")
            && error.advice.is_some(),
        "{kind}: {error:?}"
    );
    cluster::members(&day.lab, &SERVERS).await?;
    Ok(run)
}

#[test]
fn a_refused_server_is_unwound() {
    on_the_lab(async |day| {
        let run = refused_by_k3s(day).await?;
        day.operator.unwind(run, JOIN).await?;
        let left = day.lab.ssh(SPARE, LEFT).await?;
        ensure!(left.is_empty(), "left on {SPARE}: {left}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, JOIN).await
    });
}

/// systemd starts k3s again and again: corrected, it gets in before anybody retries the run.
#[test]
fn a_refused_server_that_is_corrected_goes_on() {
    on_the_lab(async |day| {
        let run = refused_by_k3s(day).await?;
        day.lab.ssh(SPARE, &format!("rm {CONFIG}")).await?;
        until("k3s has joined by itself", JOIN, async || {
            cluster::members(&day.lab, &FOUR).await.map(Some)
        })
        .await?;
        day.operator.command(run, &RunCommand::Retry).await?;
        day.operator.completed(run, JOIN).await?;
        cluster::whole(&day.lab, &FOUR, BALANCER, JOIN).await
    });
}
