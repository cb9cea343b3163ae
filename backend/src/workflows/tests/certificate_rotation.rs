//! What a rotation refuses, and what stands in its way.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::state::RunState;
use coxswain_wire::{FieldValue, HostId, Inputs, MemberRole, RunId};

use super::super::{Preflights, find};
use super::evidence::{facts, failing, odd};
use super::forms::refused;
use super::lab::{self, inputs, list, text};
use crate::steps::rotate_certificates;
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
