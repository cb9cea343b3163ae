//! What the gates see.

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, FieldValue, HostId, Inputs, RunId, Verdict};
use std::sync::Arc;

use super::super::{Inventory, Preflights, find};
use super::lab::{self, Lab, inputs, list, text};
use crate::world::PodOwner;
use crate::world::fake::FakeHost;

async fn facts(lab: &Lab, workflow: &str, inputs: &Inputs, inventory: &Inventory) -> Vec<Fact> {
    let plan: Plan = find(workflow).unwrap().plan(inputs, inventory).unwrap();
    let state = RunState::new(Arc::new(plan.clone()));
    Preflights::new(lab.services())
        .collect(RunId(1), &plan, 0, &state)
        .await
}

async fn bootstrap(change: impl FnOnce(&mut Vec<FakeHost>)) -> Vec<Fact> {
    let mut machines = lab::machines();
    change(&mut machines);
    let lab = Lab::new(machines, &lab::inventory().clusters[0]);
    let before = lab.picture();
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let facts = facts(&lab, "bootstrap", &given, &lab::inventory()).await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    facts
}

/// Names of failing facts by subject; each has advice.
fn failing(facts: &[Fact]) -> Vec<String> {
    for (at, fact) in facts.iter().enumerate() {
        let same = |other: &&Fact| (&other.subject, &other.name) == (&fact.subject, &fact.name);
        assert!(
            !facts[..at].iter().any(|other| same(&other)),
            "twice: {fact:?}"
        );
    }
    let bad = facts.iter().filter(|f| f.verdict == Verdict::Fail);
    bad.map(|f| {
        assert!(f.advice.is_some(), "{f:?}");
        format!("{}: {}", f.subject, f.name)
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn bare_hosts_pass() {
    let facts = bootstrap(|_| {}).await;
    assert_eq!(failing(&facts), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_told() {
    let found = failing(&bootstrap(|hosts| hosts[1].reachable = false).await);
    assert!(found.contains(&"node2: Connection".to_owned()), "{found:?}");
    let found = failing(&bootstrap(|hosts| hosts[0].clock_offset_ms = -180_000).await);
    assert_eq!(found, ["node1: Clock"]);
    let found = failing(&bootstrap(|hosts| hosts[0].free_kib = 1000).await);
    assert_eq!(
        found,
        [
            "node1: Space for /var/lib/rancher",
            "node1: Space for /usr/local/bin"
        ]
    );
    let found =
        failing(&bootstrap(|hosts| hosts[2].port_taken_by = Some("nginx".to_owned())).await);
    assert_eq!(found, ["node3: Ports"]);
    let found =
        failing(&bootstrap(|hosts| hosts[5].port_taken_by = Some("nginx".to_owned())).await);
    assert_eq!(found, ["lb: Port 6443"]);
    let found = failing(&bootstrap(|hosts| hosts[2].init = "runit".to_owned()).await);
    assert_eq!(found, ["node3: systemd"]);
    let found = failing(&bootstrap(|hosts| hosts[1].hostname = "node1".to_owned()).await);
    assert_eq!(found, ["prod: Host names"]);
    let found = failing(&bootstrap(|hosts| hosts[3].filtered = true).await);
    assert!(
        found.contains(&"node1: Way to node4".to_owned()),
        "{found:?}"
    );
    let found = failing(&bootstrap(|hosts| hosts[5].haproxy_gone()).await);
    assert_eq!(found, ["lb: HAProxy", "lb: haproxy.cfg"]);
}

#[tokio::test(start_paused = true)]
async fn old_databases_are_told_apart() {
    let old = |path: &str| {
        let path = format!("/var/lib/rancher/k3s/server/db/{path}");
        move |hosts: &mut Vec<FakeHost>| drop(hosts[0].files.insert(path, "data".to_owned()))
    };
    let value = |facts: &[Fact]| {
        facts
            .iter()
            .find(|f| f.subject == "node1" && f.name == "Datastore")
            .unwrap()
            .value
            .clone()
    };
    let sqlite = bootstrap(old("state.db")).await;
    assert!(
        failing(&sqlite).contains(&"node1: Datastore".to_owned())
            && value(&sqlite).contains("SQLite")
    );
    let etcd = bootstrap(old("etcd/member/snap/db")).await;
    assert!(
        failing(&etcd).contains(&"node1: Datastore".to_owned()) && value(&etcd).contains("etcd")
    );
}

#[tokio::test(start_paused = true)]
async fn configuration_is_shown_without_its_secrets() {
    let path = "/etc/rancher/k3s/config.yaml";
    let with = |text: &'static str| {
        move |hosts: &mut Vec<FakeHost>| {
            drop(hosts[0].files.insert(path.to_owned(), text.to_owned()))
        }
    };
    let shown = bootstrap(with("node-label:\n- zone=a\nagent-token: hunter2hunter2\n")).await;
    let fact = shown.iter().find(|f| f.name == path).unwrap();
    assert!(
        fact.value.contains("zone=a") && !fact.value.contains("hunter2"),
        "{}",
        fact.value
    );
    assert_eq!(failing(&shown), [""; 0]);
    let refused = bootstrap(with("server: https://10.9.9.9:6443\n")).await;
    assert_eq!(failing(&refused), ["node1: Configuration"]);
}

#[tokio::test(start_paused = true)]
async fn air_gapped_files_are_looked_for() {
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("source", text("air_gapped")),
        ("script_path", text("/opt/install.sh")),
        ("binary_path", text("/opt/k3s")),
    ]);
    let mut machines = lab::machines();
    for machine in &mut machines[..3] {
        machine
            .files
            .insert("/opt/install.sh".to_owned(), "#!/bin/sh".to_owned());
        machine
            .files
            .insert("/opt/k3s".to_owned(), "k3s".to_owned());
    }
    let lab = Lab::new(machines, &lab::inventory().clusters[0]);
    let found = failing(&facts(&lab, "bootstrap", &given, &lab::inventory()).await);
    assert_eq!(found, ["node4: Files", "prod: Version"]);
}

#[tokio::test(start_paused = true)]
async fn a_typed_command_is_shown_word_for_word() {
    let command = "systemctl status haproxy | head";
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("what", text("shell")),
        ("hosts", FieldValue::Ids(vec![1, 9])),
        ("shell", text(command)),
        ("sudo", FieldValue::Bool(true)),
    ]);
    let lab = lab::running_lab();
    lab.world.change(lab::LB, |host| host.reachable = false);
    let facts = facts(&lab, "command", &given, &lab::running_inventory()).await;
    assert_eq!(failing(&facts), ["lb: Connection"]);
    let fact = |subject: &str, name: &str| {
        let found = facts
            .iter()
            .find(|f| f.subject == subject && f.name == name);
        found.unwrap().value.clone()
    };
    assert_eq!(fact("prod", "Command"), command);
    assert_eq!(fact("node1", "Runs as"), "root");
}

#[tokio::test(start_paused = true)]
async fn joiners_are_compared_with_the_cluster() {
    let given = |version: &str| {
        inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(5)),
            ("version", text(version)),
        ])
    };
    let lab = lab::running_lab();
    let inventory = lab::running_inventory();
    assert_eq!(
        failing(&facts(&lab, "join", &given("v1.33.5+k3s1"), &inventory).await),
        [""; 0]
    );
    assert_eq!(
        failing(&facts(&lab, "join", &given("v1.32.1+k3s1"), &inventory).await),
        ["prod: Same version"]
    );
    let mut other = given("v1.33.5+k3s1");
    other.insert("args".to_owned(), list(&["--flannel-backend=host-gw"]));
    let found = failing(&facts(&lab, "join", &other, &inventory).await);
    assert_eq!(
        found,
        [
            "node1: Critical flags",
            "node2: Critical flags",
            "node3: Critical flags"
        ]
    );
    lab.world.change(HostId(3), |host| host.reachable = false);
    let found = failing(&facts(&lab, "join", &given("v1.33.5+k3s1"), &inventory).await);
    assert!(found.contains(&"prod: etcd".to_owned()), "{found:?}");
}

async fn removal(lab: &Lab, host: i64, state: &str, inventory: &Inventory) -> Vec<Fact> {
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(host)),
        ("state", text(state)),
    ]);
    facts(lab, "remove_node", &given, inventory).await
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lives_is_not_lost_and_one_that_is_lost_does_not_answer() {
    let lab = lab::running_lab();
    let found = failing(&removal(&lab, 3, "lost", &lab::running_inventory()).await);
    assert_eq!(found, ["node3: Machine", "node3: Lease"]);
    lab.world.power_off(HostId(3));
    let found = failing(&removal(&lab, 3, "lost", &lab::running_inventory()).await);
    assert_eq!(found, [""; 0]);
    let found = failing(&removal(&lab, 3, "reachable", &lab::running_inventory()).await);
    assert_eq!(found, ["node3: Connection"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_leaves_while_another_member_is_down() {
    let lab = lab::running_lab();
    lab.world.stop_k3s(HostId(2));
    let found = failing(&removal(&lab, 3, "reachable", &lab::running_inventory()).await);
    assert!(
        found.contains(&"prod: Quorum without node3".to_owned()),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_drain_loses_is_named() {
    let lab = lab::running_lab();
    lab.world.pod(
        "web",
        "node4",
        PodOwner::Other("ReplicaSet".to_owned()),
        None,
    );
    lab.world.pod("by-hand", "node4", PodOwner::Nobody, None);
    let found = removal(&lab, 4, "reachable", &lab::running_inventory()).await;
    let bare = found
        .iter()
        .find(|f| f.name == "Pods without a controller")
        .unwrap();
    assert_eq!(
        (bare.verdict, bare.value.as_str()),
        (Verdict::Warn, "default/by-hand")
    );
    assert_eq!(failing(&found), [""; 0]);
}
