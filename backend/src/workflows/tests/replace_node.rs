//! Which machine may take another one's place, and what its gate sees.

use std::time::Duration;

use coxswain_wire::{FieldValue, HostId, Inputs, MemberRole, Timestamp, Unclean, Verdict};
use tokio::time::sleep;

use super::super::find;
use super::evidence::{facts, failing, odd};
use super::forms::refused;
use super::lab::{self, CLUSTER, inputs, list, text};
use crate::steps::services::ClusterBook;

fn given(host: i64, state: &str, replacement: i64) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(host)),
        ("state", text(state)),
        ("replacement", FieldValue::Id(replacement)),
        ("version", text("v1.33.5+k3s1")),
    ])
}

#[test]
fn only_a_free_host_takes_the_place() {
    let running = lab::running_inventory();
    let of = |inputs: &Inputs| refused("replace_node", inputs, &running);
    assert_eq!(of(&given(5, "lost", 3)), ["host"]);
    assert_eq!(of(&given(3, "dead", 5)), ["state"]);
    for taken in [1, 4, 9] {
        assert_eq!(of(&given(3, "lost", taken)), ["replacement"], "{taken}");
    }
    assert_eq!(of(&given(3, "lost", 77)), ["replacement"]);
    let mut itself_lost = given(3, "lost", 4);
    itself_lost.insert("also_lost".to_owned(), FieldValue::Ids(vec![4]));
    assert_eq!(of(&itself_lost), ["replacement"]);
    let mut without = given(3, "lost", 5);
    without.remove("replacement");
    assert_eq!(of(&without), ["replacement"]);
    let mut old = given(3, "lost", 5);
    old.insert("version".to_owned(), text("v1.19.1+k3s1"));
    assert_eq!(of(&old), ["version"]);
    let mut token = given(3, "lost", 5);
    token.insert("args".to_owned(), list(&["--token x"]));
    assert_eq!(of(&token), ["args"]);
    assert_eq!(
        refused("replace_node", &given(3, "lost", 5), &lab::inventory()),
        ["cluster"]
    );
    let mut alone = lab::running_inventory();
    alone.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 == 1);
    assert_eq!(
        refused("replace_node", &given(1, "reachable", 5), &alone),
        ["host"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_compared_with_those_that_stay() {
    let running = lab::running_inventory();
    let lab = lab::running_lab();
    lab.balance();
    for (host, replacement) in [(3, 5), (3, 3), (4, 5)] {
        let given = given(host, "reachable", replacement);
        let found = facts(&lab, "replace_node", &given, &running).await;
        assert_eq!(failing(&found), [""; 0], "{host} by {replacement}");
    }
    let mut other = given(3, "reachable", 5);
    other.insert("args".to_owned(), list(&["--flannel-backend=host-gw"]));
    let found = failing(&facts(&lab, "replace_node", &other, &running).await);
    assert_eq!(found, ["node1: Critical flags", "node2: Critical flags"]);
    let mut newer = given(3, "reachable", 5);
    newer.insert("version".to_owned(), text("v1.32.1+k3s1"));
    let found = failing(&facts(&lab, "replace_node", &newer, &running).await);
    assert_eq!(found, ["prod: Same version"]);

    // The one that leaves does not count, the ones that stay do.
    lab.world.run_version(HostId(3), "v1.32.1+k3s1");
    let found = facts(&lab, "replace_node", &given(3, "reachable", 5), &running).await;
    assert_eq!(failing(&found), [""; 0]);
    lab.world.run_version(HostId(2), "v1.32.1+k3s1");
    let found = facts(&lab, "replace_node", &given(3, "reachable", 5), &running).await;
    assert_eq!(failing(&found), ["prod: Same version"]);
    lab.world.run_version(HostId(2), "v1.33.5+k3s1");

    let path = "/var/lib/rancher/k3s/server/db/etcd/member/snap/db".to_owned();
    lab.world.change(HostId(5), |host| {
        drop(host.files.insert(path, String::new()))
    });
    let found = failing(&facts(&lab, "replace_node", &given(3, "reachable", 5), &running).await);
    assert!(found.contains(&"node5: Datastore".to_owned()), "{found:?}");
}

/// A label or taint of the old node does not go over by itself: that is said, also of a machine that is gone.
#[tokio::test(start_paused = true)]
async fn what_the_new_one_does_not_inherit_is_told() {
    let running = lab::running_inventory();
    let lab = lab::running_lab();
    lab.world
        .restart_servers(" --tls-san 10.0.0.9 --node-label zone=a", None);
    lab.world.power_off(HostId(3));
    let told = async |inputs: &Inputs| {
        let found = facts(&lab, "replace_node", inputs, &running).await;
        let fact = found.into_iter().find(|f| f.name == "Its arguments");
        fact.map(|f| (f.verdict, f.value)).unwrap()
    };
    let mut given = given(3, "lost", 5);
    let lost = "not given to its replacement: --node-label=zone=a".to_owned();
    assert_eq!(told(&given).await, (Verdict::Warn, lost));
    given.insert("args".to_owned(), list(&["--node-label=zone=a"]));
    assert_eq!(told(&given).await.0, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn a_lost_machine_that_lives_is_not_replaced() {
    let running = lab::running_inventory();
    let lab = lab::running_lab();
    lab.balance();
    let found = failing(&facts(&lab, "replace_node", &given(3, "lost", 5), &running).await);
    assert_eq!(found, ["node3: Machine", "node3: Lease"]);
    // Its k3s is stopped, its data is there: it would come back as what it was.
    lab.world.stop_k3s(HostId(3));
    let found = failing(&facts(&lab, "replace_node", &given(3, "lost", 5), &running).await);
    assert_eq!(found, ["node3: Machine"]);
    lab.world.reinstall(HostId(3));
    let bare = facts(&lab, "replace_node", &given(3, "lost", 5), &running).await;
    assert_eq!(failing(&bare), [""; 0]);
    assert!(odd(&bare).iter().any(|(at, _)| at == "node3: Machine"));
    let same = facts(&lab, "replace_node", &given(3, "lost", 3), &running).await;
    assert_eq!(failing(&same), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_replaced() {
    let lab = lab::running_lab();
    lab.world.power_off(HostId(3));
    lab.world.stop_k3s(HostId(2));
    let running = lab::running_inventory();
    let found = failing(&facts(&lab, "replace_node", &given(3, "lost", 5), &running).await);
    assert!(
        found.contains(&"prod: Quorum without node3".to_owned()),
        "{found:?}"
    );
}

/// Of five servers two are gone, and one of them is replaced.
#[tokio::test(start_paused = true)]
async fn another_lost_one_leaves_before_the_replacement_joins() {
    let five = lab::five_inventory();
    let lab = lab::three_of_five_servers();
    let mut both = given(4, "lost", 6);
    let alone = failing(&facts(&lab, "replace_node", &both, &five).await);
    assert!(alone.contains(&"node5: Connection".to_owned()), "{alone:?}");
    both.insert("also_lost".to_owned(), FieldValue::Ids(vec![5]));
    let found = facts(&lab, "replace_node", &both, &five).await;
    assert_eq!(failing(&found), [""; 0]);
    lab.world.power_off(HostId(3));
    let found = failing(&facts(&lab, "replace_node", &both, &five).await);
    assert!(
        found.contains(&"prod: Quorum without node4, node5".to_owned()),
        "{found:?}"
    );
}

/// A host that was lost before is told by what is on it now, and a clean-up takes the mark.
#[tokio::test(start_paused = true)]
async fn a_marked_host_is_clean_before_it_is_used() {
    let lab = lab::running_lab();
    lab.balance();
    lab.memory
        .set_unclean(HostId(5), Some(CLUSTER))
        .await
        .unwrap();
    let join = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(5)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let mut inventory = lab::running_inventory();
    let clean = facts(&lab, "join", &join, &inventory).await;
    assert_eq!(failing(&clean), [""; 0]);
    assert!(clean.iter().any(|f| f.name == "Clean before reuse"));
    let path = "/var/lib/rancher/k3s/server/db/etcd/member/snap/db".to_owned();
    lab.world.change(HostId(5), |host| {
        drop(host.files.insert(path, String::new()))
    });
    let found = failing(&facts(&lab, "join", &join, &inventory).await);
    assert!(
        found.contains(&"node5: Clean before reuse".to_owned()),
        "{found:?}"
    );

    let uninstall = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("hosts", FieldValue::Ids(vec![5])),
    ]);
    assert_eq!(refused("uninstall", &uninstall, &inventory), ["hosts"]);
    let host = inventory.hosts.iter_mut().find(|h| h.id == HostId(5));
    host.unwrap().unclean = Some(Unclean {
        since: Timestamp(0),
        from: CLUSTER,
    });
    let plan = find("uninstall").unwrap().plan(&uninstall, &inventory);
    let plan = plan.unwrap();
    let titles: Vec<&str> = plan.steps().map(|(_, _, s)| s.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Remove k3s and its data from node5",
            "Delete the node node5",
            "Record that node5 may be used again"
        ]
    );
}

/// Whoever cannot ask does not know that a node is lost.
#[tokio::test(start_paused = true)]
async fn an_api_that_fails_proves_no_node_lost() {
    let lab = lab::running_lab();
    lab.world.power_off(HostId(3));
    let (given, running) = (given(3, "lost", 5), lab::running_inventory());
    let fails = async {
        sleep(Duration::from_secs(10)).await;
        for server in 1..=2 {
            lab.world.stop_k3s(HostId(server));
        }
    };
    let (found, ()) = tokio::join!(facts(&lab, "replace_node", &given, &running), fails);
    assert!(
        failing(&found).contains(&"node3: Lease".to_owned()),
        "{:?}",
        failing(&found)
    );
}
