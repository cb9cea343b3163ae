//! `load_balancer`: HAProxy serves exactly the cluster's servers, and knows a dead API behind an open port.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{failing, failure, inputs};
use coxswain_e2e::wait::until;
use coxswain_wire::{Inputs, RunStatus};

use crate::day::{BALANCER, Day, SERVERS, on_the_lab};

/// Time a change of HAProxy may take on a busy machine.
const CHANGE: Duration = Duration::from_secs(120);
/// HAProxy's file.
const FILE: &str = "/etc/haproxy/haproxy.cfg";
/// What HAProxy says of its servers.
const STATS: &str = "echo 'show stat' | socat - /run/haproxy/admin.sock";
/// Answers everything on :6443 inside TLS with the file of that path, as it stands there.
const ANSWER: &str = "systemctl stop k3s
    tls=/var/lib/rancher/k3s/server/tls
    systemd-run --quiet --unit=impostor --working-directory=/run/impostor \
        openssl s_server -accept 6443 -HTTP -cert $tls/serving-kube-apiserver.crt -key $tls/serving-kube-apiserver.key";

async fn form(day: &Day) -> Result<Inputs> {
    Ok(inputs([("cluster", day.cluster().await?)]))
}

/// A server in HAProxy's statistics: its state, the result of its last check, and the status that the check got.
async fn checked(day: &Day, server: &str) -> Result<(String, String, String)> {
    let said = day.lab.ssh(BALANCER, STATS).await?;
    let mut lines = said.lines();
    let header: Vec<&str> = lines.next().context("no header")?.split(',').collect();
    let line = lines.find(|line| line.split(',').nth(1) == Some(server));
    let cells: Vec<&str> = line.with_context(|| said.clone())?.split(',').collect();
    let cell = |name: &str| -> Result<String> {
        let at = header.iter().position(|column| *column == name);
        let cell = at.and_then(|at| cells.get(at)).context("a column")?;
        // A star marks a check under way.
        Ok(cell.trim_start_matches("* ").to_owned())
    };
    Ok((cell("status")?, cell("check_status")?, cell("check_code")?))
}

/// The load balancer can connect to a server's :6443, whoever is there: all that a check of the port alone sees.
async fn accepts(day: &Day, server: &str) -> Result<()> {
    let connect = format!(
        "timeout 5 bash -c '</dev/tcp/{}/6443'",
        day.lab.host(server)?.address
    );
    day.lab.ssh(BALANCER, &connect).await.map(drop)
}

/// Every new connection to the API through HAProxy is answered, by the other two: none goes to the dead one.
async fn others_answer(day: &Day) -> Result<()> {
    let ask = "for i in $(seq 12); do curl -sk --max-time 5 -o /dev/null -w '%{http_code}\\n' https://127.0.0.1:6443/readyz || true; done | sort | uniq -c";
    // etcd may have to elect a leader first.
    until("the others answer", CHANGE, async || {
        cluster::backends(&day.lab, BALANCER, &[SERVERS[0], SERVERS[2]]).await?;
        let said = day.lab.ssh(BALANCER, ask).await?;
        ensure!(said.split_whitespace().eq(["12", "401"]), "answers: {said}");
        Ok(Some(()))
    })
    .await
}

/// Somebody has taken a server out by hand, and written something of their own below.
#[test]
fn a_server_taken_out_by_hand_comes_back_and_foreign_lines_stay() {
    on_the_lab(async |day| {
        let gone = SERVERS[2];
        let foreign = "\nlisten foreign\n    mode tcp\n    bind 127.0.0.1:7777   # theirs\n";
        let edit = format!(
            "sed -i '/^ *server {gone} /d' {FILE} && printf '%s' '{foreign}' >> {FILE} && systemctl reload haproxy"
        );
        day.lab.ssh(BALANCER, &edit).await?;
        until("HAProxy is without it", CHANGE, async || {
            Ok(cluster::backends(&day.lab, BALANCER, &[gone])
                .await
                .is_err()
                .then_some(()))
        })
        .await?;

        day.operator
            .complete("load_balancer", form(day).await?, CHANGE)
            .await?;

        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await?;
        let file = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(file.contains(foreign), "the foreign lines changed: {file}");
        Ok(())
    });
}

/// k3s hangs: the kernel goes on accepting connections on :6443, and nobody answers them.
#[test]
fn a_server_whose_port_is_open_but_dead_gets_no_traffic() {
    on_the_lab(async |day| {
        let dead = SERVERS[1];
        let before = checked(day, dead).await?;
        ensure!(
            before.0 == "UP" && before.1 == "L7OK",
            "{dead} is {before:?}"
        );
        day.lab.ssh(dead, "systemctl kill -s STOP k3s").await?;
        accepts(day, dead).await?;
        until("HAProxy takes it out", CHANGE, async || {
            let (state, check, _) = checked(day, dead).await?;
            // The port let the check in: what failed is above it.
            ensure!(
                state != "DOWN" || check.starts_with("L6") || check.starts_with("L7"),
                "by {check}"
            );
            Ok((state == "DOWN").then_some(()))
        })
        .await?;
        accepts(day, dead).await?;
        others_answer(day).await?;

        day.lab.ssh(dead, "systemctl kill -s CONT k3s").await?;
        until("HAProxy takes it back", CHANGE, async || {
            let (state, check, _) = checked(day, dead).await?;
            Ok((state == "UP" && check == "L7OK").then_some(()))
        })
        .await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// Something answers inside TLS, but with a 500: an API server that has lost its database. With the 401 that a living
/// one gives whoever has no credentials, the same listener is taken for one.
#[test]
fn a_server_that_answers_500_gets_no_traffic() {
    on_the_lab(async |day| {
        let sick = SERVERS[1];
        let answers = async |status: &str| {
            let write = format!(
                "mkdir -p /run/impostor && printf 'HTTP/1.0 {status}\\r\\nContent-Length: 0\\r\\n\\r\\n' > /run/impostor/new && mv /run/impostor/new /run/impostor/readyz"
            );
            day.lab.ssh(sick, &write).await
        };
        answers("500 Internal Server Error").await?;
        day.lab.ssh(sick, ANSWER).await?;
        let ask = format!(
            "curl -sk --max-time 5 -o /dev/null -w '%{{http_code}}' https://{}:6443/readyz",
            day.lab.host(sick)?.address
        );
        until("it answers 500", CHANGE, async || {
            let code = day.lab.ssh(BALANCER, &ask).await?;
            Ok((code == "500").then_some(()))
        })
        .await?;
        until("HAProxy takes it out by that answer", CHANGE, async || {
            let now = checked(day, sick).await?;
            let seen = (now.0.as_str(), now.1.as_str(), now.2.as_str());
            ensure!(seen == ("DOWN", "L7STS", "500"), "{seen:?}");
            Ok(Some(()))
        })
        .await?;
        others_answer(day).await?;

        answers("401 Unauthorized").await?;
        until("HAProxy takes it back by that answer", CHANGE, async || {
            let (state, check, code) = checked(day, sick).await?;
            Ok((state == "UP" && check == "L7OK" && code == "401").then_some(()))
        })
        .await?;
        let back = "systemctl stop impostor && systemctl start k3s";
        day.lab.ssh(sick, back).await?;
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// HAProxy does not take the file that somebody has broken: what runs goes on, and the file stays as it is.
#[test]
fn a_broken_file_is_never_loaded() {
    on_the_lab(async |day| {
        let gone = SERVERS[2];
        let edit =
            format!("sed -i '/^ *server {gone} /d' {FILE} && echo 'nonsense here' >> {FILE}");
        day.lab.ssh(BALANCER, &edit).await?;
        let before = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;

        let run = day
            .operator
            .start("load_balancer", form(day).await?)
            .await?;
        let (_, evidence) = day.operator.evidence(run).await?;
        if failing(&evidence).is_empty() {
            day.operator.approve_as_it_is(run).await?;
            let view = day.operator.reach(run, RunStatus::Failed, CHANGE).await?;
            let (_, error) = failure(&view)?;
            ensure!(format!("{error:?}").contains("nonsense"), "{error:?}");
        }
        let now = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(now == before, "changed: {now}");
        // What HAProxy has loaded long ago still serves every server.
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// Another listener has the port: nothing is written.
#[test]
fn a_foreign_listener_on_the_port_is_refused() {
    on_the_lab(async |day| {
        let before = "
frontend theirs
    mode tcp
    bind *:6443
    default_backend theirs
backend theirs
    mode tcp
    server a 127.0.0.1:1
";
        let write = format!("printf '%s' '{before}' > {FILE}");
        day.lab.ssh(BALANCER, &write).await?;

        let run = day
            .operator
            .start("load_balancer", form(day).await?)
            .await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter()
                    .any(|fact| fact.subject == BALANCER && fact.value.contains("6443"))
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let file = day.lab.ssh(BALANCER, &format!("cat {FILE}")).await?;
        ensure!(file == before, "changed: {file}");
        Ok(())
    });
}
