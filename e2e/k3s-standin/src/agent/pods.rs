//! The kubelet's work on pods: starts what is assigned to the node, ends what is being deleted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rand::Rng as _;
use serde_json::{Value, json};

use super::api::ApiClient;
use crate::api::resources;
use crate::logging::rfc3339_now;
use crate::token::hex;

/// What this kubelet remembers of the pods it handles, by uid.
#[derive(Default)]
pub(super) struct Pods {
    seen: BTreeMap<String, Instant>,
    ending: BTreeMap<String, Instant>,
    next_ip: u8,
}

/// Containers are up about two seconds after the pod was assigned (transcript 04).
const START: Duration = Duration::from_secs(2);
/// Containers here end soon after they are told to.
const END: Duration = Duration::from_secs(1);

impl Pods {
    /// Looks at the node's pods once.
    ///
    /// # Errors
    /// When the API does not answer.
    pub(super) async fn look(
        &mut self,
        api: &ApiClient,
        node: &str,
        scale: impl Fn(Duration) -> Duration,
    ) -> anyhow::Result<()> {
        let path = format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}");
        let list = api.get(&path).await?.context("pods")?;
        let pods = list["items"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for pod in pods {
            let uid = pod["metadata"]["uid"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if pod["metadata"]["deletionTimestamp"].is_string() {
                let since = *self.ending.entry(uid).or_insert_with(Instant::now);
                if since.elapsed() >= scale(END) {
                    api.delete_now(&path_of(pod), &pod["metadata"]["uid"])
                        .await?;
                }
            } else if pod["status"]["phase"] == json!("Pending") {
                let first = !self.seen.contains_key(&uid);
                let since = *self.seen.entry(uid).or_insert_with(Instant::now);
                if first {
                    self.post(api, pod, creating(pod)).await?;
                } else if since.elapsed() >= scale(START) {
                    let address = self.address(api, node, pods).await?;
                    self.post(api, pod, running(pod, &address)).await?;
                }
            } else if !is_ready(pod) && pod["status"]["phase"] == json!("Running") {
                // The node controller said not ready while we were away.
                let address = pod["status"]["podIP"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                self.post(api, pod, running(pod, &address)).await?;
            }
        }
        let here = |uid: &String| pods.iter().any(|pod| pod["metadata"]["uid"] == json!(uid));
        self.seen.retain(|uid, _| here(uid));
        self.ending.retain(|uid, _| here(uid));
        Ok(())
    }

    async fn post(&self, api: &ApiClient, pod: &Value, status: Value) -> anyhow::Result<()> {
        let path = path_of(pod) + "/status";
        api.patch(&path, &json!({"status": status})).await.map(drop)
    }

    /// A free address of the node's pod network.
    async fn address(
        &mut self,
        api: &ApiClient,
        node: &str,
        pods: &[Value],
    ) -> anyhow::Result<String> {
        let object = api.get(&resources::nodes().path(None, Some(node))).await?;
        let object = object.context("own node")?;
        let network = object["spec"]["podCIDR"]
            .as_str()
            .unwrap_or("10.42.0.0/24")
            .to_owned();
        let base = network
            .rsplit_once('.')
            .map_or("10.42.0", |(base, _)| base)
            .to_owned();
        loop {
            self.next_ip = if self.next_ip >= 250 {
                2
            } else {
                self.next_ip.max(1) + 1
            };
            let address = format!("{base}.{}", self.next_ip);
            if !pods
                .iter()
                .any(|pod| pod["status"]["podIP"] == json!(address))
            {
                return Ok(address);
            }
        }
    }
}

fn path_of(pod: &Value) -> String {
    let metadata = &pod["metadata"];
    resources::pods().path(metadata["namespace"].as_str(), metadata["name"].as_str())
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"].as_array().is_some_and(|list| {
        list.iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["spec"]["containers"].as_array().into_iter().flatten()
}

fn conditions(ready: bool) -> Value {
    let now = rfc3339_now();
    let row = |kind: &str, status: bool| {
        json!({
            "type": kind, "status": if status { "True" } else { "False" },
            "reason": if status { Value::Null } else { json!("ContainersNotReady") },
            "lastProbeTime": null, "lastTransitionTime": now,
        })
    };
    json!([
        row("Initialized", true),
        row("Ready", ready),
        row("ContainersReady", ready),
        row("PodScheduled", true)
    ])
}

fn creating(pod: &Value) -> Value {
    let statuses: Vec<Value> = containers(pod)
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": false, "restartCount": 0, "started": false, "lastState": {},
                "state": {"waiting": {"reason": "ContainerCreating"}},
            })
        })
        .collect();
    json!({"phase": "Pending", "startTime": rfc3339_now(), "conditions": conditions(false), "containerStatuses": statuses})
}

fn running(pod: &Value, address: &str) -> Value {
    let statuses: Vec<Value> = containers(pod)
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"],
                "containerID": format!("containerd://{}", hex(&rand::rng().random::<[u8; 32]>())),
                "imageID": format!("sha256:{}", hex(&rand::rng().random::<[u8; 32]>())),
                "ready": true, "restartCount": 0, "started": true, "lastState": {},
                "state": {"running": {"startedAt": rfc3339_now()}},
            })
        })
        .collect();
    json!({
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
        "conditions": conditions(true), "containerStatuses": statuses,
    })
}
