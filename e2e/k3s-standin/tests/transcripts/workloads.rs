//! What drains and dead nodes meet: daemon sets, stateful sets, disruption budgets, evictions, cordons.

use serde_json::{Value, json};

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually};
use crate::wire::Ask;

const MANIFEST: &str = r"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers: [{name: pause, image: 'lab/pause:1'}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 2
      containers: [{name: pause, image: 'lab/pause:1'}]
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 10}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: db}
spec:
  minAvailable: 2
  selector: {matchLabels: {app: db}}
";

fn items(cluster: &Cluster, kind: &str) -> Vec<Value> {
    let text = cluster.kubectl(1, &["get", kind, "-o", "json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    value["items"].as_array().unwrap().clone()
}

fn pods(cluster: &Cluster, app: &str) -> Vec<Value> {
    let mut pods = items(cluster, "pods");
    pods.retain(|pod| pod["metadata"]["labels"]["app"] == app);
    pods
}

fn running(pods: &[Value]) -> usize {
    let alive = |pod: &&Value| {
        pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
    };
    pods.iter().filter(alive).count()
}

fn evict(cluster: &Cluster, name: &str) -> (u16, Value) {
    let body = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": "default"},
    });
    let ask = Ask {
        identity: cluster.admin(1),
        body: Some(body.to_string()),
        ..Ask::get(
            cluster.address(1),
            &format!("/api/v1/namespaces/default/pods/{name}/eviction"),
        )
    };
    let answer = ask.answer();
    let value = serde_json::from_str(&answer.body).unwrap();
    (answer.status, value)
}

#[test]
fn drains_meet_budgets_daemons_and_fixed_names() {
    let mut cluster = Cluster::scaled("0.2");
    cluster.three();
    let manifest = cluster.file(1, "/all.yaml");
    std::fs::write(&manifest, MANIFEST).unwrap();
    cluster.kubectl(1, &["apply", "-f", manifest.to_str().unwrap()]);
    eventually("a daemon on each node", || {
        running(&pods(&cluster, "agent")) == 3
    });
    eventually("both of the set", || running(&pods(&cluster, "db")) == 2);
    let names: Vec<Value> = pods(&cluster, "db")
        .iter()
        .map(|pod| pod["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, [json!("db-0"), json!("db-1")]);
    let claims: Vec<Value> = items(&cluster, "pvc")
        .iter()
        .map(|claim| claim["metadata"]["name"].clone())
        .collect();
    assert_eq!(claims, [json!("data-db-0"), json!("data-db-1")]);
    for (kind, line) in [("daemonsets", "agent "), ("statefulsets", "db ")] {
        let table = cluster.kubectl(1, &["get", kind]);
        assert!(table.lines().any(|row| row.starts_with(line)), "{table}");
    }
    the_budget_forbids(&cluster);

    // A cordoned node is tainted, keeps its daemon, and gets nothing else.
    cluster.kubectl(1, &["cordon", "node3"]);
    let tainted = || {
        let node = cluster.kubectl(1, &["get", "node", "node3", "-o", "json"]);
        node.contains("node.kubernetes.io/unschedulable")
    };
    eventually("the taint", tainted);
    cluster.kubectl(1, &["delete", "poddisruptionbudget", "db"]);
    for name in ["db-0", "db-1"] {
        let before = pods(&cluster, "db");
        let uid = |pods: &[Value]| {
            let found = pods.iter().find(|pod| pod["metadata"]["name"] == name);
            found.map(|pod| pod["metadata"]["uid"].clone())
        };
        let (status, _) = evict(&cluster, name);
        assert_eq!(status, 201);
        eventually("the name again", || {
            let now = pods(&cluster, "db");
            running(&now) == 2 && uid(&now) != uid(&before)
        });
    }
    let on = |name: &str| {
        let on = pods(&cluster, "db");
        on.iter()
            .filter(|pod| pod["spec"]["nodeName"] == name)
            .count()
    };
    assert_eq!(on("node3"), 0);
    assert_eq!(running(&pods(&cluster, "agent")), 3);
    cluster.kubectl(1, &["uncordon", "node3"]);
    eventually("the taint gone", || !tainted());
    a_dead_node_keeps_the_name(&mut cluster);
}

fn the_budget_forbids(cluster: &Cluster) {
    eventually("the budget's status", || {
        items(cluster, "pdb")[0]["status"]["currentHealthy"] == 2
    });
    let budget = &items(cluster, "pdb")[0]["status"];
    assert_eq!(budget["disruptionsAllowed"], 0);
    assert_eq!(budget["expectedPods"], 2);
    let (status, value) = evict(cluster, "db-0");
    assert_eq!(status, 429);
    assert_eq!(value["reason"], "TooManyRequests");
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(value["message"], message);
    let cause = &value["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    let text = "The disruption budget db needs 2 healthy pods and has 2 currently";
    assert_eq!(cause["message"], text);
    assert_eq!(running(&pods(cluster, "db")), 2);
}

/// A pod of a stateful set on a dead node hangs in Terminating, and its name is used again only after a force-delete.
fn a_dead_node_keeps_the_name(cluster: &mut Cluster) {
    let pod = |cluster: &Cluster, name: &str| {
        let all = pods(cluster, "db");
        all.into_iter().find(|pod| pod["metadata"]["name"] == name)
    };
    // One of them is not on node1, which is asked.
    let victim = ["db-0", "db-1"]
        .into_iter()
        .find(|name| pod(cluster, name).unwrap()["spec"]["nodeName"] != "node1")
        .unwrap();
    let old = pod(cluster, victim).unwrap();
    let node = old["spec"]["nodeName"].as_str().unwrap().to_owned();
    let n: u8 = node.trim_start_matches("node").parse().unwrap();
    cluster.kill(n);
    eventually("terminating", || {
        pod(cluster, victim).unwrap()["metadata"]["deletionTimestamp"].is_string()
    });
    assert_eq!(pods(cluster, "db").len(), 2, "nothing takes its place");
    assert_eq!(
        pod(cluster, victim).unwrap()["metadata"]["uid"],
        old["metadata"]["uid"]
    );
    // The dead node's daemon stays Running.
    assert_eq!(running(&pods(cluster, "agent")), 3);
    cluster.kubectl(1, &["delete", "pod", victim, "--force", "--grace-period=0"]);
    eventually("a new one elsewhere", || {
        pod(cluster, victim).is_some_and(|new| {
            new["metadata"]["uid"] != old["metadata"]["uid"]
                && new["status"]["phase"] == "Running"
                && new["spec"]["nodeName"] != node.as_str()
        })
    });
    cluster.launch(n, None, &RECORDED_FLAGS);
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
}
