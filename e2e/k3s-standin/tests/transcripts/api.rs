//! Transcript 04: the API with and without credentials; watches.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually};
use crate::recorded::{block, blocks};
use crate::wire::Ask;

/// Paths of all values in a JSON document, list positions left out.
fn shape(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                shape(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for value in list {
                shape(value, &format!("{at}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(at.to_owned());
        }
    }
}

fn shape_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    shape(&serde_json::from_str(text).unwrap(), "", &mut found);
    found
}

#[test]
fn one_server_answers_as_recorded() {
    let mut cluster = Cluster::new();
    cluster.start(
        1,
        None,
        &[&["--cluster-init"], &RECORDED_FLAGS[..]].concat(),
    );
    cluster.wait_for_nodes(1, &["node1"]);
    without_credentials(&cluster);
    with_credentials(&cluster);
    objects(&cluster);
    workload(&cluster);
    watch(&cluster);
    complaints(&cluster);
}

fn without_credentials(cluster: &Cluster) {
    let address = cluster.address(1);
    let recorded = block("04-api.txt", "curl -sk https://172.30.55.10:6443/readyz").output;
    let status = recorded.split("pong").next().unwrap().trim_end();
    for path in [
        "/readyz",
        "/version",
        "/livez",
        "/healthz",
        "/api/v1/nodes",
        "/",
    ] {
        let answer = Ask::get(address, path).answer();
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (401, status),
            "{path}"
        );
    }
    let ping = Ask::get(address, "/ping").answer();
    assert_eq!((ping.status, ping.body.as_str()), (200, "pong"));
    let ca =
        std::fs::read_to_string(cluster.file(1, "/var/lib/rancher/k3s/server/tls/server-ca.crt"));
    assert_eq!(Ask::get(address, "/cacerts").answer().body, ca.unwrap());
    let wrong = Ask {
        basic: Some("server:wrong".to_owned()),
        ..Ask::get(address, "/v1-k3s/server-bootstrap")
    };
    assert_eq!(wrong.answer().status, 401);
}

fn with_credentials(cluster: &Cluster) {
    for path in ["/readyz?verbose", "/livez/etcd", "/version"] {
        let recorded = block("04-api.txt", &format!("--raw {path}"));
        // The excerpt may have been made on another machine type.
        let platform = format!(
            "linux/{}",
            if cfg!(target_arch = "aarch64") {
                "arm64"
            } else {
                "amd64"
            }
        );
        let recorded = recorded.output.replace("linux/amd64", &platform);
        assert_eq!(
            cluster.kubectl(1, &["get", "--raw", path]),
            recorded,
            "{path}"
        );
    }
}

fn objects(cluster: &Cluster) {
    let ours = shape_of(&cluster.kubectl(1, &["get", "node", "node1", "-o", "json"]));
    let mut theirs = shape_of(&block("04-api.txt", "get node node11 -o json").output);
    // What containerd has pulled is not ours to invent.
    theirs.retain(|path| !path.contains("/images"));
    let ours: BTreeSet<String> = ours
        .into_iter()
        .filter(|p| !p.contains("/images"))
        .collect();
    assert_eq!(ours, theirs);
    eventually("lease", || {
        cluster
            .run(
                1,
                &["kubectl", "get", "lease", "-n", "kube-node-lease", "node1"],
            )
            .status
            .success()
    });
    let lease = cluster.kubectl(
        1,
        &[
            "get",
            "lease",
            "-n",
            "kube-node-lease",
            "node1",
            "-o",
            "json",
        ],
    );
    assert_eq!(
        shape_of(&lease),
        shape_of(&block("04-api.txt", "get lease").output)
    );
    let args = cluster.kubectl(
        1,
        &[
            "get",
            "node",
            "node1",
            "-o",
            "jsonpath={.metadata.annotations.k3s\\.io/node-args}",
        ],
    );
    assert!(
        args.starts_with("[\"server\",\"--cluster-init\",\"--tls-san\",\"cluster.lab\""),
        "{args}"
    );
    eventually("endpoints", || {
        let output = cluster.run(
            1,
            &["kubectl", "get", "endpoints", "kubernetes", "-o", "wide"],
        );
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.starts_with("NAME         ENDPOINTS")
            && text.contains(&format!("{}:6443", cluster.address(1)))
    });
}

/// The part of a recorded pod that comes before its cut-off.
fn recorded_pod_keys() -> BTreeSet<String> {
    let text = block("04-api.txt", "get pods -n default -o json").output;
    let keys = text.lines().filter_map(|line| {
        let key = line.trim().strip_prefix('"')?.split_once("\":")?.0;
        // Of the image and its volumes, not of k3s.
        let foreign = ["name", "sources", "items", "key", "path", "mode"].contains(&key);
        (!foreign).then(|| key.to_owned())
    });
    keys.collect()
}

fn workload(cluster: &Cluster) {
    let created = cluster.kubectl(
        1,
        &[
            "create",
            "deployment",
            "web",
            "--image",
            "lab/pause:1",
            "--replicas",
            "2",
        ],
    );
    assert_eq!(created, "deployment.apps/web created\n");
    let running = || {
        let text = cluster.kubectl(1, &["get", "pods", "-n", "default", "-o", "json"]);
        serde_json::from_str::<Value>(&text).unwrap()["items"]
            .as_array()
            .unwrap()
            .clone()
    };
    eventually("two running pods", || {
        running()
            .iter()
            .filter(|pod| pod["status"]["phase"] == "Running")
            .count()
            == 2
    });
    let text = serde_json::to_string_pretty(&running()[0]).unwrap();
    for key in recorded_pod_keys() {
        let elsewhere = [
            // Of the mounted service account, which nothing here reads.
            "volumes",
            "volumeMounts",
            "mountPath",
            "readOnly",
            "projected",
            "defaultMode",
            "serviceAccountToken",
            "expirationSeconds",
            "configMap",
            "downwardAPI",
            "fieldRef",
            "fieldPath",
        ];
        if !elsewhere.contains(&key.as_str()) {
            assert!(
                text.contains(&format!("\"{key}\"")),
                "a pod lacks {key}:\n{text}"
            );
        }
    }
    cluster.kubectl(1, &["scale", "deployment", "web", "--replicas", "0"]);
    eventually("no pods", || running().is_empty());
}

fn watch(cluster: &Cluster) {
    let watch = Ask {
        identity: cluster.admin(1),
        ..Ask::get(
            cluster.address(1),
            "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=20&fieldSelector=metadata.name%3Dseen",
        )
    };
    let mut lines = watch.lines().map(|line| {
        let event: Value = serde_json::from_str(&line).unwrap();
        let what = event["type"].as_str().unwrap().to_owned();
        (
            what,
            event["object"]["data"]["a"].as_str().map(str::to_owned),
        )
    });
    let create =
        |name: &str| cluster.kubectl(1, &["create", "configmap", name, "--from-literal=a=1"]);
    create("unseen");
    assert_eq!(create("seen"), "configmap/seen created\n");
    assert_eq!(
        lines.next(),
        Some(("ADDED".to_owned(), Some("1".to_owned())))
    );
    cluster.kubectl(1, &["label", "configmap", "seen", "x=y"]);
    assert_eq!(
        lines.next(),
        Some(("MODIFIED".to_owned(), Some("1".to_owned())))
    );
    cluster.kubectl(1, &["delete", "configmap", "seen"]);
    assert_eq!(
        lines.next(),
        Some(("DELETED".to_owned(), Some("1".to_owned())))
    );
    let old = Ask {
        identity: cluster.admin(1),
        ..Ask::get(
            cluster.address(1),
            "/api/v1/nodes?watch=true&resourceVersion=x",
        )
    };
    assert_eq!(old.answer().status, 400);
}

fn complaints(cluster: &Cluster) {
    let recorded = blocks("14-restore.txt")
        .into_iter()
        .find(|block| block.command.contains("get configmap before-snapshot"))
        .unwrap();
    let complaint = recorded
        .output
        .lines()
        .find(|line| line.starts_with("Error"))
        .unwrap();
    let output = cluster.run(1, &["kubectl", "get", "configmap", "after-snapshot"]);
    assert_eq!(output.status.code(), Some(recorded.exit));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr).trim_end(),
        complaint
    );
    let nobody = Cluster::new();
    let output = nobody.run(1, &["kubectl", "get", "nodes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("was refused - did you specify the right host or port?")
    );
}
