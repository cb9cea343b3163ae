//! The API client against a server made here.

use std::sync::Arc;

use futures::StreamExt;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::json;

use super::tls_server::{Ca, TlsServer};
use crate::world::kube::KubeClient;
use crate::world::{
    Eviction, Kube, KubeAccess, KubeEndpoint, NodeEvent, PodId, PodOwner, Secret, WorldError,
};

fn api(path: &str, query: &str) -> (u16, String) {
    let node = json!({
        "metadata": {"name": "node1", "uid": "u1", "resourceVersion": "7",
            "labels": {"node-role.kubernetes.io/etcd": "true", "node-role.kubernetes.io/control-plane": "true"},
            "annotations": {"etcd.k3s.cattle.io/node-name": "node1-0a1b2c3d"}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "Hostname", "address": "node1"}, {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "fd00::1"}],
            "nodeInfo": {"kubeletVersion": "v1.33.5+k3s1", "bootID": "b", "architecture": "amd64",
                "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
                "operatingSystem": "linux", "osImage": "", "systemUUID": ""}},
    });
    let list = |kind: &str, items: serde_json::Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"resourceVersion": "7"}, "items": items});
    let body = match path {
        "/readyz" => return (200, "[+]etcd ok\nreadyz check passed\n".to_owned()),
        "/version" => {
            json!({"major": "1", "minor": "33", "gitVersion": "v1.33.5+k3s1", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
        }
        "/api/v1/nodes" if query.contains("watch=true") => {
            return (
                200,
                json!({"type": "DELETED", "object": node}).to_string() + "\n",
            );
        }
        "/api/v1/nodes" => list("NodeList", json!([node])),
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node1" => json!({
            "metadata": {"name": "node1"}, "spec": {"renewTime": "2026-11-23T05:00:00.000001Z"}}),
        "/apis/apps/v1/deployments" => list(
            "DeploymentList",
            json!([
            {"metadata": {}, "spec": {"replicas": 3, "selector": {}, "template": {}}, "status": {"readyReplicas": 2}},
            {"metadata": {}, "spec": {"selector": {}, "template": {}}}]),
        ),
        "/api/v1/pods" if query.contains("fieldSelector=spec.nodeName%3Dnode1") => list(
            "PodList",
            json!([pod("web", Some("ReplicaSet")), pod("bare", None)]),
        ),
        "/api/v1/namespaces/default/pods/web/eviction" => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
                "reason": "TooManyRequests", "message": "Cannot evict pod"});
            return (429, status.to_string());
        }
        "/api/v1/namespaces/default/pods/bare/eviction" => {
            json!({"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201})
        }
        "/api/v1/namespaces/default/pods/web" => pod("web", Some("ReplicaSet")),
        "/api/v1/nodes/node1" => node,
        "/api/v1/namespaces/kube-system/secrets" => {
            list("SecretList", json!([{"metadata": {"name": "k3s-serving"}}]))
        }
        "/api/v1/namespaces/kube-system/secrets/k3s-serving" => {
            json!({"metadata": {"name": "k3s-serving", "uid": "s1",
                "annotations": {"listener.cattle.io/cn-node1": "node1"}},
                "type": "kubernetes.io/tls", "data": {"tls.crt": "Y2VydA=="}})
        }
        _ => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                "reason": "NotFound", "message": "not found"});
            return (404, status.to_string());
        }
    };
    (200, body.to_string())
}

fn pod(name: &str, owner: Option<&str>) -> serde_json::Value {
    let owners: Vec<_> = owner
        .map(|kind| {
            json!({"apiVersion": "apps/v1", "kind": kind, "name": format!("{name}-5c7"), "uid": "o", "controller": true})
        })
        .into_iter()
        .collect();
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "ownerReferences": owners,
            "deletionTimestamp": "2026-11-23T05:00:00Z"},
        "spec": {"nodeName": "node1", "containers": [], "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-0"}}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
}

async fn cluster() -> (TlsServer, KubeAccess) {
    let ca = Ca::new();
    let answer =
        Arc::new(|r: &hyper::Request<_>| api(r.uri().path(), r.uri().query().unwrap_or_default()));
    let server = TlsServer::start(&ca, &["127.0.0.1"], answer).await;
    let (certificate, key) = ca.issue(&["admin"], ExtendedKeyUsagePurpose::ClientAuth);
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let endpoint = |name: &str, port| KubeEndpoint {
        name: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        server_name: None,
    };
    let access = KubeAccess {
        endpoints: vec![
            endpoint("lb", closed),
            endpoint("node1", server.address.port()),
        ],
        ca: ca.pem(),
        client_certificate: certificate.pem().into_bytes(),
        client_key: Secret::new(key.serialize_pem()),
    };
    (server, access)
}

#[tokio::test]
async fn a_dead_load_balancer_is_passed_by() {
    let (_server, access) = cluster().await;
    let kube = KubeClient::new(&access).unwrap();
    assert_eq!(kube.version().await.unwrap(), "v1.33.5+k3s1");
    let nodes = kube.nodes().await.unwrap();
    let node = &nodes[0];
    assert_eq!(
        (node.name.as_str(), node.ready, node.cordoned),
        ("node1", true, true)
    );
    assert_eq!(node.roles, ["control-plane", "etcd"]);
    assert_eq!(node.etcd_member_name.as_deref(), Some("node1-0a1b2c3d"));
    assert_eq!(node.address, "10.0.0.1");
    assert_eq!(node.more_addresses, ["fd00::1"]);
    assert_eq!(
        kube.lease("node1").await.unwrap().unwrap().renewed_at_us,
        Some(1_795_410_000_000_001)
    );
    assert_eq!(kube.lease("node9").await.unwrap(), None);
    assert!(!kube.delete_node("node9").await.unwrap());
    let counts = kube.deployments().await.unwrap();
    assert_eq!((counts.wanted, counts.ready), (4, 2));
    assert_eq!(
        kube.secret_names("kube-system").await.unwrap(),
        ["k3s-serving"]
    );

    let secret = kube.secret("kube-system", "k3s-serving").await.unwrap();
    let secret = secret.unwrap();
    assert_eq!(
        (secret.uid.as_str(), secret.kind.as_str()),
        ("s1", "kubernetes.io/tls")
    );
    assert_eq!(secret.annotations["listener.cattle.io/cn-node1"], "node1");
    assert_eq!(secret.data["tls.crt"].expose(), b"cert");
    assert_eq!(kube.secret("kube-system", "other").await.unwrap(), None);

    let there = kube.readyz("node1").await.unwrap();
    assert!(there.ready && there.text.contains("etcd ok"));
    let dead = kube.readyz("lb").await.unwrap();
    assert!(!dead.ready && dead.text.contains("refused"), "{dead:?}");
    assert!(kube.readyz("other").await.is_err());
}

#[tokio::test]
async fn pods_are_read_evicted_and_taken_off() {
    let (server, access) = cluster().await;
    let kube = KubeClient::new(&access).unwrap();
    let pods = kube.pods(Some("node1")).await.unwrap();
    let web = &pods[0];
    assert_eq!(web.id.to_string(), "default/web");
    assert_eq!(web.owner, PodOwner::Other("ReplicaSet".to_owned()));
    assert_eq!(pods[1].owner, PodOwner::Nobody);
    assert!(web.ready && web.scratch && !web.finished && web.leaves_at_drain());
    assert_eq!(web.claims.iter().collect::<Vec<_>>(), ["data-0"]);
    assert_eq!(web.terminating_until.unwrap().0, 1_795_410_000_000);

    let blocked = kube.evict(&web.id).await.unwrap();
    assert_eq!(
        blocked,
        Eviction::Blocked {
            why: "Cannot evict pod".to_owned()
        }
    );
    assert_eq!(kube.evict(&pods[1].id).await.unwrap(), Eviction::Accepted);
    let gone = PodId {
        name: "gone".to_owned(),
        ..web.id.clone()
    };
    assert_eq!(kube.evict(&gone).await.unwrap(), Eviction::Accepted);
    assert!(kube.force_delete(&web.id).await.unwrap());
    assert!(!kube.force_delete(&gone).await.unwrap());
    kube.set_cordoned("node1", true).await.unwrap();
    assert!(kube.set_cordoned("node9", true).await.is_err());
    let asked = server.seen.lock().unwrap();
    assert!(
        asked
            .iter()
            .any(|(_, _, path)| path.ends_with("/web/eviction"))
    );
    let sent = server.sent.lock().unwrap();
    let (_, eviction) = sent
        .iter()
        .find(|(path, _)| path.ends_with("/web/eviction"))
        .unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(eviction).unwrap(),
        json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "web", "namespace": "default"},
            "deleteOptions": {"preconditions": {"uid": "uid-web"}}}),
        "only this very pod"
    );
}

#[tokio::test]
async fn a_watch_goes_on_at_the_next_endpoint() {
    let (_server, access) = cluster().await;
    let kube = KubeClient::new(&access).unwrap();
    let mut watch = kube.watch_nodes();
    let mut next = async || {
        tokio::time::timeout(std::time::Duration::from_secs(20), watch.next())
            .await
            .unwrap()
            .unwrap()
    };
    assert!(matches!(next().await, NodeEvent::Interrupted { .. }));
    let NodeEvent::List(nodes) = next().await else {
        panic!("a list first")
    };
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        next().await,
        NodeEvent::Deleted {
            name: "node1".to_owned()
        }
    );
}

#[tokio::test]
async fn another_ca_is_not_trusted() {
    let (_server, mut access) = cluster().await;
    access.ca = Ca::new().pem();
    let error = KubeClient::new(&access)
        .unwrap()
        .version()
        .await
        .unwrap_err();
    let WorldError::Kube {
        status: None,
        detail,
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    // Both causes in plain words, without the layers between.
    assert_eq!(
        detail,
        "Connection refused; invalid peer certificate: BadSignature"
    );
    access.ca = b"nonsense".to_vec();
    assert!(KubeClient::new(&access).is_err());
}
