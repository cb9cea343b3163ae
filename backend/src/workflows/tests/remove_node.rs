//! What the gate of a removal sees.

use coxswain_wire::{Fact, FieldValue, HostId, Verdict};

use super::super::{Inventory, find};
use super::evidence::{facts, failing};
use super::lab::{self, Lab, inputs, text};
use crate::world::{PodOwner, UnreachableKind};

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

/// Of five servers two are gone: the quorum holds, and neither is in the way of the other.
#[tokio::test(start_paused = true)]
async fn two_of_five_leave_together() {
    let five = lab::five_inventory();
    let lost = async |lab: &Lab, host: i64, others: &[i64]| {
        let given = inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(host)),
            ("state", text("lost")),
            ("also_lost", FieldValue::Ids(others.to_vec())),
        ]);
        facts(lab, "remove_node", &given, &five).await
    };
    let lab = lab::three_of_five_servers();
    for (host, other) in [(4, 5), (5, 4)] {
        assert_eq!(failing(&lost(&lab, host, &[other]).await), [""; 0]);
    }
    // The panel takes nobody for lost by itself.
    let alone = lost(&lab, 4, &[]).await;
    let silent = alone
        .iter()
        .find(|f| f.subject == "node5" && f.name == "Connection")
        .unwrap();
    let advice = silent.advice.as_deref().unwrap();
    assert_eq!(silent.verdict, Verdict::Fail);
    assert!(advice.contains("other hosts that are lost"), "{advice}");
    let quorum = alone.iter().find(|f| f.name == "Quorum without node4");
    assert_eq!(quorum.unwrap().verdict, Verdict::Pass);
    // One that lives is not lost, whatever the form says.
    let alive = failing(&lost(&lab, 4, &[5, 3]).await);
    for fact in ["node3: Machine", "node3: Lease"] {
        assert!(alive.contains(&fact.to_owned()), "{alive:?}");
    }
    // In good order nobody goes while others are down.
    let planned = failing(&removal(&lab, 3, "reachable", &five).await);
    for fact in ["node4: Connection", "prod: Quorum without node3"] {
        assert!(planned.contains(&fact.to_owned()), "{planned:?}");
    }
    // A third one, and there is no quorum.
    lab.world.power_off(HostId(3));
    for others in [&[5, 3][..], &[5]] {
        let found = failing(&lost(&lab, 4, others).await);
        let quorum = found
            .iter()
            .any(|f| f.starts_with("prod: Quorum without node4"));
        assert!(quorum, "{found:?}");
    }
}

#[test]
fn other_lost_hosts_are_hosts_of_the_cluster_and_leave_a_server() {
    let of = |state: &str, others: &[i64]| {
        let given = inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(3)),
            ("state", text(state)),
            ("also_lost", FieldValue::Ids(others.to_vec())),
        ]);
        let planned = find("remove_node")
            .unwrap()
            .plan(&given, &lab::running_inventory());
        planned.map_err(|errors| errors.into_iter().map(|e| e.field).collect::<Vec<_>>())
    };
    for (state, others) in [
        ("reachable", &[4][..]),
        ("lost", &[5]),
        ("lost", &[9]),
        ("lost", &[1, 2]),
    ] {
        assert_eq!(of(state, others).unwrap_err(), ["also_lost"], "{others:?}");
    }
    let plan = of("lost", &[4, 4, 3]).unwrap();
    let gone = plan.steps().filter(|(_, _, s)| s.kind == "leave_cluster");
    let gone: Vec<&str> = gone.map(|(_, _, s)| s.target.as_str()).collect();
    assert_eq!(gone, ["node3", "node4"]);
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

/// Refused or hung up: somebody is there, and who cannot sign in does not know what runs.
#[tokio::test(start_paused = true)]
async fn a_lost_machine_that_is_on_is_told() {
    let lab = lab::running_lab();
    lab.world.power_off(HostId(3));
    lab.world.change(HostId(3), |host| {
        host.unreachable = UnreachableKind::Refused;
    });
    let found = removal(&lab, 3, "lost", &lab::running_inventory()).await;
    let machine = found.iter().find(|f| f.name == "Machine").unwrap();
    assert_eq!(machine.verdict, Verdict::Warn, "{machine:?}");
    // The panel's own trouble says nothing about a machine.
    lab.world.change(HostId(3), |host| {
        host.unreachable = UnreachableKind::Dns;
    });
    let found = removal(&lab, 3, "lost", &lab::running_inventory()).await;
    assert_eq!(failing(&found), ["node3: Machine"]);
}
