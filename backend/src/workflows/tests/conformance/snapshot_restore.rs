use std::collections::BTreeMap;

use coxswain_k3s::token::SERVER_TOKEN_FILE;

use super::super::evidence::{facts, failing};
use super::*;
use crate::steps::services::ClusterBook as _;

/// The data is wrong: back to a snapshot on the first server.
fn restore() -> Example {
    restoring(
        &[
            ("situation", lab::text("data_wrong")),
            ("snapshot", lab::text("coxswain-9-0-node1-1795000300")),
        ],
        lab::lab_with_snapshots,
    )
}

/// The quorum is lost: node2, which once joined node1, becomes the cluster, and node1 joins it.
fn restore_elsewhere() -> Example {
    restoring(
        &[
            ("situation", lab::text("quorum_lost")),
            ("source", lab::text("file")),
            ("file_server", FieldValue::Id(1)),
            (
                "file_path",
                lab::text("/var/lib/rancher/k3s/server/db/snapshots/coxswain-5-0-node1-1795000100"),
            ),
            ("server", FieldValue::Id(2)),
            ("lost", FieldValue::Ids(vec![3])),
        ],
        lab::lab_without_quorum,
    )
}

/// One of three servers is left, and an agent.
fn restore_alone() -> Example {
    restoring(
        &[
            ("situation", lab::text("quorum_lost")),
            ("snapshot", lab::text("coxswain-9-0-node1-1795000300")),
            ("lost", FieldValue::Ids(vec![2, 3])),
        ],
        lab::lab_with_one_survivor,
    )
}

/// Of all servers and agents one is left: the copy goes to the load balancer.
fn restore_on_the_last_host() -> Example {
    restoring(
        &[
            ("situation", lab::text("quorum_lost")),
            ("snapshot", lab::text("coxswain-9-0-node1-1795000300")),
            ("lost", FieldValue::Ids(vec![2, 3, 4])),
        ],
        lab::lab_with_one_host,
    )
}

/// An example in a world that can be looked at afterwards.
struct In(Example, Lab);

impl Subject for In {
    type Picture = <Example as Subject>::Picture;
    type World = Lab;

    fn world(&self) -> Lab {
        self.1.clone()
    }
    fn plan(&self) -> Plan {
        self.0.plan()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        self.0.kinds(lab)
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        self.0.preflight(lab)
    }
    fn picture(&self, lab: &Lab) -> Self::Picture {
        self.0.picture(lab)
    }
}

/// The same, to a snapshot from before a rotation of the token.
fn restore_before_rotation() -> Example {
    let mut example = restore();
    example.inventory.tokens = BTreeMap::from([(lab::CLUSTER, lab::NEW_TOKEN)]);
    example.lab = lab::lab_rotated_since;
    example
}

fn restoring(more: &[(&str, FieldValue)], lab: fn() -> Lab) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "snapshot_restore",
        inputs,
        inventory: Inventory {
            snapshots: lab::taken(),
            ..lab::running_inventory()
        },
        lab,
        counted: false,
    }
}

conforms! {
    restore_wrong_data: restore(),
    restore_lost_quorum: restore_elsewhere(),
    restore_on_the_only_one_left: restore_alone(),
    restore_on_the_last_host: restore_on_the_last_host(),
    restore_before_rotation: restore_before_rotation(),
}

survives_death! {
    restore_survives_death_at_each_point: restore(),
    restore_of_a_lost_quorum_survives_death_at_each_point: restore_elsewhere(),
    restore_on_the_only_one_left_survives_death_at_each_point: restore_alone(),
    restore_before_a_rotation_survives_death_at_each_point: restore_before_rotation(),
}

/// As recorded (facts A 14): the things of the snapshot are back, later ones gone, all members there.
#[tokio::test(start_paused = true)]
async fn a_restored_cluster_is_that_of_the_snapshot() {
    for (example, members, nodes) in [
        (
            restore(),
            vec!["node1", "node2", "node3"],
            vec!["node1", "node2", "node3", "node4"],
        ),
        (
            restore_elsewhere(),
            vec!["node1", "node2"],
            vec!["node1", "node2", "node4"],
        ),
    ] {
        let ((world, _), _) = completes(&example).await.unwrap();
        let cluster = &world.clusters[0];
        assert_eq!(cluster.members, members);
        assert_eq!(cluster.objects, ["before-snapshot"]);
        assert_eq!(cluster.nodes, nodes);
        let host = &world.hosts[members[1]];
        let aside = |path: &&String| path.starts_with("/var/lib/rancher/k3s/server/db.coxswain-");
        assert!(
            members
                .iter()
                .any(|name| world.hosts[*name].files.keys().any(|p| aside(&p))),
            "an old database is kept"
        );
        for name in &members {
            let (_, enabled, state, _) = world.hosts[*name].k3s.as_ref().unwrap();
            assert_eq!((*enabled, state.as_str()), (true, "active"), "{name}");
        }
        assert!(
            !host
                .files
                .keys()
                .any(|path| path.starts_with("/run/systemd/"))
        );
    }
}

/// Lost hosts are no part of the cluster any more, so that the next run can build on it.
#[tokio::test(start_paused = true)]
async fn a_cluster_restored_on_one_server_grows_again() {
    let restored = In(restore_alone(), lab::lab_with_one_survivor());
    let ((world, book), _) = completes(&restored).await.unwrap();
    assert_eq!(world.clusters[0].members, ["node1"]);
    assert_eq!(world.clusters[0].nodes, ["node1", "node4"]);
    assert_eq!(
        book.unclean.keys().collect::<Vec<_>>(),
        [&HostId(2), &HostId(3)]
    );
    let (_, haproxy) = world.hosts["lb"].haproxy.clone().unwrap();
    assert_eq!(haproxy.matches("    server node").count(), 1, "{haproxy}");

    let lab = &restored.1;
    let mut inventory = lab::running_inventory();
    inventory.clusters[0].members = lab.memory.members(lab::CLUSTER).await.unwrap();
    let version = ("version", lab::text("v1.33.5+k3s1"));
    let join = [("cluster", FieldValue::Id(1)), ("host", FieldValue::Id(5))];
    let replace = [
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(4)),
        ("replacement", FieldValue::Id(5)),
    ];
    for (workflow, given) in [("join", &join[..]), ("replace_node", &replace)] {
        let mut given = lab::inputs(given);
        given.extend(lab::inputs(std::slice::from_ref(&version)));
        let found = facts(lab, workflow, &given, &inventory).await;
        assert_eq!(failing(&found), [""; 0], "{workflow}");
    }
}

/// Keys have changed since the snapshot: k3s would not overwrite the younger ones on the disks of the others.
#[tokio::test(start_paused = true)]
async fn younger_keys_are_moved_aside() {
    let lab = || {
        let lab = lab::lab_with_snapshots();
        for (n, keys) in [(1, "of the snapshot"), (2, "younger"), (3, "younger")] {
            let path = "/var/lib/rancher/k3s/server/cred/passwd".to_owned();
            lab.world.change(HostId(n), |host| {
                host.files.insert(path, keys.to_owned());
            });
        }
        lab
    };
    let ((world, _), _) = completes(&Example { lab, ..restore() }).await.unwrap();
    for name in ["node2", "node3"] {
        let kept = world.hosts[name].files.iter().find(|(path, _)| {
            path.contains("/server/db.coxswain-") && path.ends_with("-cred/passwd")
        });
        assert_eq!(kept.map(|(_, keys)| keys.trim()), Some("younger"), "{name}");
    }
}

/// A snapshot opens with the token of its time alone: all nodes have it again, and the vault knows.
#[tokio::test(start_paused = true)]
async fn the_token_of_the_snapshots_time_is_back() {
    let old = lab::lab_with_snapshots();
    let old = old.world.file(HostId(1), SERVER_TOKEN_FILE).unwrap();
    let ((world, book), _) = completes(&restore_before_rotation()).await.unwrap();
    for name in ["node1", "node2", "node3"] {
        assert_eq!(world.hosts[name].files[SERVER_TOKEN_FILE], old, "{name}");
    }
    let told = |(name, unit): (&str, &str)| {
        let env = &world.hosts[name].files[&format!("/etc/systemd/system/{unit}.env")];
        assert_eq!(*env, format!("K3S_TOKEN={old}"), "{name}");
    };
    let servers = ["node1", "node2", "node3"].map(|name| (name, "k3s.service"));
    servers
        .into_iter()
        .chain([("node4", "k3s-agent.service")])
        .for_each(told);
    let stored = format!("{:?}", old.trim().as_bytes());
    assert!(format!("{book:?}").contains(&stored), "{book:?}");
}

/// Another panel's run of this number has moved one aside.
#[tokio::test(start_paused = true)]
async fn an_old_database_that_was_moved_before_stays_and_the_new_one_is_moved_too() {
    const EARLIER: &str = "/var/lib/rancher/k3s/server/db.coxswain-1/etcd/member/wal";
    let mut example = restore();
    example.lab = || {
        let lab = lab::lab_with_snapshots();
        lab.world.change(HostId(2), |host| {
            host.files.insert(EARLIER.to_owned(), "long ago".to_owned());
        });
        lab
    };
    let ((world, _), _) = completes(&example).await.unwrap();
    let files = &world.hosts["node2"].files;
    assert_eq!(files[EARLIER].trim(), "long ago");
    assert!(
        files.keys().any(|p| p.contains("/server/db.coxswain-1-2/")),
        "{files:?}"
    );
}
