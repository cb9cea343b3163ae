//! `command`: looks with one click; a typed command behind a gate, once, with its end told.

use std::time::Duration;

use anyhow::{Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::runs::{failure, inputs, text};
use coxswain_e2e::wait::until;
use coxswain_wire::{FieldValue, Inputs, RunCommand, RunStatus};

use crate::day::{Day, SERVERS, SPARE, on_the_lab};

/// Time a command may take on a busy machine.
const COMMAND: Duration = Duration::from_secs(90);

async fn form<const N: usize>(
    day: &Day,
    what: &str,
    more: [(&str, FieldValue); N],
) -> Result<Inputs> {
    let mut form = inputs([("cluster", day.cluster().await?), ("what", text(what))]);
    form.extend(inputs(more));
    Ok(form)
}

/// What it printed, without an approval.
async fn look<const N: usize>(
    day: &Day,
    what: &str,
    more: [(&str, FieldValue); N],
) -> Result<String> {
    let form = form(day, what, more).await?;
    let run = day.operator.start("command", form).await?;
    day.operator.completed(run, COMMAND).await?;
    day.operator.output(run).await
}

#[test]
fn every_look_is_one_click() {
    on_the_lab(async |day| {
        let nodes = look(day, "nodes", []).await?;
        for server in SERVERS {
            ensure!(nodes.contains(server), "nodes: {nodes}");
        }
        look(day, "pods", []).await?;
        look(day, "snapshots", []).await?;
        let dates = look(day, "certificates", []).await?;
        ensure!(dates.contains("kubelet"), "certificates: {dates}");
        let log = look(day, "log", [("lines", text("20"))]).await?;
        ensure!(!log.trim().is_empty(), "no log");
        // A line that is written while the log is followed is shown.
        let followed = form(
            day,
            "log",
            [
                ("hosts", day.hosts(&SERVERS[..1]).await?),
                ("lines", text("1")),
                ("follow_s", text("30")),
            ],
        )
        .await?;
        let run = day.operator.start("command", followed).await?;
        until("the log is followed", COMMAND, async || {
            let shown = day.operator.output(run).await?;
            let line = format!(" {} ", SERVERS[0]);
            Ok(shown.contains(&line).then_some(()))
        })
        .await?;
        // systemd's own words: k3s comes back by itself within the time of the look.
        day.lab
            .ssh(SERVERS[0], "systemctl kill -s KILL k3s")
            .await?;
        day.operator
            .reach(run, RunStatus::Completed, COMMAND)
            .await?;
        let shown = day.operator.output(run).await?;
        ensure!(shown.contains("status=9/KILL"), "followed: {shown}");
        Ok(())
    });
}

/// It is an end as good as the one by time, and nothing goes on on the host.
#[test]
fn a_log_is_followed_until_the_run_is_stopped() {
    on_the_lab(async |day| {
        let followed = form(
            day,
            "log",
            [
                ("hosts", day.hosts(&SERVERS[..2]).await?),
                ("follow_s", text("600")),
            ],
        )
        .await?;
        let run = day.operator.start("command", followed).await?;
        // A stop that comes before a step has begun leaves that step undone.
        until("both logs are followed", COMMAND, async || {
            let shown = day.operator.output(run).await?;
            let all = SERVERS[..2]
                .iter()
                .all(|server| shown.contains(&format!(" {server} k3s")));
            Ok(all.then_some(()))
        })
        .await?;
        day.operator.command(run, &RunCommand::Stop).await?;
        day.operator
            .reach(run, RunStatus::Completed, COMMAND)
            .await?;
        for server in &SERVERS[..2] {
            let running = day
                .lab
                .ssh(server, "pgrep -f 'journalctl.*-f$' || true")
                .await?;
            ensure!(running.is_empty(), "on {server} it runs on: {running}");
        }
        Ok(())
    });
}

#[test]
fn a_typed_command_runs_once_on_the_chosen_hosts() {
    on_the_lab(async |day| {
        let form = form(
            day,
            "shell",
            [
                ("hosts", day.hosts(&SERVERS[..2]).await?),
                (
                    "shell",
                    text("id -un; echo once >> /tmp/typed; hostname; exit 3"),
                ),
                ("sudo", FieldValue::Bool(true)),
            ],
        )
        .await?;
        let view = day.operator.complete("command", form, COMMAND).await?;
        let output = day.operator.output(view.summary.id).await?;
        for server in &SERVERS[..2] {
            ensure!(output.contains(server), "output: {output}");
            let ran = day.lab.ssh(server, "cat /tmp/typed").await?;
            ensure!(ran == "once\n", "on {server}: {ran}");
        }
        ensure!(output.contains("root"), "output: {output}");
        let ran = day
            .lab
            .ssh(SERVERS[2], "ls /tmp/typed 2>/dev/null || true")
            .await?;
        ensure!(ran.is_empty(), "it ran where nobody wanted it");
        Ok(())
    });
}

/// Past its time limit it is ended, and the run says so; a host outside the cluster and a secret are refused.
#[test]
fn a_command_that_does_not_end_is_ended() {
    on_the_lab(async |day| {
        let hosts = day.hosts(&SERVERS[..1]).await?;
        let endless = form(
            day,
            "shell",
            [
                ("hosts", hosts.clone()),
                ("shell", text("echo begun; sleep 600")),
                ("timeout_s", text("3")),
            ],
        )
        .await?;
        let run = day.operator.start("command", endless).await?;
        day.operator.approve(run).await?;
        let failed = day.operator.reach(run, RunStatus::Failed, COMMAND).await?;
        let (kind, error) = failure(&failed)?;
        ensure!(
            kind == "run_command" && error.advice.is_some(),
            "{kind}: {error:?}"
        );
        let running = day
            .lab
            .ssh(SERVERS[0], "pgrep -fx 'sleep 600' || true")
            .await?;
        ensure!(running.is_empty(), "it runs on: {running}");

        for (field, given) in [
            ("hosts", ("hosts", day.hosts(&[SPARE]).await?)),
            (
                "shell",
                ("shell", text("k3s server --token=verysecretvalue123")),
            ),
        ] {
            let mut form = form(
                day,
                "shell",
                [("hosts", hosts.clone()), ("shell", text("uptime"))],
            )
            .await?;
            form.insert(given.0.to_owned(), given.1);
            let refusal = refused(day.operator.start("command", form).await)?;
            ensure!(
                refusal.error.field.as_deref() == Some(&format!("inputs.{field}")),
                "{refusal}"
            );
        }
        Ok(())
    });
}
