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
