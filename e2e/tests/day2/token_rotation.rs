//! `token_rotation`: a new token everywhere, and a k3s that has no such command.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, steps, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{RunId, StepStatus};

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, on_the_lab};

/// Time a rotation may take on a busy machine.
const ROTATION: Duration = Duration::from_secs(300);
/// Time a restore may take there.
const RESTORE: Duration = Duration::from_secs(480);
/// A release that can rotate tokens.
const ABLE: &str = "v1.28.15+k3s1";

/// Puts that release on the servers, past the panel.
async fn renew(day: &Day) -> Result<()> {
    let url = &day.lab.installer_url;
    let files = url.rsplit_once('/').context("an installer's address")?.0;
    for server in SERVERS {
        let script = format!(
            "curl -sSf -o /usr/local/bin/k3s.new {files}/download/{ABLE}/k3s && chmod 0755 /usr/local/bin/k3s.new && mv /usr/local/bin/k3s.new /usr/local/bin/k3s && systemctl restart k3s"
        );
        day.lab.ssh_within(server, &script, ROTATION).await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, ROTATION).await?;
    }
    Ok(())
}

async fn token(day: &Day, server: &str) -> Result<String> {
    let look = "cat /var/lib/rancher/k3s/server/token";
    Ok(day.lab.ssh(server, look).await?.trim().to_owned())
}

/// What a server answers to the first request of a joining one. The script goes over standard input.
async fn answer(day: &Day, server: &str, token: &str) -> Result<String> {
    let password = token.rsplit(':').next().unwrap_or_default();
    let ask = format!(
        "curl -sk -o /dev/null -w '%{{http_code}}' -K - https://127.0.0.1:6443/v1-k3s/server-bootstrap <<'END'\nuser = \"server:{password}\"\nEND\n"
    );
    day.lab.ssh(server, &ask).await
}

/// Waits until a restart of the run is under way.
async fn restarting(day: &Day, run: RunId) -> Result<()> {
    until("a server restarts", ROTATION, async || {
        let view = day.operator.run(run).await?;
        let under_way = steps(&view).zip(&view.steps).any(|(planned, step)| {
            planned.kind == "restart_k3s" && step.status == StepStatus::Running
        });
        if under_way {
            return Ok(Some(()));
        }
        bail!("the run is {:?}", view.summary.status)
    })
    .await
}

#[test]
fn a_k3s_without_the_command_is_refused() {
    on_the_lab(async |day| {
        let form = inputs([("cluster", day.cluster().await?)]);
        let run = day.operator.start("token_rotation", form).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.len() == SERVERS.len()
                    && seen
                        .iter()
                        .all(|f| f.value == "this k3s has no token rotate")
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        Ok(())
    });
}

#[test]
fn the_old_token_is_refused_though_the_panel_was_killed() {
    on_the_lab(async |day| {
        renew(day).await?;
        let old = token(day, SERVERS[0]).await?;
        let form = inputs([("cluster", day.cluster().await?)]);
        let run = day.operator.start("token_rotation", form).await?;
        day.operator.approve(run).await?;
        restarting(day, run).await?;
        day.panel.kill().await?;
        day.panel.launch().await?;
        day.operator.completed(run, ROTATION).await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, ROTATION).await?;

        let new = token(day, SERVERS[0]).await?;
        ensure!(new != old, "the token is the old one");
        for server in SERVERS {
            ensure!(token(day, server).await? == new, "{server} has another one");
            let seen = (
                answer(day, server, &old).await?,
                answer(day, server, &new).await?,
            );
            ensure!(
                seen == ("401".to_owned(), "200".to_owned()),
                "{server}: {seen:?}"
            );
            let look = "cd /etc/systemd/system && stat -c %a k3s.service.env && ! grep -q -e --token k3s.service && grep -c ^K3S_TOKEN= k3s.service.env";
            let told = day.lab.ssh(server, look).await?;
            ensure!(told.split_whitespace().eq(["600", "1"]), "{server}: {told}");
        }
        let output = day.operator.output(run).await?;
        for token in [&new, &old] {
            let password = token.rsplit(':').next().unwrap_or_default();
            ensure!(password.len() >= 16, "the token's form is not as expected");
            ensure!(!output.contains(password), "a token stands in the log");
            day.panel.keeps_secret(password)?;
        }
        back_before(day, run, &old).await
    });
}

/// The snapshot that the rotation began with opens with the old token alone: a restore brings both back.
async fn back_before(day: &Day, rotation: RunId, old: &str) -> Result<()> {
    let cluster = day.operator.cluster(CLUSTER).await?.id;
    let taken = day.operator.snapshots(cluster).await?;
    let taken = taken.iter().find(|snapshot| snapshot.run == rotation);
    let taken = taken.context("no snapshot is noted")?;
    let form = inputs([
        ("cluster", day.cluster().await?),
        ("situation", text("data_wrong")),
        ("snapshot", text(taken.name())),
    ]);
    let view = day
        .operator
        .complete("snapshot_restore", form, RESTORE)
        .await?;
    cluster::whole(&day.lab, &SERVERS, BALANCER, ROTATION).await?;
    for server in SERVERS {
        ensure!(token(day, server).await? == old, "{server} has another one");
        let seen = answer(day, server, old).await?;
        ensure!(seen == "200", "{server}: {seen}");
    }
    let output = day.operator.output(view.summary.id).await?;
    let password = old.rsplit(':').next().unwrap_or_default();
    ensure!(!output.contains(password), "the token stands in the log");
    Ok(())
}
