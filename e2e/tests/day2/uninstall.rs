//! `uninstall`: an agent leaves, and nothing of k3s stays on it.

use std::time::Duration;

use anyhow::ensure;
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::inputs;

use crate::day::{BALANCER, SERVERS, SPARE, on_the_lab};
use crate::join;

/// Time an uninstall may take on a busy machine.
const UNINSTALL: Duration = Duration::from_secs(180);

/// Prints what must not be there any more.
pub(crate) const LEFT: &str = "ls -d /var/lib/rancher/k3s /etc/rancher/k3s /var/lib/kubelet /usr/local/bin/k3s* \
     /etc/systemd/system/k3s* /run/k3s 2>/dev/null || true; pgrep -a k3s || true";

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
