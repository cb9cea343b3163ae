//! `import`: a panel that has never seen the cluster takes it over, and changes nothing on it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coxswain_e2e::api::refused;
use coxswain_e2e::cluster;
use coxswain_e2e::environment::Programs;
use coxswain_e2e::operator::Operator;
use coxswain_e2e::panel::Panel;
use coxswain_e2e::runs::{inputs, text};
use coxswain_wire::{Cluster, ClusterPhase, FieldValue, Member, MemberRole, RunCommand, Verdict};

use crate::day::{BALANCER, CLUSTER, Day, SERVERS, on_the_lab};
use crate::upgrade;

/// Time an import may take on a busy machine.
const IMPORT: Duration = Duration::from_secs(120);
/// k3s's unit of a server.
const UNIT: &str = "/etc/systemd/system/k3s.service";
/// Everything that an import must leave as it is, in sums and numbers.
const STATE: &str = "sha256sum /etc/systemd/system/k3s.service /etc/systemd/system/k3s.service.env; \
     stat -c '%n %a %Y' /etc/systemd/system/k3s.service*; ls -A /etc/rancher/k3s; \
     systemctl show -p InvocationID k3s";

/// A second panel, with the hosts of the lab enrolled and a cluster that is planned.
async fn newcomer(
    day: &Day,
    role: impl Fn(&str) -> MemberRole,
) -> Result<(Panel, Operator, Cluster)> {
    let panel = Panel::start(&Programs::read()?).await?;
    let operator = Operator::first(&panel).await?;
    let key = operator.new_credential("newcomer").await?;
    let mut members = Vec::new();
    for name in SERVERS.into_iter().chain([BALANCER]) {
        let let_in = format!("echo '{}' >> ~/.ssh/authorized_keys", key.public_key.trim());
        day.lab.as_user(name, &let_in).await?;
        let host = operator.enrol(&day.lab, name, key.id).await?.id;
        members.push(Member {
            host,
            role: role(name),
        });
    }
    let endpoint = &day.lab.host(BALANCER)?.address;
    let cluster = operator.new_cluster(CLUSTER, endpoint, members).await?;
    Ok((panel, operator, cluster))
}

fn as_it_is(name: &str) -> MemberRole {
    if name == BALANCER {
        MemberRole::LoadBalancer
    } else {
        MemberRole::Server
    }
}

async fn states(day: &Day) -> Result<Vec<String>> {
    let mut states = Vec::new();
    for server in SERVERS {
        states.push(day.lab.ssh(server, STATE).await?);
    }
    Ok(states)
}

#[test]
fn a_foreign_cluster_is_taken_over_unchanged() {
    on_the_lab(async |day| {
        let before = states(day).await?;
        let (_panel, operator, planned) = newcomer(day, as_it_is).await?;
        ensure!(planned.phase == ClusterPhase::Planned, "{planned:?}");
        let form = inputs([("cluster", FieldValue::Id(planned.id.0))]);
        operator.complete("import", form, IMPORT).await?;

        let taken = operator.cluster(CLUSTER).await?;
        ensure!(taken.phase == ClusterPhase::Running, "{taken:?}");
        let after = states(day).await?;
        ensure!(before == after, "before {before:?}, after {after:?}");
        // Whatever needs the token and the kubeconfig works from now on.
        let form = inputs([
            ("cluster", FieldValue::Id(planned.id.0)),
            ("action", text("save")),
        ]);
        let run = operator.start("snapshot", form).await?;
        operator.completed(run, IMPORT).await.map(drop)
    });
}

/// The inventory has a server as an agent: named, with nothing taken over.
#[test]
fn another_role_stands_in_the_way() {
    on_the_lab(async |day| {
        let wrong = SERVERS[2];
        let role = |name: &str| {
            if name == wrong {
                MemberRole::Agent
            } else {
                as_it_is(name)
            }
        };
        let (_panel, operator, planned) = newcomer(day, role).await?;
        let form = inputs([("cluster", FieldValue::Id(planned.id.0))]);
        let run = operator.start("import", form).await?;
        operator
            .in_the_way(run, |seen| seen.iter().any(|fact| fact.subject == wrong))
            .await?;
        refused(operator.approve_as_it_is(run).await)?;
        Ok(())
    });
}

/// Everybody on the host can read the token in the unit file: it moves, k3s runs on.
#[test]
fn a_token_that_everybody_can_read_is_moved() {
    on_the_lab(async |day| {
        let server = SERVERS[0];
        expose(day).await?;
        let (_panel, operator, planned) = newcomer(day, as_it_is).await?;
        let form = inputs([
            ("cluster", FieldValue::Id(planned.id.0)),
            ("move_token", FieldValue::Bool(true)),
        ]);
        let run = operator.start("import", form).await?;
        let (_, evidence) = operator.evidence(run).await?;
        let told = evidence.facts.iter().any(|fact| {
            fact.subject == server
                && fact.verdict == Verdict::Warn
                && fact.value.contains("command line")
        });
        ensure!(told, "nobody says so: {evidence:?}");
        operator.approve(run).await?;
        // The move has a gate of its own.
        operator.approve(run).await?;
        operator.completed(run, IMPORT).await?;

        moved(day).await
    });
}

/// The same of a cluster that the panel knows, by the link in the evidence of an upgrade.
#[test]
fn a_token_is_moved_on_a_cluster_that_is_known() {
    on_the_lab(async |day| {
        expose(day).await?;
        let form = upgrade::form(day, "version", upgrade::NEWER).await?;
        let run = day.operator.start("upgrade", form).await?;
        let (_, evidence) = day.operator.evidence(run).await?;
        let next = evidence.facts.iter().find_map(|fact| fact.next.clone());
        let next = next.with_context(|| format!("no link: {evidence:?}"))?;
        day.operator
            .command(
                run,
                &RunCommand::Reject {
                    comment: "First the token.".to_owned(),
                },
            )
            .await?;
        day.operator
            .complete(&next.workflow, next.inputs, IMPORT)
            .await?;
        moved(day).await
    });
}

/// The unit reads a file with another token after the one that the token would go into: it would win.
#[test]
fn a_token_that_another_one_would_replace_is_not_moved() {
    on_the_lab(async |day| {
        let server = SERVERS[0];
        expose(day).await?;
        let shadow = format!(
            "set -eu; echo K3S_TOKEN=another-one >/etc/k3s-extra.env
             sed -i 's|^ExecStart=|EnvironmentFile=-/etc/k3s-extra.env\\n&|' {UNIT}
             systemctl daemon-reload; sha256sum {UNIT} {UNIT}.env"
        );
        let before = day.lab.ssh(server, &shadow).await?;
        let form = inputs([("cluster", day.cluster().await?)]);
        let run = day.operator.start("move_token", form).await?;
        day.operator
            .in_the_way(run, |seen| {
                seen.iter()
                    .any(|fact| fact.subject == server && fact.name == "Token")
            })
            .await?;
        refused(day.operator.approve_as_it_is(run).await)?;
        let look = format!("sha256sum {UNIT} {UNIT}.env");
        let after = day.lab.ssh(server, &look).await?;
        ensure!(before.ends_with(&after), "before {before}, after {after}");
        Ok(())
    });
}

/// A token where everybody on the host can read it.
async fn expose(day: &Day) -> Result<()> {
    let expose = format!(
        "set -eu; token=$(cat /var/lib/rancher/k3s/server/token)
         sed -i \"s|^ *server |&--token $token |\" {UNIT}
         sed -i '/^K3S_TOKEN=/d' {UNIT}.env; chmod 0644 {UNIT}
         systemctl daemon-reload; systemctl cat k3s | grep -c -- --token"
    );
    day.lab.ssh(SERVERS[0], &expose).await.map(drop)
}

/// It is in the environment file alone, and k3s starts with it.
async fn moved(day: &Day) -> Result<()> {
    let server = SERVERS[0];
    let look = format!(
        "set -eu; token=$(cat /var/lib/rancher/k3s/server/token); ! grep -qF -- \"$token\" {UNIT}
         grep -qF -- \"$token\" {UNIT}.env; stat -c %a {UNIT}.env"
    );
    let mode = day.lab.ssh(server, &look).await?;
    ensure!(mode.trim() == "600", "mode {mode}");
    day.lab.ssh(server, "systemctl restart k3s").await?;
    cluster::whole(&day.lab, &SERVERS, BALANCER, IMPORT).await
}
