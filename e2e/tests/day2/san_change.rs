//! `san_change`: names come into the API's certificate, and leave it for good.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::runs::{inputs, list};
use coxswain_wire::{Inputs, RunStatus};

use crate::day::{BALANCER, Day, SAN, SERVERS, on_the_lab};

/// Time a change may take on a busy machine.
const CHANGE: Duration = Duration::from_secs(420);
const UNIT: &str = "/etc/systemd/system/k3s.service";
const CONFIG: &str = "/etc/rancher/k3s/config.yaml";

async fn form(day: &Day, add: &[&str], remove: &[&str]) -> Result<Inputs> {
    Ok(inputs([
        ("cluster", day.cluster().await?),
        ("add", list(add)),
        ("remove", list(remove)),
    ]))
}

/// Serial number and names that a host serves on :6443 to somebody who asks for no name.
async fn served(day: &Day, host: &str) -> Result<(String, BTreeSet<String>)> {
    let look = format!(
        "openssl s_client -connect {}:6443 -noservername </dev/null 2>/dev/null | openssl x509 -noout -serial -ext subjectAltName",
        day.lab.host(host)?.address
    );
    let said = day.lab.ssh(SERVERS[0], &look).await?;
    let serial = said
        .lines()
        .find_map(|line| line.strip_prefix("serial="))
        .context("a serial number")?;
    let names = said
        .split([',', '\n'])
        .filter_map(|part| {
            let part = part.trim();
            part.strip_prefix("DNS:")
                .or_else(|| part.strip_prefix("IP Address:"))
        })
        .map(str::to_owned)
        .collect();
    Ok((serial.to_owned(), names))
}

/// All servers and the load balancer serve one certificate with these names, and without those.
async fn everywhere(day: &Day, with: &[&str], without: &[&str]) -> Result<String> {
    let (serial, names) = served(day, BALANCER).await?;
    for server in SERVERS {
        let (other, _) = served(day, server).await?;
        ensure!(other == serial, "{server} serves {other}, not {serial}");
    }
    for name in with {
        ensure!(names.contains(*name), "{name} is missing: {names:?}");
    }
    for name in without {
        ensure!(!names.contains(*name), "{name} is there: {names:?}");
    }
    Ok(serial)
}

/// What k3s puts into every certificate by itself, as openssl writes it.
const STANDARD: [&str; 7] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.43.0.1",
];

/// Exactly these names, and those that a cluster behind this load balancer has anyway.
async fn nothing_else(day: &Day, wanted: &[&str]) -> Result<()> {
    let mut all: BTreeSet<String> = STANDARD
        .iter()
        .chain(wanted)
        .map(|n| (*n).to_owned())
        .collect();
    all.insert(day.lab.host(BALANCER)?.address.clone());
    for server in SERVERS {
        all.insert(server.to_owned());
        all.insert(day.lab.host(server)?.address.clone());
    }
    let (_, names) = served(day, BALANCER).await?;
    ensure!(names == all, "served are {names:?} instead of {all:?}");
    Ok(())
}

#[test]
fn names_come_and_go_on_every_server() {
    on_the_lab(async |day| {
        let added = ["api.lab.test", "192.0.2.7"];
        let form = form(day, &added, &[SAN]).await?;
        day.operator.complete("san_change", form, CHANGE).await?;
        everywhere(day, &added, &[SAN]).await?;
        nothing_else(day, &added).await?;
        for server in SERVERS {
            let unit = day.lab.ssh(server, &format!("cat {UNIT}")).await?;
            ensure!(
                unit.contains("'api.lab.test'") && !unit.contains(SAN),
                "{server}: {unit}"
            );
        }
        let verified = format!(
            "curl -sS --max-time 10 --cacert /var/lib/rancher/k3s/server/tls/server-ca.crt --resolve api.lab.test:6443:{} https://api.lab.test:6443/ping",
            day.lab.host(BALANCER)?.address
        );
        let said = day.lab.ssh(SERVERS[0], &verified).await?;
        ensure!(said == "pong", "{said}");
        cluster::whole(&day.lab, &SERVERS, BALANCER, CHANGE).await
    });
}

/// The names stand in config.yaml, where they are changed, and the panel dies under way.
#[test]
fn a_change_of_the_file_outlives_the_panel() {
    on_the_lab(async |day| {
        let lb = day.lab.host(BALANCER)?.address.clone();
        for server in SERVERS {
            let move_them = format!(
                "printf '# ours\\ntls-san:\\n- {lb}\\n- {SAN}\\n' >{CONFIG} && sed -i -z \"s/\\t'--tls-san' \\\\\\\\\\n\\t'[^']*' \\\\\\\\\\n//g\" {UNIT} && ! grep -q tls-san {UNIT} && systemctl daemon-reload"
            );
            day.lab.ssh(server, &move_them).await?;
        }
        let before = day.lab.ssh(SERVERS[1], &format!("cat {CONFIG}")).await?;
        let form = form(day, &["api.lab.test"], &[]).await?;
        let run = day.operator.start("san_change", form).await?;
        day.operator.approve(run).await?;
        let changed = |text: &str| text.contains("- api.lab.test\n");
        coxswain_e2e::wait::until("the file is changed", CHANGE, async || {
            let now = day.lab.ssh(SERVERS[1], &format!("cat {CONFIG}")).await?;
            Ok(changed(&now).then_some(()))
        })
        .await?;
        day.panel.kill().await?;
        day.panel.launch().await?;
        day.operator.completed(run, CHANGE).await?;
        everywhere(day, &["api.lab.test", SAN], &[]).await?;
        let now = day.lab.ssh(SERVERS[1], &format!("cat {CONFIG}")).await?;
        ensure!(now == format!("{before}- api.lab.test\n"), "{now}");
        Ok(())
    });
}

/// What cannot be taken out is refused with its field; a name that nobody knows stands in the way at the gate.
#[test]
fn what_cannot_go_is_refused() {
    on_the_lab(async |day| {
        let lb = day.lab.host(BALANCER)?.address.clone();
        for name in ["localhost", SERVERS[0], lb.as_str()] {
            let form = form(day, &[], &[name]).await?;
            let error = refused(day.operator.start("san_change", form).await)?;
            ensure!(
                error.error.field.as_deref() == Some("inputs.remove"),
                "{error:?}"
            );
        }
        let unknown = form(day, &[], &["typo.lab.test"]).await?;
        let run = day.operator.start("san_change", unknown).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.len() == 1 && seen[0].name == "Take out typo.lab.test"
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let view = day.operator.run(run).await?;
        ensure!(view.summary.status == RunStatus::Waiting, "{view:?}");
        Ok(())
    });
}
