//! Transcripts 11 to 13: three servers, removing and re-joining one, losing the quorum.

use crate::cluster::{Cluster, eventually};
use crate::recorded::{block, blocks, without_time};

/// A member's node and whether its name has the recorded form `<node>-<8 hex>`.
fn node_of(member: &str) -> (String, bool) {
    let (node, suffix) = member.rsplit_once('-').unwrap();
    let good = suffix.len() == 8 && suffix.chars().all(|c| c.is_ascii_hexdigit());
    (node.to_owned(), good)
}

#[test]
fn members_come_and_go_with_nodes() {
    let mut cluster = Cluster::new();
    cluster.three();
    let members = cluster.members(2);
    let nodes: Vec<(String, bool)> = members.iter().map(|name| node_of(name)).collect();
    let all = ["node1", "node2", "node3"].map(|name| (name.to_owned(), true));
    assert_eq!(nodes, all);
    let status = cluster.etcd(3, "/v3/maintenance/status", Some("{}"));
    for key in ["leader", "dbSize", "raftIndex", "raftTerm", "version"] {
        assert!(status.contains(&format!("\"{key}\"")), "{status}");
    }
    assert_eq!(cluster.etcd(3, "/health", None), "{\"health\":\"true\"}");
    assert!(
        cluster
            .etcd(3, "/metrics", None)
            .contains("etcd_server_has_leader 1")
    );

    // 12: the node is uninstalled (killed, its files gone) and deleted.
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.file(3, "/var/lib/rancher")).unwrap();
    let recorded = block("12-uninstall-remove.txt", "kubectl delete node");
    let started = std::time::Instant::now();
    let output = cluster.kubectl(1, &["delete", "node", "node3", "--timeout=60s"]);
    assert_eq!(output, recorded.output.replace("node12", "node3"));
    assert!(started.elapsed().as_secs() < 30);
    assert_eq!(cluster.members(1), members[..2]);
    let secrets = cluster.kubectl(1, &["-n", "kube-system", "get", "secrets"]);
    assert!(
        secrets.contains("node1.node-password.k3s") && secrets.contains("node2.node-password.k3s")
    );
    assert!(!secrets.contains("node3.node-password.k3s"), "{secrets}");

    // 13: it re-joins under its name with a new member suffix.
    cluster.join(3);
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    let again = cluster.members(1);
    assert_eq!(again.len(), 3);
    assert_eq!(node_of(&again[2]), ("node3".to_owned(), true));
    assert_ne!(again[2], members[2]);
    quorum_loss(&mut cluster);
}

/// 11: with two of three gone requests hang, then the last one exits; with the others back all is well.
fn quorum_loss(cluster: &mut Cluster) {
    cluster.kill(2);
    cluster.kill(3);
    let recorded = block("11-quorum.txt", "--request-timeout=10s get nodes");
    let output = cluster.run(1, &["kubectl", "--request-timeout=5s", "get", "nodes"]);
    assert_eq!(output.status.code(), Some(recorded.exit));
    let complaint = recorded.output.lines().next().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).trim_end(),
        complaint
    );
    assert_eq!(cluster.wait_for_end(1), 1);
    let journal = blocks("11-quorum.txt")
        .into_iter()
        .find(|block| block.command.starts_with("journalctl"))
        .unwrap();
    let log = cluster.log(1);
    for line in journal
        .output
        .lines()
        .filter(|line| !line.starts_with("k3s.service"))
    {
        // klog's own head carries time and process id.
        let text = without_time(line);
        let text = text
            .split_once("] ")
            .map_or(text.as_str(), |(_, rest)| rest);
        assert!(log.contains(text), "not logged: {text}");
    }
    let refused = cluster.run(1, &["kubectl", "get", "nodes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was refused"));
    for n in 1..=3 {
        cluster.launch(n, None, &crate::cluster::RECORDED_FLAGS);
    }
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    eventually("three healthy members", || cluster.members(1).len() == 3);
}
