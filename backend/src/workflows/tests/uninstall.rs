//! What an uninstall refuses where hosts are lost, and what its gate sees of them.

use std::time::Duration;

use coxswain_engine::plan::{Outputs, Plan};
use coxswain_engine::step::{StepContext, StepKind as _};
use coxswain_wire::{
    ClusterId, ClusterPhase, Fact, FactKind, FieldValue, HostId, Inputs, MemberRole, RunId,
    Timestamp, Unclean, Verdict,
};
use tokio::time::Instant;

use super::super::{Inventory, find};
use super::evidence::{facts, failing};
use super::lab::{self, CLUSTER, LB, Lab, inputs};
use crate::steps::remove_k3s::{self, RemoveK3s};
use crate::world::UnreachableKind;

fn given(hosts: &[i64], lost: &[i64]) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("hosts", FieldValue::Ids(hosts.to_vec())),
        ("lost", FieldValue::Ids(lost.to_vec())),
    ])
}

fn planned(hosts: &[i64], lost: &[i64], inventory: &Inventory) -> Result<Plan, Vec<String>> {
    let plan = find("uninstall")
        .unwrap()
        .plan(&given(hosts, lost), inventory);
    plan.map_err(|errors| errors.into_iter().map(|e| e.field).collect())
}

async fn seen(lab: &Lab, lost: &[i64]) -> Vec<Fact> {
    let inventory = lab::running_inventory();
    facts(lab, "uninstall", &given(&[], lost), &inventory).await
}

fn fact<'a>(facts: &'a [Fact], subject: &str, name: &str) -> &'a Fact {
    let found = facts
        .iter()
        .find(|f| f.subject == subject && f.name == name);
    found.unwrap_or_else(|| panic!("no {subject}: {name}"))
}

/// A cluster that goes on loses nobody here, and no host of another one is lost.
#[test]
fn hosts_are_lost_only_where_all_of_their_cluster_ends() {
    let inventory = lab::running_inventory();
    for (hosts, lost) in [
        (&[4][..], &[3][..]),
        (&[1, 2], &[3]),
        (&[], &[5]),
        (&[], &[3, 77]),
    ] {
        let errors = planned(hosts, lost, &inventory).unwrap_err();
        assert_eq!(errors, ["lost"], "{hosts:?} {lost:?}");
    }
    // Said in full, chosen twice, or said twice: the same end.
    let whole = planned(&[], &[3], &inventory).unwrap();
    for (hosts, lost) in [(&[1, 2, 4][..], &[3][..]), (&[1, 2, 3, 4], &[3, 3])] {
        let other = planned(hosts, lost, &inventory).unwrap();
        assert_eq!(other.stages, whole.stages, "{hosts:?} {lost:?}");
        assert_eq!(other.locks, whole.locks);
    }
    assert!(whole.outage.is_some());
}

/// What is lost gets no step of its own but the record of it.
#[test]
fn nothing_is_planned_on_a_lost_host() {
    for lost in [3, LB.0] {
        let plan = planned(&[], &[lost], &lab::running_inventory()).unwrap();
        assert!(plan.steps().all(|(_, _, s)| s.host != Some(HostId(lost))));
        assert!(plan.hosts().contains(&HostId(lost)), "it is looked at");
    }
}

/// More than half of the servers could be a cluster again.
#[test]
fn a_lost_majority_is_warned_of() {
    let warned = |lost: &[i64]| {
        let plan = planned(&[], lost, &lab::running_inventory()).unwrap();
        let mut warnings = plan.warnings.iter();
        warnings.any(|w| w.contains("more than half of the servers"))
    };
    assert!(!warned(&[3]) && !warned(&[3, 4]) && warned(&[2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_answers_is_not_lost() {
    let lab = lab::running_lab();
    lab.balance();
    let found = failing(&seen(&lab, &[3, LB.0]).await);
    assert_eq!(found, ["node3: Machine", "lb: Machine"]);
    // Also without k3s: it can be cleaned like the others.
    lab.world.stop_k3s(HostId(3));
    assert_eq!(failing(&seen(&lab, &[3]).await), ["node3: Machine"]);
    for host in [HostId(3), LB] {
        lab.world.power_off(host);
    }
    let found = seen(&lab, &[3, LB.0]).await;
    assert_eq!(failing(&found), [""; 0]);
    for host in ["node3", "lb"] {
        assert_eq!(fact(&found, host, "Machine").value, "does not answer");
        let stays = fact(&found, host, "Stays on its disk");
        assert_eq!(stays.verdict, Verdict::Warn, "{stays:?}");
    }
}

/// The panel takes nobody for lost by itself, but says that a person may.
#[tokio::test(start_paused = true)]
async fn a_silent_host_stands_in_the_way_until_a_person_gives_it_up() {
    let lab = lab::running_lab();
    lab.balance();
    for host in [HostId(3), LB] {
        lab.world.power_off(host);
    }
    let found = seen(&lab, &[]).await;
    assert_eq!(failing(&found), ["node3: Connection", "lb: Connection"]);
    for host in ["node3", "lb"] {
        let advice = fact(&found, host, "Connection").advice.clone().unwrap();
        assert!(advice.contains("among the lost hosts"), "{advice}");
    }
}

/// k3s starts again by itself while etcd elects: that changes nothing about its end, and nobody has to approve twice.
#[tokio::test(start_paused = true)]
async fn a_k3s_that_comes_and_goes_binds_no_approval() {
    let lab = lab::running_lab();
    lab.balance();
    let bound = async || {
        let mut found = seen(&lab, &[]).await;
        found.retain(|fact| fact.kind != FactKind::Shown);
        found
    };
    let approved = bound().await;
    lab.world.stop_k3s(HostId(1));
    assert_eq!(bound().await, approved);
}

/// Who refuses the connection is on; the panel's own trouble says nothing about a machine.
#[tokio::test(start_paused = true)]
async fn a_lost_host_that_is_on_is_told() {
    let lab = lab::running_lab();
    lab.balance();
    lab.world.power_off(HostId(3));
    for (kind, verdict) in [
        (UnreachableKind::Refused, Verdict::Warn),
        (UnreachableKind::Dns, Verdict::Fail),
    ] {
        lab.world.change(HostId(3), |host| host.unreachable = kind);
        let found = seen(&lab, &[3]).await;
        assert_eq!(fact(&found, "node3", "Machine").verdict, verdict);
    }
}

/// It came back after its cluster had ended: nobody is left who could be asked to delete its node.
#[test]
fn a_host_is_cleaned_though_its_cluster_has_ended() {
    let mut inventory = lab::running_inventory();
    let cluster = &mut inventory.clusters[0];
    cluster.phase = ClusterPhase::Planned;
    let clean = |inventory: &Inventory| {
        let plan = planned(&[3], &[], inventory).unwrap();
        let kinds = plan.steps().map(|(_, _, s)| s.kind.clone());
        kinds.collect::<Vec<_>>()
    };
    cluster.members.retain(|m| m.host != HostId(3));
    let host = inventory.hosts.iter_mut().find(|h| h.id == HostId(3));
    host.unwrap().unclean = Some(Unclean {
        since: Timestamp(0),
        from: CLUSTER,
    });
    assert_eq!(clean(&inventory), ["remove_k3s", "record_cluster"]);
    // Deleted since: any other cluster's form takes it.
    let host = inventory.hosts.iter_mut().find(|h| h.id == HostId(3));
    host.unwrap().unclean.as_mut().unwrap().from = ClusterId(7);
    assert_eq!(planned(&[3], &[], &inventory).unwrap_err(), ["hosts"]);
    let host = inventory.hosts.iter_mut().find(|h| h.id == HostId(3));
    host.unwrap().cluster = None;
    inventory.clusters[0].phase = ClusterPhase::Running;
    assert_eq!(clean(&inventory), ["remove_k3s", "record_cluster"]);
    // All others are out of the inventory as well.
    let members = &mut inventory.clusters[0].members;
    members.retain(|m| m.role == MemberRole::LoadBalancer);
    assert!(clean(&inventory).contains(&"remove_k3s".to_owned()));
}

/// The host left the cluster as lost, and is to be cleaned.
fn lost(host: i64) -> Inventory {
    let mut inventory = lab::running_inventory();
    let members = &mut inventory.clusters[0].members;
    members.retain(|m| m.host != HostId(host));
    let entry = inventory.hosts.iter_mut().find(|h| h.id == HostId(host));
    let entry = entry.unwrap();
    entry.cluster = None;
    entry.unclean = Some(Unclean {
        since: Timestamp(0),
        from: CLUSTER,
    });
    inventory
}

/// The server is an agent, says the inventory.
fn called_agent(host: i64) -> Inventory {
    let mut inventory = lab::running_inventory();
    let mut members = inventory.clusters[0].members.iter_mut();
    members.find(|m| m.host == HostId(host)).unwrap().role = MemberRole::Agent;
    inventory
}

async fn single(lab: &Lab, host: i64, inventory: &Inventory) -> Vec<Fact> {
    facts(lab, "uninstall", &given(&[host], &[]), inventory).await
}

/// What becomes of the removal itself.
async fn removed(lab: &Lab, host: i64, inventory: &Inventory) -> Result<(), String> {
    let plan = planned(&[host], &[], inventory).unwrap();
    let (step, _, planned) = plan
        .steps()
        .find(|(_, _, step)| step.kind == remove_k3s::KIND)
        .unwrap();
    let context = StepContext {
        run: RunId(1),
        step,
        attempt: 1,
        host: planned.host,
        target: planned.target.clone(),
        params: planned.params.clone(),
        memo: serde_json::Value::Null,
        outputs: Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(600),
        applied: true,
        output: None,
    };
    let applied = RemoveK3s(lab.services()).apply(&context).await;
    applied.map_err(|failure| failure.into_error().message)
}

/// Joined again by hand, it is half of the quorum, and its mark says nothing of that.
#[tokio::test(start_paused = true)]
async fn a_lost_server_that_has_joined_again_is_not_wiped() {
    let lab = lab::two_servers();
    let mut inventory = lost(2);
    inventory.clusters[0]
        .members
        .retain(|m| m.host != HostId(3));
    let before = lab.picture();
    let found = failing(&single(&lab, 2, &inventory).await);
    assert_eq!(found, ["node2: etcd member"]);
    let why = removed(&lab, 2, &inventory).await.unwrap_err();
    assert!(why.starts_with("node2 is not stopped: without it"), "{why}");
    assert_eq!(lab.picture(), before);
}

/// The others go on without it: it is cleaned, and said to be a member again.
#[tokio::test(start_paused = true)]
async fn a_lost_server_that_has_joined_again_is_cleaned_where_the_others_have_quorum() {
    let lab = lab::running_lab();
    let inventory = lost(3);
    let found = single(&lab, 3, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    let member = fact(&found, "node3", "etcd member");
    assert_eq!(member.verdict, Verdict::Warn);
    assert!(
        member.value.starts_with("it has joined again"),
        "{member:?}"
    );
    removed(&lab, 3, &inventory).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_the_inventory_calls_an_agent_is_not_wiped() {
    let lab = lab::running_lab();
    let inventory = called_agent(3);
    let found = failing(&single(&lab, 3, &inventory).await);
    assert_eq!(found, ["node3: k3s", "node3: etcd member"]);
    lab.world.stop_k3s(HostId(3));
    let found = failing(&single(&lab, 3, &inventory).await);
    assert_eq!(found, ["node3: etcd member"]);
    let why = removed(&lab, 3, &inventory).await.unwrap_err();
    assert_eq!(why, "node3 is an etcd member, seen from node1");
    // Real agents are no members.
    let agent = single(&lab, 4, &lab::running_inventory()).await;
    assert_eq!(failing(&agent), [""; 0]);
    assert_eq!(fact(&agent, "node4", "etcd member").value, "it is none");
}

/// Who was lost is cleaned even where its cluster is gone as well; an agent belongs to one that lives.
#[tokio::test(start_paused = true)]
async fn where_no_server_can_tell_who_was_lost_is_cleaned_all_the_same() {
    let lab = lab::running_lab();
    for server in 1..=3 {
        lab.world.power_off(HostId(server));
    }
    let agent = single(&lab, 4, &lab::running_inventory()).await;
    assert_eq!(failing(&agent), ["node4: etcd member"]);
    assert!(removed(&lab, 4, &lab::running_inventory()).await.is_err());
    let marked = lost(4);
    let found = single(&lab, 4, &marked).await;
    assert_eq!(failing(&found), [""; 0]);
    let member = fact(&found, "node4", "etcd member");
    assert_eq!(member.verdict, Verdict::Warn);
    assert!(
        member.value.starts_with("nobody can tell: node1: "),
        "{member:?}"
    );
    removed(&lab, 4, &marked).await.unwrap();
}

/// Without a quorum a server's list is an old one.
#[tokio::test(start_paused = true)]
async fn a_list_of_servers_without_quorum_clears_nobody() {
    let lab = lab::running_lab();
    for server in 1..=3 {
        lab.world.cut_off(HostId(server));
    }
    let agent = single(&lab, 4, &lab::running_inventory()).await;
    assert_eq!(failing(&agent), ["node4: etcd member"]);
}

/// What is on them goes; who wants to keep it has to know before.
#[tokio::test(start_paused = true)]
async fn mounted_disks_are_named_before_they_are_emptied() {
    const DISK: &str = "/var/lib/rancher/k3s/server/db";
    let lab = lab::running_lab();
    lab.world.change(HostId(2), |host| host.mounts = vec![DISK]);
    let facts = seen(&lab, &[]).await;
    let disk = fact(&facts, "node2", "Disks mounted there");
    assert_eq!((disk.verdict, disk.value.as_str()), (Verdict::Warn, DISK));
    let others = facts.iter().filter(|f| f.name == disk.name).count();
    assert_eq!(others, 1);
}
