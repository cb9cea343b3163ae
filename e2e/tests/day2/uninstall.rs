//! `uninstall`: an agent, or a whole cluster, and nothing of k3s stays; also where a machine is dead.

use std::time::Duration;

use anyhow::ensure;
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, named};
use coxswain_e2e::wait::until;
use coxswain_wire::ClusterPhase;

use crate::day::{BALANCER, CLUSTER, SERVERS, SPARE, on_the_lab};
use crate::join;

/// Time an uninstall may take on a busy machine.
const UNINSTALL: Duration = Duration::from_secs(180);

/// Prints what must not be there any more.
pub(crate) const LEFT: &str = "ls -d /var/lib/rancher/k3s /etc/rancher/k3s /var/lib/kubelet /usr/local/bin/k3s* \
     /etc/systemd/system/k3s* /etc/default/k3s* /run/systemd/system/k3s* /run/k3s 2>/dev/null || true; pgrep -a k3s || true";

#[test]
fn an_agent_leaves_no_trace() {
    on_the_lab(async |day| {
        let form = join::form(day, "agent").await?;
        day.operator.complete("join", form, join::JOIN).await?;
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("hosts", day.hosts(&[SPARE]).await?),
        ]);
        day.operator.complete("uninstall", form, UNINSTALL).await?;

        let left = day.lab.ssh(SPARE, LEFT).await?;
        ensure!(left.is_empty(), "left on {SPARE}: {left}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, UNINSTALL).await
    });
}

/// An intended outage: its gate wants the cluster's name, and nothing of it stays anywhere.
#[test]
fn a_whole_cluster_leaves_no_trace() {
    on_the_lab(async |day| {
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("hosts", day.hosts(&SERVERS).await?),
        ]);
        let run = day.operator.start("uninstall", form).await?;
        let gate = day.operator.run(run).await?.plan;
        ensure!(gate.outage.is_some(), "no outage is declared: {gate:?}");
        day.operator.approve(run).await?;
        day.operator.completed(run, UNINSTALL).await?;
        for server in SERVERS {
            let left = day.lab.ssh(server, LEFT).await?;
            ensure!(left.is_empty(), "left on {server}: {left}");
        }
        let file = day
            .lab
            .ssh(BALANCER, "cat /etc/haproxy/haproxy.cfg")
            .await?;
        ensure!(!file.contains("6443"), "left on {BALANCER}: {file}");
        Ok(())
    });
}

/// A dead machine stands in the way until a person gives it up, and a living one cannot be given up. The others are
/// cleaned; the dead one is marked, comes back with its k3s, and is cleaned then.
#[test]
fn a_dead_server_does_not_keep_the_others() {
    on_the_lab(async |day| {
        let dead = SERVERS[2];
        let whole = inputs([("cluster", day.cluster().await?)]);
        let without = inputs([
            ("cluster", day.cluster().await?),
            ("lost", day.hosts(&[dead]).await?),
        ]);
        let run = day.operator.start("uninstall", without.clone()).await?;
        day.operator.in_the_way(run, named(&["Machine"])).await?;
        refused(day.operator.approve_as_it_is(run).await)?;

        day.lab.power_off(dead).await?;
        let run = day.operator.start("uninstall", whole).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter()
                    .any(|f| f.subject == dead && f.name == "Connection")
            })
            .await?;
        day.operator
            .complete("uninstall", without, UNINSTALL)
            .await?;
        for server in &SERVERS[..2] {
            let left = day.lab.ssh(server, LEFT).await?;
            ensure!(left.is_empty(), "left on {server}: {left}");
        }
        let look = "cat /etc/haproxy/haproxy.cfg";
        let file = day.lab.ssh(BALANCER, look).await?;
        ensure!(!file.contains("6443"), "left on {BALANCER}: {file}");
        let host = day.operator.host(dead).await?;
        ensure!(host.unclean.is_some() && host.cluster.is_none(), "{host:?}");
        let cluster = day.operator.cluster(CLUSTER).await?;
        ensure!(
            cluster.phase == ClusterPhase::Planned
                && cluster.members.iter().all(|member| member.host != host.id),
            "{cluster:?}"
        );

        day.lab.power_on(dead).await?;
        until("its k3s starts", UNINSTALL, async || {
            let look = "systemctl show k3s.service -p ActiveState --value";
            let state = day.lab.ssh(dead, look).await?;
            Ok(matches!(state.trim(), "activating" | "active").then_some(()))
        })
        .await?;
        let clean = inputs([
            ("cluster", day.cluster().await?),
            ("hosts", day.hosts(&[dead]).await?),
        ]);
        day.operator.complete("uninstall", clean, UNINSTALL).await?;
        let left = day.lab.ssh(dead, LEFT).await?;
        ensure!(left.is_empty(), "left on {dead}: {left}");
        let host = day.operator.host(dead).await?;
        ensure!(host.unclean.is_none(), "{host:?}");
        Ok(())
    });
}

/// One server of a living cluster is not an agent: the form says so, and nothing is stored.
#[test]
fn a_single_server_is_refused() {
    on_the_lab(async |day| {
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("hosts", day.hosts(&SERVERS[..1]).await?),
        ]);
        let refused = refused(day.operator.start("uninstall", form).await)?;
        ensure!(
            refused.error.field.as_deref() == Some("inputs.hosts"),
            "{refused}"
        );
        Ok(())
    });
}
