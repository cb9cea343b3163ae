//! What the gate of a restore sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use coxswain_engine::evidence::{Preflight as _, changes, evidence};
use coxswain_engine::state::RunState;
use coxswain_wire::{FactKind, FieldValue, HostId, Inputs, RunId, Timestamp, Verdict};

use super::super::{Inventory, Preflights, find};
use super::evidence::{facts, failing};
use super::lab::{self, Lab, inputs, text};

const NEWEST: &str = "coxswain-9-0-node1-1795000300";

fn restoring(situation: &str, snapshot: &str, lost: &[i64]) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("situation", text(situation)),
        ("snapshot", text(snapshot)),
        ("lost", FieldValue::Ids(lost.to_vec())),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_restore_is_refused_when_it_is_not_called_for_or_cannot_work() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let found = |lab: Lab, given: Inputs| {
        let inventory = inventory.clone();
        async move {
            let before = lab.picture();
            let facts = facts(&lab, "snapshot_restore", &given, &inventory).await;
            assert_eq!(lab.picture(), before, "looking changes nothing");
            (failing(&facts), facts)
        }
    };
    let (none, facts) = found(
        lab::lab_with_snapshots(),
        restoring("data_wrong", NEWEST, &[]),
    )
    .await;
    assert_eq!(none, [""; 0]);
    let lost = facts.iter().find(|f| f.name == "Will be lost").unwrap();
    assert!(lost.value.contains("2026-11-18T"), "{}", lost.value);

    let (quorum, facts) = found(
        lab::lab_with_snapshots(),
        restoring("quorum_lost", NEWEST, &[]),
    )
    .await;
    assert_eq!(quorum, ["prod: Quorum"]);
    let advice = facts
        .iter()
        .find_map(|f| f.advice.clone().filter(|_| f.name == "Quorum"));
    assert!(advice.unwrap().contains("replace_node"));

    let (alive, _) = found(
        lab::lab_with_snapshots(),
        restoring("data_wrong", NEWEST, &[3]),
    )
    .await;
    assert_eq!(alive, ["node3: Lost"]);

    let (silent, _) = found(
        lab::lab_without_quorum(),
        restoring("quorum_lost", NEWEST, &[]),
    )
    .await;
    assert_eq!(silent, ["node3: Connection"]);

    let changed = lab::lab_with_snapshots();
    changed.world.change(HostId(1), |host| {
        let path = &lab::taken()[0].path;
        host.files
            .insert(path.clone(), "node node1 1 server\n".to_owned());
    });
    let (changed, _) = found(changed, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(changed, ["node1: Snapshot"]);

    let rotated = lab::lab_rotated_since();
    let (rotated, _) = found(rotated, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(rotated, ["node1: Server token"], "the panel did not know");

    let flagged = lab::lab_with_snapshots();
    flagged.world.change(HostId(1), |host| {
        let flag = "/var/lib/rancher/k3s/server/db/reset-flag".to_owned();
        host.files.insert(flag, String::new());
        host.free_kib = 1000;
    });
    let (flagged, facts) = found(flagged, restoring("data_wrong", NEWEST, &[])).await;
    assert_eq!(flagged, ["node1: Room"]);
    assert!(facts.iter().any(|f| f.name == "Earlier reset"));
}

/// After the reset the quorum is held, by the run's own work: to try the rest again is no other question.
#[tokio::test(start_paused = true)]
async fn a_quorum_that_the_reset_has_made_is_in_nobodys_way() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let given = restoring("quorum_lost", NEWEST, &[]);
    let plan = find("snapshot_restore").unwrap();
    let plan = plan.plan(&given, &inventory).unwrap();
    let lab = lab::lab_with_snapshots();
    let look = async |state: &RunState| {
        let preflights = Preflights::new(lab.services());
        preflights.collect(RunId(1), &plan, 0, state).await
    };
    let mut state = RunState::new(Arc::new(plan.clone()));
    let mut before = look(&state).await;
    assert_eq!(failing(&before), ["prod: Quorum"]);
    let approved = before.iter_mut().find(|f| f.name == "Quorum").unwrap();
    approved.verdict = Verdict::Pass;
    approved.value = "lost".to_owned();
    state.stages[0].evidence = Some(evidence(Timestamp(0), before.clone()));
    assert_eq!(failing(&look(&state).await), ["prod: Quorum"]);

    let mut steps = plan.steps();
    let reset = steps.find(|(_, _, step)| step.kind == "reset_cluster");
    state.steps[reset.unwrap().0 as usize].attempt = 1;
    let now = look(&state).await;
    assert_eq!(failing(&now), [""; 0]);
    assert_eq!(changes(&before, &now, &|_| true), [""; 0]);
}

/// With no other server or agent left, the copy goes to the load balancer, or nowhere if a person says so.
#[tokio::test(start_paused = true)]
async fn the_last_resort_for_a_copy_is_the_load_balancer() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let copied_to = |given: &Inputs| {
        let plan = find("snapshot_restore").unwrap().plan(given, &inventory);
        let plan = plan.unwrap();
        let copies = plan.steps().filter(|(_, _, s)| s.kind == "copy_snapshot");
        copies.map(|(_, _, s)| s.target.clone()).collect::<Vec<_>>()
    };
    assert_eq!(copied_to(&restoring("data_wrong", NEWEST, &[])), ["node2"]);
    let agent = restoring("quorum_lost", NEWEST, &[2, 3]);
    assert_eq!(copied_to(&agent), ["node4"]);
    let mut alone = restoring("quorum_lost", NEWEST, &[2, 3, 4]);
    assert_eq!(copied_to(&alone), ["lb"]);

    let lab = lab::lab_with_one_host();
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    lab.world.change(lab::LB, |host| host.free_kib = 1000);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), ["lb: Room for the copy"]);
    lab.world.power_off(lab::LB);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), ["lb: Room for the copy"]);

    // A load balancer that is gone, too, is in nobody's way.
    alone.insert("only_copy".to_owned(), FieldValue::Bool(true));
    assert_eq!(copied_to(&alone), [""; 0]);
    let found = facts(&lab, "snapshot_restore", &alone, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    // How it is silent differs from look to look: nothing of that is approved.
    let mut of_lb = found.iter().filter(|fact| fact.subject == "lb");
    assert!(of_lb.all(|fact| fact.kind == FactKind::Shown), "{found:?}");
    assert!(found.iter().any(|fact| fact.subject == "lb"), "{found:?}");
}

/// A rotation that the panel knows of is taken back, with a word of warning and a place to put the old token.
#[tokio::test(start_paused = true)]
async fn a_snapshot_from_before_a_rotation_gets_its_token() {
    let lab = lab::lab_rotated_since();
    let inventory = Inventory {
        snapshots: lab::taken(),
        tokens: BTreeMap::from([(lab::CLUSTER, lab::NEW_TOKEN)]),
        ..lab::running_inventory()
    };
    let given = restoring("data_wrong", NEWEST, &[]);
    let found = facts(&lab, "snapshot_restore", &given, &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    let verdict = |name: &str| {
        let facts = found.iter().filter(|f| f.name == name);
        facts.map(|f| f.verdict).collect::<Vec<_>>()
    };
    assert_eq!(verdict("Server token"), [Verdict::Warn]);
    assert_eq!(verdict("Place of the token"), [Verdict::Pass; 4]);

    let read_elsewhere = "token-file: /srv/token\n".to_owned();
    lab.world.change(HostId(2), |host| {
        let config = "/etc/rancher/k3s/config.yaml".to_owned();
        host.files.insert(config, read_elsewhere);
    });
    let found = facts(&lab, "snapshot_restore", &given, &inventory).await;
    assert_eq!(failing(&found), ["node2: Place of the token"]);
}

/// A disk cannot be moved aside: the gate says where its old database stays, or refuses.
#[tokio::test(start_paused = true)]
async fn a_database_on_a_disk_of_its_own_stays_on_it() {
    const DATABASE: &str = "/var/lib/rancher/k3s/server/db";
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    for (disk, refused) in [
        (DATABASE, false),
        ("/var/lib/rancher/k3s/server/db/snapshots", false),
        ("/var/lib/rancher/k3s/server/db/etcd", true),
    ] {
        let lab = lab::lab_with_snapshots();
        for host in [1, 2] {
            lab.world
                .change(HostId(host), |host| host.mounts = vec![disk]);
        }
        let given = restoring("data_wrong", NEWEST, &[]);
        let facts = facts(&lab, "snapshot_restore", &given, &inventory).await;
        let told: Vec<_> = facts.iter().filter(|f| f.name == "Old database").collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].subject, "node2");
        assert!(told[0].value.contains(disk), "{told:?}");
        assert_eq!(told[0].verdict == Verdict::Fail, refused, "{disk}");
    }
}
