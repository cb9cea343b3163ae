//! What is sure to be dead, and what is only silent.

use std::time::Duration;

use coxswain_engine::plan::Outputs;
use coxswain_engine::step::{Probe, StepContext, StepKind};
use coxswain_wire::{FieldValue, HostId, Inputs, MemberRole, RunId};
use tokio::time::{Instant, sleep};

use super::evidence::{facts, failing, odd};
use super::forms::refused;
use super::lab::{self, Lab, inputs};
use crate::steps::delete_stuck_pods::{DeleteStuckPods, Params};
use crate::steps::kube::of_first;
use crate::steps::{ApiHost, dead};
use crate::world::PodOwner;

fn given(node: i64) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("node", FieldValue::Id(node)),
    ])
}

fn api(n: i64) -> ApiHost {
    ApiHost {
        host: HostId(n),
        name: format!("node{n}"),
        address: format!("10.0.0.{n}"),
    }
}

/// node4 has a pod of each kind.
fn populated() -> Lab {
    let lab = lab::running_lab();
    let owner = PodOwner::Other("ReplicaSet".to_owned());
    lab.world.pod("web", "node4", owner, None);
    lab.world.pod("db-0", "node4", PodOwner::StatefulSet, None);
    lab.world.pod("by-hand", "node4", PodOwner::Nobody, None);
    lab
}

#[test]
fn a_node_of_the_cluster_is_needed_and_another_server_to_ask() {
    let running = lab::running_inventory();
    let of = |node| refused("stuck_pods", &given(node), &running);
    assert_eq!(of(5), ["node"]);
    assert_eq!(of(9), ["node"]);
    assert_eq!(of(77), ["node"]);
    let missing = inputs(&[("cluster", FieldValue::Id(1))]);
    assert_eq!(refused("stuck_pods", &missing, &running), ["node"]);
    assert_eq!(
        refused("stuck_pods", &given(4), &lab::inventory()),
        ["cluster"]
    );
    let mut alone = lab::running_inventory();
    alone.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 == 1);
    assert_eq!(refused("stuck_pods", &given(1), &alone), ["node"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lives_is_refused() {
    let lab = populated();
    let running = lab::running_inventory();
    let alive = facts(&lab, "stuck_pods", &given(4), &running).await;
    assert_eq!(
        failing(&alive),
        ["node4: Machine", "node4: Node", "node4: Stuck pods"]
    );
    // k3s is stopped, so the node is not Ready; its pods may still run.
    lab.world.stop_k3s(HostId(4));
    lab.world.lose_pods("node4", None);
    let stopped = facts(&lab, "stuck_pods", &given(4), &running).await;
    assert_eq!(failing(&stopped), ["node4: Machine"]);
}

#[tokio::test(start_paused = true)]
async fn what_would_be_damaged_is_named() {
    let lab = populated();
    lab.world.power_off(HostId(4));
    lab.world.lose_pods("node4", Some("data"));
    let found = facts(&lab, "stuck_pods", &given(4), &lab::running_inventory()).await;
    assert_eq!(failing(&found), [""; 0]);
    let odd = odd(&found);
    let value = |name: &str| {
        let found = odd.iter().find(|(at, _)| at == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("node4: StatefulSet pods"), Some("default/db-0"));
    assert_eq!(
        value("node4: Pods without a controller"),
        Some("default/by-hand")
    );
    assert_eq!(
        value("node4: ReadWriteOnce volumes"),
        Some("default/web: data; default/db-0: data; default/by-hand: data")
    );
    assert!(value("node4: Proof").is_some(), "{odd:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_came_back_keeps_its_pods() {
    let lab = populated();
    lab.world.cordon("node4");
    lab.world.stop_k3s(HostId(4));
    lab.world.lose_pods("node4", None);
    let params = Params {
        node: api(4),
        via: vec![api(1), api(2)],
    };
    let context = StepContext {
        run: RunId(1),
        step: 1,
        attempt: 1,
        host: None,
        target: "node4".to_owned(),
        params: serde_json::to_value(&params).unwrap(),
        memo: serde_json::Value::Null,
        outputs: Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(120),
        applied: true,
        output: None,
    };
    let kind = DeleteStuckPods(lab.services());
    let refused = kind.apply(&context).await.unwrap_err().into_error();
    assert!(
        refused.message.contains("node4 is not dead") && refused.advice.is_some(),
        "{refused:?}"
    );
    assert_eq!(lab.world.pods_on("node4").len(), 3);

    lab.world.power_off(HostId(4));
    kind.apply(&context).await.unwrap();
    let seen = kind.probe(&context).await.unwrap();
    assert!(matches!(seen, Probe::Done { .. }), "{seen:?}");
    assert_eq!(lab.world.pods_on("node1"), ["db-0", "web"]);
}

/// A node is silent only when its lease has run out.
#[tokio::test(start_paused = true)]
async fn one_renewal_is_a_sign_of_life() {
    let lab = populated();
    let kube = of_first(&lab.world, &[api(1), api(2)]).await.unwrap();
    lab.world.stop_k3s(HostId(4));
    let begin = Instant::now();
    assert_eq!(dead::seen_alive(&*kube, "node4").await.unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_secs(40));

    // It takes 20 s until it is up and renews the lease for the first time.
    let comes_back = async {
        sleep(Duration::from_secs(15)).await;
        lab.world.start_k3s(HostId(4));
    };
    let (seen, ()) = tokio::join!(dead::seen_alive(&*kube, "node4"), comes_back);
    assert!(seen.unwrap().is_some_and(|how| how.contains("lease")));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_does_not_answer_proves_nobody_dead() {
    let lab = populated();
    let kube = of_first(&lab.world, &[api(1), api(2)]).await.unwrap();
    lab.world.stop_k3s(HostId(4));
    let fails = async {
        sleep(Duration::from_secs(10)).await;
        for server in 1..=3 {
            lab.world.stop_k3s(HostId(server));
        }
    };
    let (seen, ()) = tokio::join!(dead::seen_alive(&*kube, "node4"), fails);
    let error = seen.unwrap_err().into_error();
    assert!(error.message.contains("Kubernetes API"), "{error:?}");
}
