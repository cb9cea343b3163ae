//! `load_balancer`: HAProxy serves exactly the cluster's servers, and knows a dead API behind an open port.

use std::time::Duration;

use anyhow::{Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{failing, failure, inputs};
use coxswain_e2e::wait::until;
use coxswain_wire::{Inputs, RunStatus};

use crate::day::{BALANCER, Day, SERVERS, on_the_lab};

/// Time a change of HAProxy may take on a busy machine.
const CHANGE: Duration = Duration::from_secs(120);
/// HAProxy's file.
const FILE: &str = "/etc/haproxy/haproxy.cfg";
/// What HAProxy says of its servers.
const STATS: &str = "echo 'show stat' | socat - /run/haproxy/admin.sock";

async fn form(day: &Day) -> Result<Inputs> {
    Ok(inputs([("cluster", day.cluster().await?)]))
}

/// Somebody has taken a server out by hand, and written something of their own below.
#[test]
fn a_server_taken_out_by_hand_comes_back_and_foreign_lines_stay() {
    on_the_lab(async |day| {
        let gone = SERVERS[2];
        let foreign = "\nlisten foreign\n    mode tcp\n    bind 127.0.0.1:7777   # theirs\n";
        let edit = format!(
            "sed -i '/^ *server {gone} /d' {FILE} && printf '%s' '{foreign}' >> {FILE} && systemctl reload haproxy"
        );
        day.lab.ssh(BALANCER, &edit).await?;
        until("HAProxy is without it", CHANGE, async || {
            Ok(cluster::backends(&day.lab, BALANCER, &[gone])
                .await
                .is_err()
                .then_some(()))
        })
        .await?;

        day.operator
            .complete("load_balancer", form(day).await?, CHANGE)
            .await?;

        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await?;
        let file = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(file.contains(foreign), "the foreign lines changed: {file}");
        Ok(())
    });
}

/// k3s hangs: the kernel goes on accepting connections on :6443, and nobody answers them.
#[test]
fn a_server_whose_port_is_open_but_dead_gets_no_traffic() {
    on_the_lab(async |day| {
        let dead = SERVERS[1];
        day.lab.ssh(dead, "systemctl kill -s STOP k3s").await?;
        let accepts = format!(
            "timeout 5 bash -c '</dev/tcp/{}/6443'",
            day.lab.host(dead)?.address
        );
        day.lab.ssh(BALANCER, &accepts).await?;
        until("HAProxy takes it out", CHANGE, async || {
            let state = day
                .lab
                .ssh(BALANCER, &format!("{STATS} | grep ',{dead},'"))
                .await?;
            Ok(state.contains(",DOWN,").then_some(()))
        })
        .await?;
        cluster::backends(&day.lab, BALANCER, &[SERVERS[0], SERVERS[2]]).await?;
        day.lab.ssh(BALANCER, &accepts).await?;

        day.lab.ssh(dead, "systemctl kill -s CONT k3s").await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// HAProxy does not take the file that somebody has broken: what runs goes on, and the file stays as it is.
#[test]
fn a_broken_file_is_never_loaded() {
    on_the_lab(async |day| {
        let gone = SERVERS[2];
        let edit =
            format!("sed -i '/^ *server {gone} /d' {FILE} && echo 'nonsense here' >> {FILE}");
        day.lab.ssh(BALANCER, &edit).await?;
        let before = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;

        let run = day
            .operator
            .start("load_balancer", form(day).await?)
            .await?;
        let (_, evidence) = day.operator.evidence(run).await?;
        if failing(&evidence).is_empty() {
            day.operator.approve_as_it_is(run).await?;
            let view = day.operator.reach(run, RunStatus::Failed, CHANGE).await?;
            let (_, error) = failure(&view)?;
            ensure!(format!("{error:?}").contains("nonsense"), "{error:?}");
        }
        let now = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(now == before, "changed: {now}");
        // What HAProxy has loaded long ago still serves every server.
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// Another listener has the port: nothing is written.
#[test]
fn a_foreign_listener_on_the_port_is_refused() {
    on_the_lab(async |day| {
        let before = "
frontend theirs
    mode tcp
    bind *:6443
    default_backend theirs
backend theirs
    mode tcp
    server a 127.0.0.1:1
";
        let write = format!("printf '%s' '{before}' > {FILE}");
        day.lab.ssh(BALANCER, &write).await?;

        let run = day
            .operator
            .start("load_balancer", form(day).await?)
            .await?;
        let (_, evidence) = day.operator.evidence(run).await?;
        let seen = failing(&evidence);
        ensure!(
            seen.iter()
                .any(|fact| fact.subject == BALANCER && fact.value.contains("6443")),
            "in the way: {seen:?}"
        );
        refused(day.operator.approve_as_it_is(run).await)?;
        let file = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(file == before, "changed: {file}");
        Ok(())
    });
}
