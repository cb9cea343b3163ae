//! Transcript 10: joins that must fail, with k3s's own words.

use std::process::Output;

use crate::cluster::{Cluster, RECORDED_FLAGS};
use crate::recorded::{blocks, without_time};

/// The fatal line a command ended with.
fn fatal(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("level=fatal"));
    without_time(line.unwrap_or_else(|| panic!("no fatal line:\n{text}")))
}

/// A recorded fatal line with the recorded addresses and hashes replaced.
fn recorded(part: &str, from: &str, to: &str) -> String {
    let line = blocks("10-join-failures.txt")
        .iter()
        .flat_map(|block| block.output.lines().map(str::to_owned).collect::<Vec<_>>())
        .find(|line| line.contains(part))
        .unwrap_or_else(|| panic!("nothing recorded with {part:?}"));
    without_time(&line).replace(from, to)
}

#[test]
fn joins_fail_as_recorded() {
    let mut cluster = Cluster::new();
    cluster.start(
        1,
        None,
        &[&["--cluster-init"], &RECORDED_FLAGS[..]].concat(),
    );
    let first = cluster.address(1).to_string();
    let url = format!("https://{first}:6443");
    let token = cluster.token(1);
    let join = |token: &str, url: &str, flags: &[&str]| {
        let arguments = [&["server", "--server", url, "--token", token], flags].concat();
        let output = cluster.run(4, &arguments);
        assert_eq!(output.status.code(), Some(1));
        fatal(&output)
    };

    let wrong = format!(
        "{}::server:{}",
        token.split("::").next().unwrap(),
        "0".repeat(32)
    );
    assert_eq!(
        join(&wrong, &url, &RECORDED_FLAGS),
        recorded("401", "172.30.55.10", &first)
    );

    let hash = format!("K10{}::server:{}", "a".repeat(64), "0".repeat(32));
    let line = join(&hash, &url, &RECORDED_FLAGS);
    let (head, _) = recorded("does not match", "", "")
        .split_once(": <64 hex")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let real = token
        .strip_prefix("K10")
        .unwrap()
        .split("::")
        .next()
        .unwrap();
    assert_eq!(line, format!("{head}: {} != {real}\"", "a".repeat(64)));

    // On loopback a machine that is not there refuses instead of being unreachable.
    let nobody = cluster.address(99).to_string();
    let line = join(&token, &format!("https://{nobody}:6443"), &RECORDED_FLAGS);
    let wanted = recorded("failed to get CA certs", "172.30.55.99", &nobody);
    assert_eq!(
        line,
        wanted.replace("no route to host", "connection refused")
    );

    assert_eq!(join(&token, &url, &[]), recorded("mismatch", "", ""));
    for flag in [
        "--cluster-domain=other.local",
        "--service-cidr=10.44.0.0/16",
        "--secrets-encryption",
    ] {
        let line = join(&token, &url, &[&RECORDED_FLAGS[..], &[flag]].concat());
        assert_eq!(line, recorded("mismatch", "", ""), "{flag}");
    }

    // A second machine of the same name: etcd's member list gives it away.
    let output = cluster
        .k3s(4)
        .env("K3S_NODE_NAME", "node1")
        .env("K3S_TOKEN", &token)
        .args(["server", "--server", &url])
        .args(RECORDED_FLAGS)
        .output()
        .unwrap();
    assert_eq!(
        fatal(&output),
        "level=fatal msg=\"ETCD join failed: duplicate node name found, please use a unique name for this node\""
    );
    assert_eq!(cluster.members(1).len(), 1);
    // Nothing of the failed joins is left in the way of a good one.
    cluster.join(4);
    cluster.wait_for_nodes(1, &["node1", "node4"]);
    a_node_name_belongs_to_its_password(&mut cluster);
}

/// Facts B.5: the same name with another password registers no node.
fn a_node_name_belongs_to_its_password(cluster: &mut Cluster) {
    cluster.stop(4);
    std::fs::write(cluster.file(4, "/etc/rancher/node/password"), "another\n").unwrap();
    cluster.start(4, None, &RECORDED_FLAGS);
    crate::cluster::eventually("rejection in the log", || {
        cluster.log(4).contains(
            "Waiting to retrieve agent configuration; server is not ready: Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag",
        )
    });
}

#[test]
fn another_token_for_an_existing_database_is_refused() {
    let mut cluster = Cluster::new();
    cluster.start(1, Some("first-token"), &["--cluster-init"]);
    cluster.stop(1);
    let output = cluster
        .k3s(1)
        .env("K3S_TOKEN", "other-token")
        .arg("server")
        .output()
        .unwrap();
    assert_eq!(
        fatal(&output),
        "level=fatal msg=\"starting kubernetes: preparing server: bootstrap data already found and encrypted with different token\""
    );
    // With the data in place, --cluster-init and --server count for nothing.
    cluster.start(
        1,
        Some("first-token"),
        &["--server", "https://127.0.0.254:6443"],
    );
    cluster.wait_for_nodes(1, &["node1"]);
}
