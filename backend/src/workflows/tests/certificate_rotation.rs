//! What a rotation refuses, and what stands in its way.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::state::RunState;
use coxswain_wire::{FieldValue, HostId, Inputs, MemberRole, RunId, RunStatus, RunView};

use super::super::{Preflights, find};
use super::conformance::lab_with_backups;
use super::evidence::{facts, failing, odd};
use super::forms::refused;
use super::lab::{self, inputs, list, text};
use super::panel::Panel;
use crate::steps::{certificates, rotate_certificates};
use crate::world::fake::FakeHost;
use crate::world::{Ask, TlsTarget, World as _};

fn given(more: &[(&str, FieldValue)]) -> Inputs {
    let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
    given.extend(inputs(more));
    given
}

#[test]
fn services_are_checked() {
    let running = lab::running_inventory();
    let of = |more: &[(&str, FieldValue)]| refused("certificate_rotation", &given(more), &running);
    let some = |services: &[&str]| of(&[("extent", text("some")), ("services", list(services))]);
    assert_eq!(some(&["nosuch"]), ["services"]);
    assert_eq!(some(&["kubelet", "-x"]), ["services"]);
    assert_eq!(some(&[]), ["services"]);
    assert_eq!(of(&[("services", list(&["kubelet"]))]), ["services"]);
    assert_eq!(of(&[("extent", text("none"))]), ["extent"]);
    assert_eq!(of(&[("backups", text("burn"))]), ["backups"]);
    assert_eq!(of(&[("server", FieldValue::Id(1))]), ["server"]);
    assert_eq!(
        refused("certificate_rotation", &given(&[]), &lab::inventory()),
        ["cluster"]
    );
    let mut two = lab::running_inventory();
    two.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 < 3);
    assert_eq!(
        refused("certificate_rotation", &given(&[]), &two),
        ["cluster"]
    );
}

/// k3s takes the IPv6 address of the default route by itself.
#[tokio::test(start_paused = true)]
async fn an_address_of_a_servers_own_does_not_go() {
    let lab = lab::running_lab();
    lab.balance();
    lab.world.change(HostId(2), |host| {
        host.more_addresses = vec!["2001:db8::2".parse().unwrap()];
    });
    lab.tell(&["10.0.0.9"]);
    let found = facts(
        &lab,
        "certificate_rotation",
        &given(&[]),
        &lab::running_inventory(),
    )
    .await;
    assert!(
        !odd(&found)
            .iter()
            .any(|(at, _)| at == "prod: Names that go")
    );
    let certificate = found.iter().find(|f| f.name == "Certificate of :6443");
    assert!(certificate.is_some(), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn names_that_the_new_certificate_will_not_have_are_told() {
    let running = lab::running_inventory();
    // A server that learns has been asked for a name that nobody told it of.
    let learned = async || {
        let lab = lab::running_lab();
        lab.balance();
        lab.configure("tls-san:\n- 10.0.0.9\n");
        let server = TlsTarget::new("10.0.0.1", 6443).ask(Ask::Sni("old.example.org".to_owned()));
        lab.world.handshake(&server).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        lab
    };
    let found = facts(
        &learned().await,
        "certificate_rotation",
        &given(&[]),
        &running,
    )
    .await;
    assert_eq!(failing(&found), [""; 0]);
    let goes = (
        "prod: Names that go".to_owned(),
        "old.example.org".to_owned(),
    );
    assert!(odd(&found).contains(&goes), "{:?}", odd(&found));
    let mut known_as = running.clone();
    known_as.clusters[0].endpoint = "old.example.org".to_owned();
    let of = async |more: &[(&str, FieldValue)]| {
        let lab = learned().await;
        failing(&facts(&lab, "certificate_rotation", &given(more), &known_as).await)
    };
    assert_eq!(of(&[]).await, ["prod: Endpoint afterwards"]);
    let scheduler = [("extent", text("some")), ("services", list(&["scheduler"]))];
    assert_eq!(of(&scheduler).await, [""; 0]);
}

/// `k3s token create` makes tokens for a day; the agent's certificates hide it.
#[tokio::test(start_paused = true)]
async fn an_agent_is_not_taken_down_that_could_not_join_again() {
    let running = lab::running_inventory();
    for token in [
        "0123456789abcdef0123456789abcdef",
        "abcdef.0123456789abcdef",
    ] {
        let lab = lab::running_lab();
        lab.balance();
        lab.world.change(HostId(4), |host| {
            let env = "/etc/systemd/system/k3s-agent.service.env".to_owned();
            host.files.insert(env, format!("K3S_TOKEN={token}\n"));
        });
        let found = facts(&lab, "certificate_rotation", &given(&[]), &running).await;
        assert_eq!(failing(&found), ["node4: Token"]);
        assert!(!format!("{found:?}").contains(token));
    }
}

/// In another place a new token would not count, nor does the servers' token where agents have one of their own.
#[tokio::test(start_paused = true)]
async fn a_refused_token_is_mended_where_it_counts() {
    let advice = async |config: &str, agent: fn(&mut FakeHost)| {
        let lab = lab::running_lab();
        lab.balance();
        if !config.is_empty() {
            lab.configure(config);
        }
        lab.world.change(HostId(4), agent);
        let given = given(&[("extent", text("some")), ("services", list(&["kubelet"]))]);
        let found = facts(
            &lab,
            "certificate_rotation",
            &given,
            &lab::running_inventory(),
        )
        .await;
        let fact = found
            .into_iter()
            .find(|f| f.subject == "node4" && f.name == "Token");
        fact.and_then(|fact| fact.advice).unwrap()
    };
    let env = |host: &mut FakeHost| {
        let path = "/etc/systemd/system/k3s-agent.service.env".to_owned();
        host.files
            .insert(path, "K3S_TOKEN=0123456789abcdef\n".to_owned());
    };
    let said = advice("", env).await;
    assert!(
        said.contains("server/node-token) into K3S_TOKEN in k3s-agent.service.env"),
        "{said}"
    );
    let said = advice(
        "agent-token: another0123456789\ntls-san:\n- 10.0.0.9\n",
        |host| {
            let path = "/etc/rancher/k3s/config.yaml".to_owned();
            host.files
                .insert(path, "token: 0123456789abcdef\n".to_owned());
        },
    );
    let said = said.await;
    assert!(
        said.contains("server/agent-token) into token in /etc/rancher/k3s/config.yaml"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_server_is_taken_down_beside_another_one() {
    let running = lab::running_inventory();
    let look = async |lab: &lab::Lab| {
        let before = lab.picture();
        let found = facts(lab, "certificate_rotation", &given(&[]), &running).await;
        assert_eq!(lab.picture(), before, "looking changes nothing");
        failing(&found)
    };
    let lab = lab::running_lab();
    lab.balance();
    assert_eq!(look(&lab).await, [""; 0]);
    lab.world.stop_k3s(HostId(2));
    let found = look(&lab).await;
    assert!(found.contains(&"node2: k3s".to_owned()), "{found:?}");
    assert!(found.contains(&"prod: etcd".to_owned()), "{found:?}");
    lab.world.change(HostId(4), |host| host.reachable = false);
    let found = look(&lab).await;
    assert!(found.contains(&"node4: Connection".to_owned()), "{found:?}");
}

/// k3s is stopped while it rotates: what failed there is mended by another attempt.
#[tokio::test(start_paused = true)]
async fn a_node_that_its_rotation_left_stopped_does_not_block_the_retry() {
    let lab = lab::running_lab();
    lab.balance();
    let kubelets = given(&[("extent", text("some")), ("services", list(&["kubelet"]))]);
    let plan = find("certificate_rotation").unwrap();
    let plan = plan.plan(&kubelets, &lab::running_inventory()).unwrap();
    let mut state = RunState::new(Arc::new(plan.clone()));
    let look = async |state: &RunState| {
        let preflights = Preflights::new(lab.services());
        failing(&preflights.collect(RunId(1), &plan, 0, state).await)
    };
    lab.world.stop_k3s(HostId(2));
    let found = look(&state).await;
    assert!(found.contains(&"prod: etcd".to_owned()), "{found:?}");
    for (index, _, step) in plan.steps() {
        let begun = step.kind == rotate_certificates::KIND && step.target == "node2";
        state.steps[index as usize].attempt = u32::from(begun);
    }
    assert_eq!(look(&state).await, [""; 0]);
}

#[test]
fn a_clean_up_asks_for_nothing_else_and_restarts_nothing() {
    let clean = |more: &[(&str, FieldValue)]| {
        let mut form = given(&[("what", text("clean_up"))]);
        form.extend(inputs(more));
        form
    };
    let mut two = lab::running_inventory();
    two.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 < 3);
    let refused = |form: &Inputs| refused("certificate_rotation", form, &two);
    assert_eq!(refused(&clean(&[("extent", text("all"))])), ["extent"]);
    assert_eq!(
        refused(&clean(&[("hosts", FieldValue::Ids(vec![3]))])),
        ["hosts"]
    );
    assert_eq!(
        refused(&given(&[("hosts", FieldValue::Ids(vec![1]))])),
        ["hosts"]
    );
    let plan = find("certificate_rotation").unwrap();
    let plan = plan.plan(&clean(&[]), &two).unwrap();
    let kinds = plan.stages.iter().flat_map(|stage| &stage.steps);
    let kinds: Vec<&str> = kinds.map(|step| step.kind.as_str()).collect();
    let remove = "remove_backups";
    assert_eq!(kinds, ["list_backups", remove, remove, remove]);
}

const FOLDER: &str = "/var/lib/rancher/k3s/server/tls-1790000000";

/// The picture of the lab leaves such folders out: their names differ from run to run.
fn is_there(lab: &lab::Lab, host: i64, folder: &str) -> bool {
    ["client-admin.crt", "read.me"].iter().any(|file| {
        let path = format!("{folder}/{file}");
        lab.world.file(HostId(host), &path).is_some()
    })
}

fn put_aside(lab: &lab::Lab, host: i64, folder: &str) {
    lab.world.change(HostId(host), |host| {
        let path = format!("{folder}/client-admin.crt");
        host.files.insert(path, "old".to_owned());
    });
}

fn offered(view: &RunView) -> Vec<&coxswain_wire::NextRun> {
    view.steps.iter().flat_map(|step| &step.next).collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_rotation_leaves_is_listed_and_can_be_deleted_later() {
    let lab = lab_with_backups();
    let (panel, running) = (Panel::over(&lab), lab::running_inventory());
    let run = panel
        .start("certificate_rotation", &given(&[]), &running)
        .await;
    panel.approve(run).await;
    let view = panel.is(run, RunStatus::Completed).await;
    let list = &view.steps.last().unwrap().report[0];
    let row = vec![
        "node1".to_owned(),
        FOLDER.to_owned(),
        "8 KiB".to_owned(),
        "2026-09-21T14:13:20Z".to_owned(),
    ];
    assert!(list.rows.contains(&row), "{:?}", list.rows);
    // Three servers and an agent were rotated; three nodes had an older folder.
    assert_eq!(list.rows.len(), 7, "{:?}", list.rows);
    let next = offered(&view);
    let [next] = next.as_slice() else {
        panic!("{next:?}");
    };
    let run = panel.start(&next.workflow, &next.inputs, &running).await;
    panel.approve(run).await;
    let view = panel.is(run, RunStatus::Completed).await;
    assert!(offered(&view).is_empty());
    let world = lab.services().world;
    for host in 1..=4 {
        let left = certificates::backups(&*world, HostId(host)).await.unwrap();
        assert!(left.is_empty(), "on host {host}: {left:?}");
    }
    assert!(is_there(&lab, 1, "/var/lib/rancher/k3s/server/tls-notes"));
}

#[tokio::test(start_paused = true)]
async fn only_what_the_gate_has_shown_is_deleted() {
    const LATE: &str = "/var/lib/rancher/k3s/server/tls-1790000111";
    let lab = lab_with_backups();
    let (panel, running) = (Panel::over(&lab), lab::running_inventory());
    let form = given(&[("what", text("clean_up"))]);
    let run = panel.start("certificate_rotation", &form, &running).await;
    let view = panel.is(run, RunStatus::Waiting).await;
    assert!(is_there(&lab, 1, FOLDER));
    let shown = |view: &RunView| {
        let evidence = view.stages[1].evidence.clone().unwrap();
        let facts = evidence.facts.into_iter();
        let diffs = facts.filter(|fact| fact.subject == "node1");
        diffs.filter_map(|fact| fact.diff).collect::<String>()
    };
    assert_eq!(shown(&view), format!("-{FOLDER} (8 KiB)\n"));
    // Somebody rotates by hand while the gate waits: the approval does not hold for that, and a new one does not
    // either.
    put_aside(&lab, 1, LATE);
    panel.approve(run).await;
    let view = panel.is(run, RunStatus::Waiting).await;
    assert!(!view.stages[1].changes.is_empty());
    assert_eq!(shown(&view), format!("-{FOLDER} (8 KiB)\n"));
    panel.approve(run).await;
    panel.is(run, RunStatus::Completed).await;
    assert!(!is_there(&lab, 1, FOLDER));
    assert!(is_there(&lab, 1, LATE));
}
