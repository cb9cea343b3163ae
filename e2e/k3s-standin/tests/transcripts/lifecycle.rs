//! Transcripts 09 and 11: a node that dies, with scaled timers; and etcd that must not outlive its k3s.

use serde_json::Value;

use crate::cluster::{Cluster, eventually};
use crate::recorded::block;

const MANIFEST: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: pause, image: 'lab/pause:1'}]
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 60}
";

fn node(cluster: &Cluster, name: &str) -> Value {
    let text = cluster.kubectl(1, &["get", "node", name, "-o", "json"]);
    serde_json::from_str(&text).unwrap()
}

fn pods(cluster: &Cluster) -> Vec<Value> {
    let text = cluster.kubectl(1, &["get", "pods", "-o", "json"]);
    serde_json::from_str::<Value>(&text).unwrap()["items"]
        .as_array()
        .unwrap()
        .clone()
}

fn ready(node: &Value) -> Value {
    let conditions = node["status"]["conditions"].as_array().unwrap();
    conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .unwrap()
        .clone()
}

#[test]
fn a_dead_node_is_tainted_its_pods_move_and_it_comes_back() {
    // 0.2: not ready after 8 s; pods that tolerate it for a minute are evicted 12 s after the taint.
    let mut cluster = Cluster::scaled("0.2");
    cluster.three();
    let manifest = cluster.file(1, "/web.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    let applied = cluster.kubectl(1, &["apply", "-f", manifest.to_str().unwrap()]);
    assert_eq!(applied, "deployment.apps/web created\n");
    let on = |name: &str, phase: &str| {
        let all = pods(&cluster);
        all.iter()
            .filter(|pod| pod["spec"]["nodeName"] == name && pod["status"]["phase"] == phase)
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .count()
    };
    eventually("two pods on each node", || {
        ["node1", "node2", "node3"]
            .iter()
            .all(|name| on(name, "Running") == 2)
    });
    tables_have_the_recorded_columns(&cluster);
    cluster.kill(3);
    eventually("not ready", || {
        ready(&node(&cluster, "node3"))["status"] == "Unknown"
    });
    let recorded = block("11-quorum.txt", "get node node12 -o jsonpath").output;
    let (condition, taints) = recorded.split_once("} [").unwrap();
    let condition: Value = serde_json::from_str(&format!("{condition}}}")).unwrap();
    let taints: Vec<Value> = serde_json::from_str(&format!("[{taints}")).unwrap();
    let ours = ready(&node(&cluster, "node3"));
    for key in ["message", "reason", "status", "type"] {
        assert_eq!(ours[key], condition[key]);
    }
    eventually("both taints", || {
        let ours = node(&cluster, "node3")["spec"]["taints"].clone();
        let pair = |taint: &Value| (taint["key"].clone(), taint["effect"].clone());
        ours.as_array().is_some_and(|list| {
            list.iter().map(pair).collect::<Vec<_>>() == taints.iter().map(pair).collect::<Vec<_>>()
        })
    });
    let table = cluster.kubectl(1, &["get", "nodes"]);
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("node3   NotReady ")),
        "{table}"
    );
    let running = |name: &str| {
        let all = pods(&cluster);
        let here = |pod: &&Value| pod["spec"]["nodeName"] == name;
        all.iter()
            .filter(here)
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .count()
    };
    eventually("pods replaced on the others", || {
        running("node1") + running("node2") == 6
    });
    let table = cluster.kubectl(1, &["get", "pods", "-o", "wide"]);
    assert_eq!(
        table
            .lines()
            .filter(|line| line.contains("Terminating"))
            .count(),
        2,
        "{table}"
    );
    cluster.launch(3, None, &crate::cluster::RECORDED_FLAGS);
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    eventually("taints gone", || {
        node(&cluster, "node3")["spec"]["taints"].is_null()
    });
    eventually("terminating pods gone", || pods(&cluster).len() == 6);
}

/// Headings, and where each column begins, as kubectl lays them out: three blanks behind the widest cell.
fn tables_have_the_recorded_columns(cluster: &Cluster) {
    let recorded = block("11-quorum.txt", "get pods -o wide").output;
    let words = |table: &str| -> Vec<String> {
        let heading = table.lines().next().unwrap_or_default();
        let words = heading.split("  ").map(str::trim);
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let pods = cluster.kubectl(1, &["get", "pods", "-o", "wide"]);
    assert_eq!(words(&pods), words(&recorded));
    let row = pods.lines().nth(1).unwrap();
    let start = pods.find("NODE ").unwrap();
    assert!(row[start..].starts_with("node"), "{pods}");
    assert!(row.ends_with("<none>           <none>"), "{pods}");
    let everywhere = cluster.kubectl(1, &["get", "pods", "-A", "-o", "wide"]);
    assert_eq!(words(&everywhere)[0], "NAMESPACE");
    assert_eq!(words(&everywhere)[1..], words(&recorded));
    assert!(
        everywhere
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("default     web-"),
        "{everywhere}"
    );
    let nodes = cluster.kubectl(1, &["get", "nodes", "-o", "wide"]);
    let columns = "NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME";
    assert_eq!(words(&nodes).join(" "), columns);
    let row: Vec<&str> = nodes.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["node1", "Ready", "control-plane,etcd,master"]);
    assert_eq!(
        row[4..7],
        ["v1.22.4+k3s1", &cluster.address(1).to_string(), "<none>"]
    );
    assert!(row.last().unwrap().starts_with("containerd://"), "{nodes}");
}

#[test]
fn etcd_ends_with_its_k3s() {
    let mut cluster = Cluster::new();
    cluster.start(1, None, &["--cluster-init"]);
    let address = std::net::SocketAddr::new(cluster.address(1).into(), 2379);
    let open = || std::net::TcpStream::connect(address).is_ok();
    assert!(open());
    cluster.kill(1);
    eventually("etcd gone after SIGKILL", || !open());
    // And nothing is in the way of the next start.
    cluster.start(1, None, &["--cluster-init"]);
    cluster.stop(1);
    assert!(!open(), "etcd gone after a stop");
}
