//! What the gate of a removal sees.

use coxswain_wire::{Fact, FieldValue, HostId, Verdict};

use super::super::Inventory;
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
