//! `stuck_pods`: a pod of a StatefulSet waits for a node that is off, until a person says so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, named};
use coxswain_e2e::wait::until;
use serde_json::Value;

use crate::day::{Day, SERVERS, on_the_lab};

/// Time the cluster may take for anything here, with quick timers.
const SOON: Duration = Duration::from_secs(120);
/// One pod or more on each server.
const WORKLOAD: &str = r#"{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"db","namespace":"default"},
"spec":{"serviceName":"db","replicas":4,"podManagementPolicy":"Parallel","selector":{"matchLabels":{"app":"db"}},
"template":{"metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"name":"c","image":"rancher/mirrored-pause:3.6"}]}}}}"#;

/// Names of the pods on a node, and whether each is Terminating.
async fn pods(day: &Day, node: &str) -> Result<Vec<(String, bool)>> {
    let list = cluster::kubectl(&day.lab, SERVERS[0], "-n default get pods -o json").await?;
    let items = list["items"].as_array().context("items")?;
    Ok(items
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node)
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let terminating = pod["metadata"]["deletionTimestamp"] != Value::Null;
            (name.to_owned(), terminating)
        })
        .collect())
}

#[test]
fn a_pod_that_waits_for_a_dead_node_starts_elsewhere() {
    on_the_lab(async |day| {
        let lost = SERVERS[2];
        let apply = format!("/usr/local/bin/kubectl apply -f - <<'END'\n{WORKLOAD}\nEND");
        day.lab.ssh(SERVERS[0], &apply).await?;
        until("a pod is there", SOON, async || {
            Ok((!pods(day, lost).await?.is_empty()).then_some(()))
        })
        .await?;
        let form = || async {
            Ok::<_, anyhow::Error>(inputs([
                ("cluster", day.cluster().await?),
                ("node", day.host(lost).await?),
            ]))
        };
        let alive = day.operator.start("stuck_pods", form().await?).await?;
        day.operator
            .in_the_way(alive, named(&["Machine", "Node", "Stuck pods"]))
            .await?;
        refused(day.operator.approve_as_it_is(alive).await)?;

        day.lab.power_off(lost).await?;
        let waiting = until("its pods are Terminating", SOON, async || {
            let there = pods(day, lost).await?;
            let all = !there.is_empty() && there.iter().all(|(_, terminating)| *terminating);
            Ok(all.then_some(there))
        })
        .await?;
        day.operator
            .complete("stuck_pods", form().await?, SOON)
            .await?;
        until("they run elsewhere", SOON, async || {
            ensure!(pods(day, lost).await?.is_empty(), "still on {lost}");
            let mut elsewhere = pods(day, SERVERS[0]).await?;
            elsewhere.extend(pods(day, SERVERS[1]).await?);
            let back = waiting
                .iter()
                .all(|(name, _)| elsewhere.iter().any(|(other, _)| other == name));
            Ok(back.then_some(()))
        })
        .await
    });
}
