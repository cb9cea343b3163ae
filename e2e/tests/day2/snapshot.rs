//! `snapshot` and `snapshot_restore`: what is saved can be brought back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{failure, inputs, list, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{Fact, RunCommand, RunId, RunStatus, Snapshot};
use sha2::{Digest as _, Sha256};

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, on_the_lab};

/// Time a snapshot may take on a busy machine.
const SAVE: Duration = Duration::from_secs(120);
/// Time a restore may take there: three servers stop, one resets, two join.
const RESTORE: Duration = Duration::from_secs(480);

/// Starts a save on a server.
async fn begin(day: &Day, server: &str) -> Result<RunId> {
    let form = inputs([
        ("cluster", day.cluster().await?),
        ("action", text("save")),
        ("server", day.host(server).await?),
    ]);
    day.operator.start("snapshot", form).await
}

/// Saves one on a server and gives it as the panel has noted it.
async fn save(day: &Day, server: &str) -> Result<Snapshot> {
    let run = begin(day, server).await?;
    day.operator.completed(run, SAVE).await?;
    let all = noted(day).await?;
    all.into_iter().next().context("no snapshot is noted")
}

/// All that the panel has noted of the cluster, newest first.
async fn noted(day: &Day) -> Result<Vec<Snapshot>> {
    let cluster = day.operator.cluster(CLUSTER).await?.id;
    day.operator.snapshots(cluster).await
}

/// The save fails, and this is said of it.
async fn fails(day: &Day, run: RunId, words: &[&str]) -> Result<()> {
    let view = day.operator.reach(run, RunStatus::Failed, SAVE).await?;
    let (kind, error) = failure(&view)?;
    let told = words.iter().all(|words| error.message.contains(words));
    ensure!(
        kind == "save_snapshot" && told && error.advice.is_some(),
        "{kind}: {error:?}"
    );
    Ok(())
}

/// A config map, made past the panel.
async fn make(day: &Day, name: &str) -> Result<()> {
    let make = format!("/usr/local/bin/kubectl create configmap {name} --from-literal=a=1");
    day.lab.ssh(SERVERS[0], &make).await?;
    Ok(())
}

async fn is_there(day: &Day, via: &str, name: &str) -> Result<bool> {
    let look = format!("/usr/local/bin/kubectl get configmap {name} -o name");
    Ok(day.lab.try_ssh(via, &look).await?.code == Some(0))
}

#[test]
fn a_snapshot_is_saved_listed_and_downloaded() {
    on_the_lab(async |day| {
        let taken = save(day, SERVERS[1]).await?;
        let look = format!("sha256sum {}", taken.path);
        let seen = day.lab.ssh(SERVERS[1], &look).await?;
        ensure!(
            taken.server == SERVERS[1] && seen.starts_with(&taken.sha256),
            "noted {taken:?}, seen {seen}"
        );
        let file = day.operator.snapshot_file(&taken).await?;
        let sum = format!("{:x}", Sha256::digest(&file));
        ensure!(sum == taken.sha256, "downloaded {sum}, noted {taken:?}");
        let list = inputs([("cluster", day.cluster().await?), ("action", text("list"))]);
        let run = day.operator.start("snapshot", list).await?;
        let view = day.operator.completed(run, SAVE).await?;
        let listed = |cells: &Vec<String>| {
            cells.iter().any(|cell| cell == taken.name())
                && cells.iter().any(|cell| cell.starts_with("in the vault"))
        };
        let report = view.steps.iter().flat_map(|step| &step.report);
        ensure!(
            report.flat_map(|table| &table.rows).any(listed),
            "listed: {:?}",
            view.steps
        );
        let only = inputs([
            ("cluster", day.cluster().await?),
            ("action", text("prune")),
            ("keep", text("1")),
        ]);
        let refusal = refused(day.operator.plan("snapshot", only).await)?;
        ensure!(
            refusal.error.field.as_deref() == Some("inputs.keep"),
            "the last one would go: {:?}",
            refusal.error
        );
        Ok(())
    });
}

/// One by its name, then all but the newest: their files are gone, the one that stays is there.
#[test]
fn snapshots_are_deleted_and_the_newest_stays() {
    on_the_lab(async |day| {
        let mut taken = Vec::new();
        for server in SERVERS {
            taken.push(save(day, server).await?);
        }
        let by_name = inputs([
            ("cluster", day.cluster().await?),
            ("action", text("delete")),
            ("names", list(&[taken[0].name()])),
        ]);
        day.operator.complete("snapshot", by_name, SAVE).await?;
        let old = inputs([
            ("cluster", day.cluster().await?),
            ("action", text("prune")),
            ("keep", text("1")),
        ]);
        day.operator.complete("snapshot", old, SAVE).await?;
        for (snapshot, stays) in taken.iter().zip([false, false, true]) {
            let look = format!("test -e {}", snapshot.path);
            let seen = day.lab.try_ssh(&snapshot.server, &look).await?;
            ensure!((seen.code == Some(0)) == stays, "{snapshot:?}");
        }
        let left = noted(day).await?;
        ensure!(
            left.len() == 1 && left[0].path == taken[2].path,
            "noted: {left:?}"
        );
        Ok(())
    });
}

/// A save has no gate: the step asks etcd first. With etcd there and the API away, k3s itself refuses.
#[test]
fn a_save_without_the_api_is_retried() {
    on_the_lab(async |day| {
        let server = SERVERS[1];
        day.lab.ssh(server, "systemctl stop k3s").await?;
        let run = begin(day, server).await?;
        fails(day, run, &["etcd does not answer"]).await?;

        day.lab.ssh(server, "systemctl start k3s").await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, SAVE).await?;
        let rule = "OUTPUT -o lo -p tcp --dport 6444 -j REJECT --reject-with tcp-reset";
        let away = format!("iptables -w 10 -I {rule}");
        day.lab.ssh(server, &away).await?;
        day.operator.command(run, &RunCommand::Retry).await?;
        let said = ["k3s: failed to register CRDs: ", "connection refused"];
        fails(day, run, &said).await?;
        ensure!(noted(day).await?.is_empty(), "noted though it failed");

        let back = format!("iptables -w 10 -D {rule}");
        day.lab.ssh(server, &back).await?;
        day.operator.command(run, &RunCommand::Retry).await?;
        day.operator.completed(run, SAVE).await?;
        let noted = noted(day).await?;
        ensure!(
            noted.len() == 1 && noted[0].server == server && noted[0].run == run,
            "noted: {noted:?}"
        );
        let look = format!("test -s {}", noted[0].path);
        day.lab.ssh(server, &look).await.map(drop)
    });
}

#[test]
fn a_restored_cluster_has_what_the_snapshot_has_and_nothing_later() {
    on_the_lab(async |day| {
        make(day, "before-snapshot").await?;
        let taken = save(day, SERVERS[0]).await?;
        make(day, "after-snapshot").await?;
        let form = inputs([
            ("cluster", day.cluster().await?),
            ("situation", text("data_wrong")),
            ("snapshot", text(taken.name())),
        ]);

        // All servers work: with the quorum said to be lost it is refused, and says what to do instead.
        let mut wrong = form.clone();
        wrong.insert("situation".to_owned(), text("quorum_lost"));
        let run = day.operator.start("snapshot_restore", wrong).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter().any(|f| {
                    f.advice
                        .as_deref()
                        .is_some_and(|a| a.contains("replace_node"))
                })
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;

        day.operator
            .complete("snapshot_restore", form, RESTORE)
            .await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, SAVE).await?;
        for server in SERVERS {
            ensure!(
                is_there(day, server, "before-snapshot").await?
                    && !is_there(day, server, "after-snapshot").await?,
                "seen from {server}"
            );
        }
        let kept = "ls -d /var/lib/rancher/k3s/server/db.coxswain-*/etcd";
        for server in &SERVERS[1..] {
            day.lab.ssh(server, kept).await?;
            let enabled = day.lab.ssh(server, "systemctl is-enabled k3s").await?;
            ensure!(enabled.trim() == "enabled", "{server} is {enabled}");
        }
        Ok(())
    });
}

/// Two of three are gone for good, and nothing can be written any more: the one that is left becomes a cluster of its
/// own, and the lost ones are out of it, out of HAProxy, and marked in the inventory.
#[test]
fn the_last_server_is_a_cluster_again() {
    on_the_lab(async |day| {
        let (left, lost) = (SERVERS[0], &SERVERS[1..]);
        make(day, "before-snapshot").await?;
        let taken = save(day, left).await?;
        make(day, "after-snapshot").await?;
        for server in lost {
            day.lab.power_off(server).await?;
        }
        until("etcd has lost its quorum", SAVE, async || {
            let health = cluster::etcd(&day.lab, left, "health").await;
            Ok(health
                .map_or(true, |said| said["health"] != "true")
                .then_some(()))
        })
        .await?;
        let silent = inputs([
            ("cluster", day.cluster().await?),
            ("situation", text("quorum_lost")),
            ("snapshot", text(taken.name())),
        ]);
        let mut form = silent.clone();
        form.insert("lost".to_owned(), day.hosts(lost).await?);

        // The panel takes nobody for lost by itself.
        let run = day.operator.start("snapshot_restore", silent).await?;
        let silent = |seen: &[&Fact], server: &str| {
            let mut facts = seen.iter();
            facts.any(|fact| fact.subject == server && fact.name == "Connection")
        };
        day.operator
            .in_the_way(run, |seen| lost.iter().all(|server| silent(seen, server)))
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;

        day.operator
            .complete("snapshot_restore", form, RESTORE)
            .await?;
        cluster::whole(&day.lab, &[left], BALANCER, SAVE).await?;
        ensure!(
            is_there(day, left, "before-snapshot").await?
                && !is_there(day, left, "after-snapshot").await?,
            "seen from {left}"
        );
        // It can be written to, and what is written stays.
        make(day, "after-restore").await?;
        ensure!(is_there(day, left, "after-restore").await?, "on {left}");
        let file = day
            .lab
            .ssh(BALANCER, "cat /etc/haproxy/haproxy.cfg")
            .await?;
        let members = day.operator.cluster(CLUSTER).await?.members;
        for server in lost {
            let host = day.operator.host(server).await?;
            ensure!(
                host.unclean.is_some() && members.iter().all(|member| member.host != host.id),
                "the inventory: {host:?}, {members:?}"
            );
            let address = &day.lab.host(server)?.address;
            ensure!(
                !file.contains(address.as_str()),
                "HAProxy still has it: {file}"
            );
        }
        Ok(())
    });
}
