//! Whose word on etcd's members counts.

use std::time::Duration;

use coxswain_wire::{FieldValue, HostId};
use tokio::time::Instant;

use super::evidence::{facts, failing};
use super::lab::{self, Lab};
use crate::steps::ApiHost;
use crate::steps::healthy::{Part, Wanted, healthy};
use crate::steps::quorum::guard;

fn node(n: i64) -> ApiHost {
    ApiHost {
        host: HostId(n),
        name: format!("node{n}"),
        address: format!("10.0.0.{n}"),
    }
}

/// What the guard says to a stop of a host besides the others.
async fn stop(lab: &Lab, host: i64, others: &[i64]) -> Result<(), String> {
    let others: Vec<ApiHost> = others.iter().map(|n| node(*n)).collect();
    let guarded = guard(&*lab.services().world, &node(host), &others).await;
    guarded.map_err(|failure| failure.into_error().message)
}

/// As a cluster of its own it is a majority of one, whatever becomes of the others.
#[tokio::test(start_paused = true)]
async fn healthy_servers_that_list_other_members_are_no_quorum() {
    let lab = lab::running_lab();
    lab.world.reset_alone(HostId(1));
    for others in [&[1, 3][..], &[3, 1]] {
        let why = stop(&lab, 2, others).await.unwrap_err();
        for said in [
            "the quorum cannot be told",
            "node1 lists node1",
            "node3 lists node1, node2, node3",
        ] {
            assert!(why.contains(said), "{why}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_of_a_server_without_quorum_does_not_count() {
    let lab = lab::running_lab();
    lab.world.reset_alone(HostId(1));
    lab.world.cut_off(HostId(1));
    assert_eq!(
        stop(&lab, 2, &[1, 3]).await.unwrap_err(),
        "node2 is not stopped: without it 1 of 3 etcd members are healthy, 2 are needed (down: node1)"
    );
}

/// Cut off from all, each has its list still.
#[tokio::test(start_paused = true)]
async fn without_a_healthy_server_nobody_is_stopped() {
    let lab = lab::running_lab();
    for host in 1..=3 {
        lab.world.cut_off(HostId(host));
    }
    let why = stop(&lab, 2, &[1, 3]).await.unwrap_err();
    assert!(why.contains("0 of 3 etcd members are healthy"), "{why}");
}

/// Whatever is stopped with it is counted nowhere.
#[tokio::test(start_paused = true)]
async fn who_is_no_member_for_the_others_is_not_stopped() {
    let lab = lab::running_lab();
    assert_eq!(
        stop(&lab, 5, &[1, 2, 3]).await.unwrap_err(),
        "node5 is not stopped: the other servers do not list node5 as an etcd member"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_of_a_cluster_of_its_own_is_not_healthy() {
    let lab = lab::running_lab();
    let (server, via) = (node(3), node(1));
    let look = async || {
        let wanted = Wanted {
            node: &server,
            part: Part::Server { via: Some(&via) },
            version: None,
            deadline: Instant::now() + Duration::from_secs(120),
        };
        let seen = healthy(&*lab.services().world, wanted).await.unwrap();
        seen.map(|healthy| healthy.version)
    };
    assert!(look().await.is_ok());
    lab.world.reset_alone(HostId(3));
    let why = look().await.unwrap_err();
    assert_eq!(why, "node3 and node1 list different etcd members");
}

/// Each of them is healthy and votes, for itself.
#[tokio::test(start_paused = true)]
async fn a_gate_sees_that_servers_list_other_members() {
    let given = lab::inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(4)),
        ("state", lab::text("reachable")),
    ]);
    let lab = lab::running_lab();
    let gate = async || facts(&lab, "remove_node", &given, &lab::running_inventory()).await;
    assert_eq!(failing(&gate().await), [""; 0]);
    lab.world.reset_alone(HostId(3));
    let facts = gate().await;
    assert!(failing(&facts).contains(&"prod: Members".to_owned()));
    let members = facts.iter().find(|f| f.name == "Members").unwrap();
    assert!(members.value.contains("node3 lists node3"), "{members:?}");
}
