//! `replace_node`: a spare host takes the place of a server that is lost, and a server is made anew on its host.

use anyhow::{Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, list, named, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{Inputs, RunStatus};

use crate::day::{BALANCER, Day, SAN, SERVERS, SPARE, VERSION, on_the_lab};
use crate::join::JOIN;

async fn form(day: &Day, host: &str, state: &str, replacement: &str) -> Result<Inputs> {
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("host", day.host(host).await?),
        ("state", text(state)),
        ("replacement", day.host(replacement).await?),
        ("source", text("online")),
        ("installer_url", text(&day.lab.installer_url)),
        ("version", text(VERSION)),
        ("sans", list(&[SAN])),
    ]))
}

/// Whether a server stands in haproxy.cfg.
async fn balanced(day: &Day, server: &str) -> Result<bool> {
    let look = format!("grep -c ' server {server} ' /etc/haproxy/haproxy.cfg || true");
    Ok(day.lab.ssh(BALANCER, &look).await?.trim() != "0")
}

/// With the machine still there, the person is told; without it, another one takes its place, and the old one is
/// marked and refused until it is clean.
#[test]
fn a_lost_server_is_replaced_by_a_spare_host() {
    on_the_lab(async |day| {
        let lost = SERVERS[2];
        let alive = form(day, lost, "lost", SPARE).await?;
        let run = day.operator.start("replace_node", alive).await?;
        day.operator
            .in_the_way(run, named(&["Machine", "Lease"]))
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let view = day.operator.run(run).await?;
        ensure!(view.summary.status == RunStatus::Waiting, "{view:?}");

        day.lab.power_off(lost).await?;
        // Evidence of a node that is about to become NotReady would change under the approval.
        until("it is NotReady", JOIN, async || {
            let nodes = cluster::nodes(&day.lab, SERVERS[0]).await?;
            Ok((nodes.get(lost) == Some(&false)).then_some(()))
        })
        .await?;
        let form = form(day, lost, "lost", SPARE).await?;
        day.operator
            .complete("replace_node", form, JOIN * 2)
            .await?;
        let servers = [SERVERS[0], SERVERS[1], SPARE];
        cluster::whole(&day.lab, &servers, BALANCER, JOIN).await?;
        ensure!(balanced(day, SPARE).await?, "{SPARE} is not in HAProxy");
        ensure!(!balanced(day, lost).await?, "{lost} is still in HAProxy");
        let marked = day.operator.host(lost).await?;
        ensure!(
            marked.unclean.is_some() && marked.cluster.is_none(),
            "{marked:?}"
        );

        day.lab.power_on(lost).await?;
        until("it is up", JOIN, async || {
            day.lab.ssh(lost, "true").await.map(Some)
        })
        .await?;
        let join = inputs([
            ("cluster", day.cluster().await?),
            ("host", day.host(lost).await?),
            ("role", text("server")),
            ("source", text("online")),
            ("installer_url", text(&day.lab.installer_url)),
            ("version", text(VERSION)),
            ("sans", list(&[SAN])),
        ]);
        let run = day.operator.start("join", join).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter().any(|fact| fact.name == "Clean before reuse")
            })
            .await?;
        let clean = inputs([
            ("cluster", day.cluster().await?),
            ("hosts", day.hosts(&[lost]).await?),
        ]);
        day.operator.complete("uninstall", clean, JOIN).await?;
        let host = day.operator.host(lost).await?;
        ensure!(host.unclean.is_none(), "{host:?}");
        cluster::whole(&day.lab, &servers, BALANCER, JOIN).await
    });
}

#[test]
fn a_server_is_made_anew_under_its_name() {
    on_the_lab(async |day| {
        let host = SERVERS[1];
        let look = "cat /etc/rancher/node/password";
        let before = day.lab.ssh(host, look).await?;
        let form = form(day, host, "reachable", host).await?;
        day.operator
            .complete("replace_node", form, JOIN * 2)
            .await?;
        let after = day.lab.ssh(host, look).await?;
        ensure!(before != after, "the node kept its password");
        cluster::whole(&day.lab, &SERVERS, BALANCER, JOIN).await
    });
}
