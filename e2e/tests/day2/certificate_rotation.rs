//! `certificate_rotation`: every node gets new certificates, also the one on :6443.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, list, steps, text};
use coxswain_e2e::wait::until;
use coxswain_wire::RunStatus;

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, SPARE, on_the_lab};
use crate::join;

/// Time a rotation may take on a busy machine.
const ROTATION: Duration = Duration::from_secs(300);

/// Serial numbers of the leaf certificates on a host by file, and of what a server serves on :6443.
async fn serials(day: &Day, host: &str) -> Result<BTreeMap<String, String>> {
    let look = "cd /var/lib/rancher/k3s && for f in server/tls/client-*.crt server/tls/serving-*.crt server/tls/etcd/client.crt agent/client-*.crt agent/serving-*.crt; do \
        [ ! -e \"$f\" ] || case $f in *-ca.crt) ;; *) echo \"$f $(openssl x509 -noout -serial -in \"$f\")\" ;; esac; done; \
        [ ! -e server ] || echo \"port $(openssl s_client -connect 127.0.0.1:6443 -noservername </dev/null 2>/dev/null | openssl x509 -noout -serial)\"";
    let said = day.lab.ssh(host, look).await?;
    said.lines()
        .map(|line| {
            let (file, serial) = line.split_once(' ').context("a serial number")?;
            Ok((file.to_owned(), serial.to_owned()))
        })
        .collect()
}

/// Servers and the agent: every node Ready, every member healthy, HAProxy content.
async fn whole_with_agent(day: &Day) -> Result<()> {
    until(
        "the cluster with its agent is whole",
        ROTATION,
        async || {
            cluster::members(&day.lab, &SERVERS).await?;
            cluster::backends(&day.lab, BALANCER, &SERVERS).await?;
            let nodes = cluster::nodes(&day.lab, SERVERS[0]).await?;
            ensure!(
                nodes.len() == SERVERS.len() + 1 && nodes.values().all(|ready| *ready),
                "nodes: {nodes:?}"
            );
            Ok(Some(()))
        },
    )
    .await
}

/// The kubeconfig that the panel gives out, if the cluster lets it in through the load balancer.
async fn kubeconfig(day: &Day) -> Result<String> {
    let id = day.operator.cluster(CLUSTER).await?.id;
    let file = day.operator.kubeconfig(id).await?;
    let text = String::from_utf8(file.into())?;
    ensure!(
        text.contains(&day.lab.host(BALANCER)?.address),
        "the kubeconfig leads past the load balancer"
    );
    let look = format!(
        "f=$(mktemp)\ncat >\"$f\" <<'END'\n{text}\nEND\nused=$(/usr/local/bin/kubectl --kubeconfig \"$f\" get nodes 2>&1) || true\nrm -f \"$f\"\necho \"$used\""
    );
    let used = day.lab.ssh(SERVERS[1], &look).await?;
    ensure!(used.contains(SERVERS[0]), "it gives {used}");
    Ok(text)
}

/// An agent gets its certificates from a server, so it comes after all of them.
#[test]
fn every_certificate_of_every_node_is_new() {
    on_the_lab(async |day| {
        let agent = join::form(day, "agent").await?;
        day.operator.complete("join", agent, join::JOIN).await?;
        let nodes = [SERVERS.as_slice(), &[SPARE]].concat();
        let mut before = BTreeMap::new();
        for node in &nodes {
            before.insert(*node, serials(day, node).await?);
        }
        let kubelet = "agent/client-kubelet.crt";
        ensure!(before[SPARE].contains_key(kubelet), "{before:?}");
        let known = kubeconfig(day).await?;
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("backups", text("this_run")),
        ]);
        let run = day.operator.start("certificate_rotation", form).await?;
        day.operator.approve(run).await?;
        // The old files hold the CAs' keys: deleting them has a gate of its own.
        day.operator
            .reach(run, RunStatus::Waiting, ROTATION)
            .await?;
        day.operator.approve(run).await?;
        let view = day.operator.completed(run, ROTATION).await?;
        let order: Vec<&str> = steps(&view)
            .filter(|step| step.kind == "rotate_certificates")
            .map(|step| step.target.as_str())
            .collect();
        ensure!(order == nodes, "in this order: {order:?}");
        for node in nodes {
            let now = serials(day, node).await?;
            for (file, old) in &before[node] {
                ensure!(
                    now.get(file).is_some_and(|new| new != old),
                    "{node}: {file} is as before: {now:?}"
                );
            }
            let left = day
                .lab
                .ssh(
                    node,
                    "ls -d /var/lib/rancher/k3s/{server,agent}/tls-* 2>/dev/null || true",
                )
                .await?;
            ensure!(left.is_empty(), "left on {node}: {left}");
        }
        ensure!(
            kubeconfig(day).await? != known,
            "the kubeconfig is as before"
        );
        whole_with_agent(day).await
    });
}

/// What k3s keeps is listed, and deleted by the run that the list offers.
#[test]
fn what_k3s_keeps_is_listed_and_deleted_later() {
    on_the_lab(async |day| {
        let look = "ls -d /var/lib/rancher/k3s/server/tls-* 2>/dev/null || true";
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("extent", text("some")),
            ("services", list(&["scheduler"])),
        ]);
        let view = day
            .operator
            .complete("certificate_rotation", form, ROTATION)
            .await?;
        let report = view.steps.last().context("a last step")?;
        let table = report.report.first().context("a list")?;
        for server in SERVERS {
            let kept = day.lab.ssh(server, look).await?;
            let listed = |path: &str| {
                table
                    .rows
                    .iter()
                    .any(|row| row[0] == server && row[1] == path)
            };
            ensure!(
                !kept.is_empty() && kept.lines().all(listed),
                "on {server} are {kept}; listed: {table:?}"
            );
        }
        let next = report.next.first().context("an offer")?;
        // Not k3s's.
        let mine = "/var/lib/rancher/k3s/server/tls-mine";
        day.lab.ssh(SERVERS[0], &format!("mkdir {mine}")).await?;
        let run = day
            .operator
            .start(&next.workflow, next.inputs.clone())
            .await?;
        day.operator.approve(run).await?;
        day.operator.completed(run, ROTATION).await?;
        for server in SERVERS {
            let left = day.lab.ssh(server, look).await?;
            let wanted = if server == SERVERS[0] { mine } else { "" };
            ensure!(left.trim() == wanted, "left on {server}: {left}");
        }
        cluster::whole(&day.lab, &SERVERS, BALANCER, ROTATION).await
    });
}

/// Each server stops once: with one gone already that would be the end of etcd.
#[test]
fn without_a_spare_member_it_is_refused() {
    on_the_lab(async |day| {
        let gone = SERVERS[2];
        let before = serials(day, SERVERS[0]).await?;
        day.lab.ssh(gone, "systemctl stop k3s").await?;
        let form = inputs([("cluster", day.cluster().await?)]);
        let run = day.operator.start("certificate_rotation", form).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter().any(|fact| fact.name.contains("etcd"))
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let now = serials(day, SERVERS[0]).await?;
        ensure!(now == before, "changed: {before:?} to {now:?}");
        Ok(())
    });
}
