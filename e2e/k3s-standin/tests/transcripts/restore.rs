//! Transcript 14 and facts B.4: the cluster reset, from a snapshot and from what is on disk.

use std::process::Output;

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually, listing};
use crate::recorded::{block, blocks, normalized, without_time};

const DB: &str = "/var/lib/rancher/k3s/server/db";

fn names(cluster: &Cluster, n: u8, directory: &str) -> Vec<String> {
    let rows = listing(&cluster.file(n, directory));
    let words = rows.iter().filter_map(|row| row.split(' ').nth(1));
    let mut names: Vec<String> = words.map(normalized).collect();
    names.sort();
    names
}

/// Names in a recorded `ls -d /var/lib/rancher/k3s/server/db/*`.
fn recorded_names(output: &str) -> Vec<String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix(DB));
    lines
        .map(|name| normalized(name.trim_start_matches('/')))
        .collect()
}

/// The reset's own lines, as the transcript filters them.
fn told(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let levels = ["info", "warning", "fatal", "error"];
    let words = ["reset", "restore", "etcd", "fatal", "bootstrap"];
    text.lines()
        .filter(|line| {
            levels
                .iter()
                .any(|level| line.contains(&format!("level={level}")))
        })
        .filter(|line| words.iter().any(|word| line.to_lowercase().contains(word)))
        .map(|line| normalized(&without_time(line)))
        .collect()
}

fn reset(cluster: &Cluster, n: u8, arguments: &[&str]) -> Output {
    cluster.run(n, &[&["server", "--cluster-reset"], arguments].concat())
}

fn fatal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("level=fatal"));
    line.unwrap_or_else(|| panic!("no fatal line: {text}"))
        .to_owned()
}

#[test]
fn a_snapshot_is_restored_to_one_member_and_the_others_join_anew() {
    let recorded = block("14-restore.txt", "--cluster-reset-restore-path");
    let mut cluster = Cluster::new();
    cluster.three();
    cluster.kubectl(
        1,
        &[
            "create",
            "configmap",
            "before-snapshot",
            "--from-literal=a=1",
        ],
    );
    let saved = cluster.run(1, &["etcd-snapshot", "save", "--name", "restore-me"]);
    assert!(saved.status.success());
    cluster.kubectl(
        1,
        &[
            "create",
            "configmap",
            "after-snapshot",
            "--from-literal=a=1",
        ],
    );
    let members = cluster.members(1);
    let snapshot = names_raw(&cluster, 1, &format!("{DB}/snapshots"));
    let path = format!(
        "--cluster-reset-restore-path={DB}/snapshots/{}",
        snapshot[0]
    );

    // While it runs the port is taken; nothing is moved.
    let line = fatal(&reset(&cluster, 1, &[&path]));
    assert!(
        line.contains(":6443: bind: address already in use"),
        "{line}"
    );
    assert!(
        line.contains("preparing server: init cluster datastore and https"),
        "{line}"
    );
    assert!(!cluster.file(1, &format!("{DB}/reset-flag")).exists());

    for n in 1..=3 {
        cluster.stop(n);
    }
    let missing = reset(&cluster, 1, &["--cluster-reset-restore-path=/no/such/file"]);
    assert!(fatal(&missing).contains("etcd: snapshot path does not exist: /no/such/file"));

    // Exactly the recorded command, whose status says nothing of its success.
    let output = reset(
        &cluster,
        1,
        &[&path, "--flannel-backend", "none", "--disable-agent"],
    );
    let (exit, rest) = recorded.output.split_once('\n').unwrap();
    assert_eq!(exit, format!("exit {}", output.status.code().unwrap()));
    let lines: Vec<String> = rest
        .lines()
        .filter(|line| line.starts_with("time="))
        .map(|line| normalized(&without_time(line)))
        .collect();
    assert_eq!(told(&output), lines);
    assert_eq!(names(&cluster, 1, DB), recorded_names(rest));
    // The one before, too, had its files saved.
    let server = names(&cluster, 1, "/var/lib/rancher/k3s/server");
    assert!(server.contains(&"tls-#".to_owned()), "{server:?}");

    cluster.start(1, None, &RECORDED_FLAGS);
    let maps = ["get", "configmap", "before-snapshot", "after-snapshot"];
    let output = cluster.run(1, &[&["kubectl"], &maps[..]].concat());
    let after = block(
        "14-restore.txt",
        "get configmap before-snapshot after-snapshot",
    );
    assert_eq!(output.status.code(), Some(after.exit));
    let complaint = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    assert_eq!(Some(complaint.as_str()), after.output.lines().last());
    // Stopped servers read Ready: the conditions are those of the snapshot.
    let nodes = cluster.kubectl(1, &["get", "nodes", "--no-headers"]);
    assert_eq!(
        nodes
            .lines()
            .filter(|line| line.contains(" Ready "))
            .count(),
        3,
        "{nodes}"
    );
    let [own] = &cluster.members(1)[..] else {
        panic!("one member: {:?}", cluster.members(1))
    };
    assert!(own.starts_with("node1-") && !members.contains(own), "{own}");
    assert!(!cluster.file(1, &format!("{DB}/reset-flag")).exists());

    for n in [2, 3] {
        std::fs::remove_dir_all(cluster.file(n, DB)).unwrap();
        cluster.join(n);
    }
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    eventually("three members", || cluster.members(1).len() == 3);
    let last = blocks("14-restore.txt").pop().unwrap();
    assert_eq!(names(&cluster, 1, DB), recorded_names(&last.output));
}

fn names_raw(cluster: &Cluster, n: u8, directory: &str) -> Vec<String> {
    let rows = listing(&cluster.file(n, directory));
    let words = rows.iter().filter_map(|row| row.split(' ').nth(1));
    words.map(str::to_owned).collect()
}

#[test]
fn a_reset_without_a_snapshot_keeps_the_objects_and_is_done_once() {
    let mut cluster = Cluster::scaled("0.2");
    cluster.three();
    cluster.kubectl(1, &["create", "configmap", "kept", "--from-literal=a=1"]);
    for n in 1..=3 {
        cluster.stop(n);
    }
    let output = reset(&cluster, 1, &RECORDED_FLAGS);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let message = "level=info msg=\"Managed etcd cluster membership has been reset, restart without --cluster-reset flag now.";
    assert!(text.contains(message), "{text}");
    // A second one wants a normal start, or the flag's removal, first.
    let line = fatal(&reset(&cluster, 1, &RECORDED_FLAGS));
    assert!(
        line.contains("cluster-reset was successfully performed"),
        "{line}"
    );
    assert!(
        line.contains(&format!("delete the {DB}/reset-flag file")),
        "{line}"
    );

    cluster.start(1, None, &RECORDED_FLAGS);
    cluster.kubectl(1, &["get", "configmap", "kept"]);
    assert_eq!(cluster.members(1).len(), 1);
    assert!(!cluster.file(1, &format!("{DB}/reset-flag")).exists());
    // One that still has the old database is no member any more, and says so.
    cluster.launch(2, None, &RECORDED_FLAGS);
    eventually("the old member is told", || {
        cluster
            .log(2)
            .contains("the member has been permanently removed from the cluster")
    });
    assert_eq!(cluster.members(1).len(), 1);
}

#[test]
fn a_snapshot_needs_its_token_and_a_new_machine_nothing_else() {
    let mut cluster = Cluster::scaled("0.2");
    cluster.start(1, Some("first-token"), &["--cluster-init"]);
    cluster.kubectl(1, &["create", "configmap", "kept", "--from-literal=a=1"]);
    let saved = cluster.run(1, &["etcd-snapshot", "save", "--name", "x"]);
    assert!(saved.status.success());
    let name = names_raw(&cluster, 1, &format!("{DB}/snapshots")).remove(0);
    let ca = "/var/lib/rancher/k3s/server/tls/server-ca.crt";
    let old_ca = std::fs::read(cluster.file(1, ca)).unwrap();
    let copy = cluster.file(2, "/snapshot");
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(cluster.file(1, &format!("{DB}/snapshots/{name}")), copy).unwrap();
    cluster.stop(1);

    let path = "--cluster-reset-restore-path=/snapshot";
    let line = fatal(&reset(&cluster, 2, &[path]));
    assert!(
        line.contains("please pass --token to complete the restoration"),
        "{line}"
    );
    let line = fatal(&reset(&cluster, 2, &[path, "--token", "another"]));
    let message = "msg=\"bootstrap data already found and encrypted with different token\"";
    assert!(line.contains(message), "{line}");
    std::fs::remove_dir_all(cluster.file(2, "/var/lib/rancher")).unwrap();
    let output = reset(&cluster, 2, &[path, "--token", "first-token"]);
    assert!(output.status.success(), "{output:?}");
    cluster.start(2, Some("first-token"), &[]);
    cluster.kubectl(2, &["get", "configmap", "kept"]);
    assert_eq!(std::fs::read(cluster.file(2, ca)).unwrap(), old_ca);
    assert!(cluster.members(2)[0].starts_with("node2-"));

    let line = fatal(&cluster.run(1, &["server", path]));
    assert!(line.contains("--cluster-reset required with"), "{line}");
}
