//! What has to be so before a drill begins.

use coxswain_wire::{Fact, Verdict};

use super::*;

/// The facts of a drill's gate.
async fn evidence(lab: &Lab, more: &[(&str, FieldValue)]) -> Vec<Fact> {
    let store = MemoryStore::default();
    let bench = bench(lab, &store);
    let run = bench.start(more).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    view.stages[0].evidence.clone().unwrap().facts
}

/// Those that fail.
async fn failing(lab: &Lab, more: &[(&str, FieldValue)]) -> Vec<(String, String)> {
    let facts = evidence(lab, more).await.into_iter();
    facts
        .filter(|fact| fact.verdict == Verdict::Fail)
        .map(|fact| (fact.subject, fact.name))
        .collect()
}

fn named(found: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = found.iter();
    pairs.map(|(s, n)| (s.as_str(), n.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn only_a_whole_cluster_is_drilled() {
    assert!(failing(&drilled_lab(), &[]).await.is_empty());
    let lab = drilled_lab();
    lab.world.stop_k3s(HostId(3));
    let found = failing(&lab, &[]).await;
    let found = named(&found);
    for fact in [
        ("node3", "k3s"),
        ("node3", "Node"),
        ("prod", "etcd"),
        ("prod", "Quorum without node1"),
    ] {
        assert!(found.contains(&fact), "{fact:?} in {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_on_the_server_alone_is_in_the_way_unless_the_form_says_so() {
    let lab = drilled_lab();
    lab.world
        .pod("single", "node1", PodOwner::StatefulSet, None);
    let found = failing(&lab, &[]).await;
    assert_eq!(named(&found), [("node1", "Workloads on this server alone")]);
    let go_on = ("only_replicas", FieldValue::Bool(true));
    assert!(failing(&lab, &[go_on]).await.is_empty());
}

/// Containers run on while k3s is away: nothing happens to them as long as nothing can be evicted.
#[tokio::test(start_paused = true)]
async fn a_workload_that_cannot_be_evicted_is_not_in_the_way() {
    let lab = drilled_lab();
    let owner = PodOwner::Other("ReplicaSet".to_owned());
    lab.world.pod("coredns", "node1", owner, None);
    let of = |fault, seconds| [text("fault", fault), text("observe_s", seconds)];
    for given in [of("stopped", "189"), of("killed", "420")] {
        let facts = evidence(&lab, &given).await;
        let alone = facts.iter().find(|f| f.name.contains("server alone"));
        let alone = alone.unwrap();
        assert_eq!(alone.verdict, Verdict::Pass, "{alone:?}");
        assert!(alone.value.contains("default/coredns"), "{alone:?}");
    }
    // The timer would end the longer one too late, and the others take the containers along.
    for given in [of("stopped", "190"), of("cut", "20"), of("power_off", "20")] {
        let found = failing(&lab, &given).await;
        assert_eq!(named(&found), [("node1", "Workloads on this server alone")]);
    }
}

/// Not everything comes back somewhere else.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_workload_on_the_server_alone_is_said() {
    let lab = drilled_lab();
    for (name, owner) in [
        ("by-hand", PodOwner::Nobody),
        ("db-0", PodOwner::StatefulSet),
        ("files", PodOwner::Other("ReplicaSet".to_owned())),
        ("cache", PodOwner::Other("ReplicaSet".to_owned())),
    ] {
        lab.world.pod(name, "node1", owner, None);
    }
    lab.world.claim("files", "data");
    let facts = evidence(&lab, &[]).await;
    let alone = facts
        .iter()
        .find(|f| f.name == "Workloads on this server alone");
    let said = &alone.unwrap().value;
    for part in [
        "pod default/by-hand: lost for good",
        "StatefulSet default/db-0: waits for this server",
        "ReplicaSet default/files: waits for this server if a volume lies on it (data)",
        "ReplicaSet default/cache: starts elsewhere",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_cannot_be_taken_away_is_not_made() {
    let lab = drilled_lab();
    lab.world
        .change(HostId(1), |host| host.firewall_tool = "none".to_owned());
    assert!(failing(&lab, &[]).await.is_empty());
    let found = failing(&lab, &[text("fault", "cut")]).await;
    assert_eq!(named(&found), [("node1", "Firewall")]);
    lab.world.change(lab::LB, |host| host.reachable = false);
    let found = failing(&lab, &[text("fault", "power_off")]).await;
    assert_eq!(named(&found), [("node1", "Power control")]);
}
