//! Transcripts 02 and 11: snapshots.

use crate::cluster::{Cluster, listing};
use crate::recorded::{block, normalized};

#[test]
fn snapshots_as_recorded() {
    let mut cluster = Cluster::new();
    cluster.start(1, None, &["--cluster-init"]);
    let recorded = block("02-snapshot.txt", "save --name pre-tls-san-change");
    let output = cluster.run(
        1,
        &["etcd-snapshot", "save", "--name", "pre-tls-san-change"],
    );
    assert_eq!(output.status.code(), Some(recorded.exit));
    let text = String::from_utf8(output.stderr).unwrap();
    let own = cluster.address(1).to_string();
    let same = |text: &str| {
        let text = text.replace(&own, "127.0.0.1").replace("node10", "node1");
        let lines = text.lines().map(|line| {
            let line = crate::recorded::without_time(line);
            // The size is that of a fresh database.
            line.split("\"size\"").next().unwrap().to_owned()
        });
        normalized(&lines.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(same(&text), same(&recorded.output));

    let list = String::from_utf8(cluster.run(1, &["etcd-snapshot", "ls"]).stdout).unwrap();
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["Name", "Location", "Size", "Created"]);
    let [name, location, size, created] = rows[1][..] else {
        panic!("{list}")
    };
    assert_eq!(
        location,
        format!("file:///var/lib/rancher/k3s/server/db/snapshots/{name}")
    );
    let file = cluster.file(
        1,
        &format!("/var/lib/rancher/k3s/server/db/snapshots/{name}"),
    );
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(size, bytes.len().to_string());
    // etcd's format: whole pages and a SHA-256 over them.
    use sha2::Digest as _;
    let (database, digest) = bytes.split_at(bytes.len() - 32);
    assert_eq!(database.len() % 4096, 0);
    assert_eq!(&sha2::Sha256::digest(database)[..], digest);
    assert!(created.ends_with('Z'));
    assert!(name.starts_with("pre-tls-san-change-node1-"));
    let directory = file.parent().unwrap();
    assert_eq!(listing(directory), [format!("-rw------- {name}")]);
    assert!(listing(directory.parent().unwrap()).contains(&"drwx------ snapshots".to_owned()));

    let map = cluster.kubectl(
        1,
        &[
            "-n",
            "kube-system",
            "get",
            "configmap",
            "k3s-etcd-snapshots",
            "-o",
            "yaml",
        ],
    );
    assert!(map.contains(name), "{map}");
    let deleted = cluster.run(1, &["etcd-snapshot", "delete", name]);
    assert!(deleted.status.success());
    let empty = String::from_utf8(cluster.run(1, &["etcd-snapshot", "ls"]).stdout).unwrap();
    assert_eq!(
        empty,
        block("02-snapshot.txt", "etcd-snapshot ls")
            .output
            .lines()
            .next()
            .map(|_| "Name Location Size Created\n")
            .unwrap()
    );

    cluster.stop(1);
    let recorded = block("11-quorum.txt", "etcd-snapshot save");
    let wanted = recorded
        .output
        .lines()
        .find(|line| line.contains("level=fatal"))
        .unwrap()
        .to_owned();
    let output = cluster.run(1, &["etcd-snapshot", "save", "--name", "q"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("level=fatal"))
        .unwrap();
    assert_eq!(same(line), same(&wanted));
}

fn names(cluster: &Cluster) -> Vec<String> {
    let list = String::from_utf8(cluster.run(1, &["etcd-snapshot", "ls"]).stdout).unwrap();
    let rows = list.lines().skip(1);
    rows.map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

/// Facts B.4: `save` has no retention, `prune` has; and only `ls` works on a stopped server.
#[test]
fn snapshots_are_pruned_and_deleted_while_the_server_runs() {
    let mut cluster = Cluster::new();
    cluster.start(1, None, &["--cluster-init"]);
    let directory = cluster.file(1, "/var/lib/rancher/k3s/server/db/snapshots");
    let saved = cluster.run(1, &["etcd-snapshot", "save"]);
    assert!(saved.status.success());
    // Others of earlier times: the name's last part is the time.
    for name in ["on-demand-node1-1", "on-demand-node1-2", "mine-node1-3"] {
        std::fs::write(directory.join(name), "x").unwrap();
    }
    let before = names(&cluster);
    assert_eq!(before.len(), 4, "{before:?}");
    let prune = ["etcd-snapshot", "prune", "--snapshot-retention", "2"];
    let output = cluster.run(1, &prune);
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let policy = "Applying local snapshot retention policy: retention: 2, snapshotPrefix: on-demand-node1, directory: /var/lib/rancher/k3s/server/db/snapshots";
    assert!(log.contains(policy), "{log}");
    assert_eq!(names(&cluster).len(), 3);
    assert!(!names(&cluster).contains(&"on-demand-node1-1".to_owned()));
    let output = cluster.run(1, &["etcd-snapshot", "delete", "nosuch", "mine-node1-3"]);
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("Snapshot nosuch, does not exist"), "{log}");
    let left = names(&cluster);
    assert_eq!(left.len(), 2);
    let none = cluster.run(1, &["etcd-snapshot", "delete"]);
    assert_eq!(none.status.code(), Some(1));

    cluster.stop(1);
    assert_eq!(names(&cluster), left);
    for arguments in [
        &["etcd-snapshot", "delete", "on-demand-node1-2"][..],
        &["etcd-snapshot", "prune", "--snapshot-retention", "1"],
    ] {
        let output = cluster.run(1, arguments);
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(
            log.contains("level=fatal msg=\"failed to register CRDs: Get"),
            "{log}"
        );
    }
    assert_eq!(
        names(&cluster),
        left,
        "nothing is removed without the bookkeeping"
    );
}

#[test]
fn a_server_takes_snapshots_by_itself() {
    let mut cluster = Cluster::new();
    let schedule = ["--etcd-snapshot-schedule-cron", "@every 1s"];
    let keep = [
        "--etcd-snapshot-retention",
        "2",
        "--etcd-snapshot-name",
        "auto",
    ];
    cluster.start(
        1,
        None,
        &[&["--cluster-init"], &schedule[..], &keep].concat(),
    );
    crate::cluster::eventually("an old one gone", || {
        cluster.log(1).contains("Removing local snapshot")
    });
    cluster.stop(1);
    let left = names(&cluster);
    assert!(left.len() == 2 || left.len() == 3, "{left:?}");
    assert!(
        left.iter().all(|name| name.starts_with("auto-node1-")),
        "{left:?}"
    );
}
