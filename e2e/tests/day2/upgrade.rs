//! `upgrade`: every node to the next minor version, and a node whose pods may not go.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{Inputs, RunCommand, RunStatus};

use crate::day::{BALANCER, Day, SERVERS, VERSION, on_the_lab};

/// Time an upgrade of three servers may take on a busy machine.
const UPGRADE: Duration = Duration::from_secs(480);
/// The next minor version.
pub(crate) const NEWER: &str = "v1.23.17+k3s1";

/// The form with a channel or a version.
pub(crate) async fn form(day: &Day, what: &str, value: &str) -> Result<Inputs> {
    let url = &day.lab.installer_url;
    let files = url.rsplit_once('/').context("an installer's address")?.0;
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("source", text("online")),
        ("installer_url", text(url)),
        ("channels_url", text(&format!("{files}/channels"))),
        (what, text(value)),
        ("drain_s", text("30")),
    ]))
}

/// What each server says of itself: what it is told, and its binary.
async fn told(day: &Day) -> Result<BTreeMap<&'static str, (String, String)>> {
    let mut all = BTreeMap::new();
    for server in SERVERS {
        let files = "cd /etc/systemd/system && stat -c '%a %n' k3s.service k3s.service.env && sha256sum k3s.service k3s.service.env && ls -d /etc/rancher/k3s/*";
        let files = day.lab.ssh(server, files).await?;
        let version = day.lab.ssh(server, "/usr/local/bin/k3s --version").await?;
        all.insert(server, (files, version));
    }
    Ok(all)
}

/// Versions and taints of all nodes.
async fn nodes(day: &Day) -> Result<BTreeMap<String, (String, bool)>> {
    let list = cluster::kubectl(&day.lab, SERVERS[0], "get nodes -o json").await?;
    let items = list["items"].as_array().context("items")?;
    let of = |node: &serde_json::Value| {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str();
        let cordoned = node["spec"]["unschedulable"] == true;
        (
            name.to_owned(),
            (version.unwrap_or_default().to_owned(), cordoned),
        )
    };
    Ok(items.iter().map(of).collect())
}

fn all_at(version: &str) -> BTreeMap<String, (String, bool)> {
    SERVERS
        .map(|name| (name.to_owned(), (version.to_owned(), false)))
        .into()
}

async fn are_at_newer(day: &Day) -> Result<()> {
    until("all nodes are at the new version", UPGRADE, async || {
        let now = nodes(day).await?;
        ensure!(now == all_at(NEWER), "nodes: {now:?}");
        Ok(Some(()))
    })
    .await
}

#[test]
fn every_server_runs_the_next_minor_and_is_told_the_same() {
    on_the_lab(async |day| {
        // Two minors at once are refused at the gate, by name.
        let wrong = form(day, "version", "v1.24.17+k3s1").await?;
        let run = day.operator.start("upgrade", wrong).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.len() == SERVERS.len()
                    && seen.iter().all(|f| {
                        f.advice
                            .as_deref()
                            .is_some_and(|a| a.contains("upgrade to v1.23 first"))
                    })
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let comment = "one after the other".to_owned();
        day.operator
            .command(run, &RunCommand::Reject { comment })
            .await?;

        let before = told(day).await?;
        let form = form(day, "channel", "v1.23").await?;
        day.operator.complete("upgrade", form, UPGRADE).await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, UPGRADE).await?;
        are_at_newer(day).await?;
        for (server, (files, version)) in told(day).await? {
            ensure!(version.contains(NEWER), "{server}: {version}");
            ensure!(
                files == before[server].0,
                "{server} is told otherwise: {files}"
            );
            let kept = "ls -A /var/lib/coxswain/kept 2>/dev/null || true";
            let kept = day.lab.ssh(server, kept).await?;
            ensure!(kept.is_empty(), "kept on {server}: {kept}");
        }
        Ok(())
    });
}

/// One pod that may not go, on the second server.
const HELD: &str = r#"/usr/local/bin/kubectl apply -f - <<'END'
apiVersion: apps/v1
kind: Deployment
metadata: {name: held, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: held}}
  template:
    metadata: {labels: {app: held}}
    spec:
      nodeSelector: {kubernetes.io/hostname: node2}
      containers: [{name: held, image: registry.k8s.io/pause:3.9}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: held, namespace: default}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: held}}
END
"#;

#[test]
fn a_node_whose_pods_may_not_go_is_given_back() {
    on_the_lab(async |day| {
        day.lab.ssh(SERVERS[0], HELD).await?;
        until("the pod is ready", UPGRADE, async || {
            let held =
                cluster::kubectl(&day.lab, SERVERS[0], "get deployment held -o json").await?;
            Ok((held["status"]["readyReplicas"] == 1).then_some(()))
        })
        .await?;
        let form = form(day, "version", NEWER).await?;
        let run = day.operator.start("upgrade", form).await?;
        let (_, evidence) = day.operator.evidence(run).await?;
        ensure!(
            evidence
                .facts
                .iter()
                .any(|f| f.name == "Disruption budgets" && f.value.contains("default/held")),
            "the budget is not shown: {:?}",
            evidence.facts
        );
        day.operator.approve(run).await?;
        let view = day.operator.reach(run, RunStatus::Failed, UPGRADE).await?;
        // The drain was undone meanwhile: its error stands in the run's notice.
        let notice = view.notice.context("a failed run without a notice")?;
        ensure!(
            notice.message.contains("Drain node2")
                && notice
                    .message
                    .contains("disruption budgets did not let go in time: default/held"),
            "{notice:?}"
        );
        until("the nodes are given back", UPGRADE, async || {
            let now = nodes(day).await?;
            ensure!(
                now["node1"] == (NEWER.to_owned(), false)
                    && now["node2"] == (VERSION.to_owned(), false),
                "nodes: {now:?}"
            );
            Ok(Some(()))
        })
        .await?;

        let loosen = "/usr/local/bin/kubectl delete poddisruptionbudget held";
        day.lab.ssh(SERVERS[0], loosen).await?;
        day.operator.command(run, &RunCommand::Retry).await?;
        day.operator.completed(run, UPGRADE).await?;
        are_at_newer(day).await?;
        Ok(())
    });
}
