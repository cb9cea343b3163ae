//! Facts B.5: a new server token, in a release that has the command, and what else that release does.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually};
use crate::wire::Ask;

const DB: &str = "/var/lib/rancher/k3s/server/db";

/// What a server says to a joining one with this password.
fn answer(cluster: &Cluster, n: u8, password: &str) -> u16 {
    let ask = Ask {
        basic: Some(format!("server:{password}")),
        ..Ask::get(cluster.address(n), "/v1-k3s/config")
    };
    ask.answer().status
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

fn fatal(cluster: &Cluster, n: u8, token: &str, arguments: &[&str]) -> String {
    let mut command = cluster.k3s(n);
    let output = command
        .env("K3S_TOKEN", token)
        .args(arguments)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find(|line| line.contains("level=fatal"));
    line.unwrap_or_else(|| panic!("no fatal line: {text}"))
        .to_owned()
}

#[test]
fn a_new_token_is_the_clusters_once_all_have_it() {
    let mut cluster = Cluster::scaled("0.2").of_release("v1.28.15+k3s1");
    let flags = [&["--cluster-init"], &RECORDED_FLAGS[..]].concat();
    cluster.start(1, Some("old-token"), &flags);
    for n in [2, 3] {
        cluster.join(n);
    }
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    let nodes = cluster.kubectl(1, &["get", "nodes", "--no-headers"]);
    assert!(
        nodes.lines().all(|line| line.ends_with("v1.28.15+k3s1")),
        "{nodes}"
    );
    assert!(
        cluster
            .run(1, &["etcd-snapshot", "save", "--name", "old"])
            .status
            .success()
    );

    let mut refused = cluster.k3s(2);
    let refused = refused
        .args(["token", "rotate", "--token", "wrong", "--new-token", "x"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401 Unauthorized"));
    let output = cluster.run(1, &["token", "rotate", "--new-token", "new-token"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(
        text.contains("Recommended to keep a record of the old token"),
        "{text}"
    );
    assert!(
        text.ends_with("Token rotated, restart k3s nodes with new token\n"),
        "{text}"
    );
    assert!(cluster.token(1).ends_with("::server:new-token"));
    // The server that was asked knows it; the others do once they are started with it.
    assert_eq!(
        (
            answer(&cluster, 1, "old-token"),
            answer(&cluster, 1, "new-token")
        ),
        (401, 200)
    );
    assert_eq!(
        (
            answer(&cluster, 2, "old-token"),
            answer(&cluster, 2, "new-token")
        ),
        (200, 401)
    );

    cluster.stop(2);
    let message = "starting kubernetes: preparing server: bootstrap data already found and encrypted with different token";
    assert!(fatal(&cluster, 2, "old-token", &["server"]).contains(message));
    cluster.start(2, Some("new-token"), &RECORDED_FLAGS);
    for n in [1, 3] {
        cluster.stop(n);
        cluster.start(n, Some("new-token"), &RECORDED_FLAGS);
    }
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    for n in 1..=3 {
        assert_eq!(
            (
                answer(&cluster, n, "old-token"),
                answer(&cluster, n, "new-token")
            ),
            (401, 200)
        );
    }
    let url = format!("https://{}:6443", cluster.address(1));
    let join = [&["server", "--server", &url], &RECORDED_FLAGS[..]].concat();
    assert!(fatal(&cluster, 4, "old-token", &join).contains("401 Unauthorized"));
    the_old_snapshot_wants_the_old_token(&mut cluster);
}

fn the_old_snapshot_wants_the_old_token(cluster: &mut Cluster) {
    for n in 1..=3 {
        cluster.stop(n);
    }
    let directory = cluster.file(1, &format!("{DB}/snapshots"));
    let name = std::fs::read_dir(directory)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let name = name.file_name().into_string().unwrap();
    let path = format!("--cluster-reset-restore-path={DB}/snapshots/{name}");
    let reset = ["server", "--cluster-reset", &path];
    let with_server = [&reset[..], &["--server", "https://127.0.0.1:6443"]].concat();
    let message = "cannot perform cluster-reset while server URL is set - remove server from configuration before resetting";
    assert!(fatal(cluster, 1, "new-token", &with_server).contains(message));
    let message = "bootstrap data already found and encrypted with different token";
    assert!(fatal(cluster, 1, "new-token", &reset).contains(message));
    // What a reset moves aside is named by the second: the next one needs another name.
    let failed_in = unix_seconds();
    eventually("the next second", || unix_seconds() != failed_in);
    let mut command = cluster.k3s(1);
    let output = command
        .env("K3S_TOKEN", "old-token")
        .args(reset)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    cluster.start(1, Some("old-token"), &RECORDED_FLAGS);
    assert_eq!(cluster.members(1).len(), 1);
}
