//! `remove_node`: a server leaves, whether its machine answers or not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, text};
use coxswain_e2e::wait::until;
use coxswain_wire::Inputs;

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, on_the_lab};
use crate::uninstall::LEFT;

/// Time a removal may take on a busy machine.
const REMOVE: Duration = Duration::from_secs(240);
/// The one that goes.
const GONE: &str = SERVERS[2];
/// Those that stay.
const KEPT: [&str; 2] = [SERVERS[0], SERVERS[1]];

async fn form(day: &Day, state: &str) -> Result<Inputs> {
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("host", day.host(GONE).await?),
        ("state", text(state)),
    ]))
}

/// Nodes, members and HAProxy are the two that stay, and the panel's inventory says the same.
async fn left(day: &Day) -> Result<()> {
    cluster::whole(&day.lab, &KEPT, BALANCER, REMOVE).await?;
    let gone = day.operator.host(GONE).await?.id;
    let members = day.operator.cluster(CLUSTER).await?.members;
    ensure!(
        members.iter().all(|member| member.host != gone),
        "the inventory still has it: {members:?}"
    );
    let config = day
        .lab
        .ssh(BALANCER, "cat /etc/haproxy/haproxy.cfg")
        .await?;
    let address = &day.lab.host(GONE)?.address;
    ensure!(
        !config.contains(address.as_str()),
        "HAProxy still has it: {config}"
    );
    Ok(())
}

#[test]
fn a_server_leaves_and_nothing_stays_on_it() {
    on_the_lab(async |day| {
        let form = form(day, "reachable").await?;
        day.operator.complete("remove_node", form, REMOVE).await?;
        left(day).await?;
        let found = day.lab.ssh(GONE, LEFT).await?;
        ensure!(found.is_empty(), "left on {GONE}: {found}");
        Ok(())
    });
}

#[test]
fn a_lost_server_is_taken_out_without_its_help() {
    on_the_lab(async |day| {
        day.lab.power_off(GONE).await?;
        // Evidence of a node that is about to become NotReady would change under the approval.
        until("it is NotReady", REMOVE, async || {
            let nodes = cluster::nodes(&day.lab, KEPT[0]).await?;
            Ok((nodes.get(GONE) == Some(&false)).then_some(()))
        })
        .await?;
        let form = form(day, "lost").await?;
        day.operator.complete("remove_node", form, REMOVE).await?;
        left(day).await
    });
}

/// A second one is down: taking a third of the members away would leave one of two.
#[test]
fn without_a_spare_member_it_is_refused() {
    on_the_lab(async |day| {
        day.lab.ssh(KEPT[1], "systemctl stop k3s").await?;
        until("etcd has noticed", REMOVE, async || {
            let live = day.operator.cluster(CLUSTER).await?.live;
            let etcd = live.and_then(|live| live.etcd).context("no etcd")?;
            let healthy = etcd.members.iter().filter(|member| member.healthy).count();
            Ok((healthy == 2).then_some(()))
        })
        .await?;
        let form = form(day, "reachable").await?;
        let run = day.operator.start("remove_node", form).await?;
        day.operator
            .in_the_way(run, |seen| seen.iter().any(|fact| fact.subject == KEPT[1]))
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        day.lab.ssh(KEPT[1], "systemctl start k3s").await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, REMOVE).await
    });
}
