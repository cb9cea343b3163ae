//! Nodes whose Lease stands still: marked Unknown, tainted, their pods evicted (transcripts 09 and 11).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::World;
use super::{events, objects};
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};
use crate::api::{DeleteOptions, delete};
use crate::logging::rfc3339_now;
use crate::settings::Settings;

/// A Lease may stand still this long.
const GRACE: Duration = Duration::from_secs(40);
/// The taint that evicts follows this much later than the one that keeps new pods away.
const EVICT_LATER: Duration = Duration::from_secs(5);
/// With this share of nodes not ready, evictions stop in a small cluster (facts B.9).
const UNHEALTHY_SHARE: f64 = 0.55;
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// What the controller remembers: for each node, the renew time last seen and since when.
pub(super) struct NodeLifecycle {
    settings: Settings,
    seen: BTreeMap<String, (Value, Instant)>,
}

impl NodeLifecycle {
    /// Knows no node yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            seen: BTreeMap::new(),
        }
    }

    /// Looks at all nodes and at the pods on them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn look(&mut self, store: &Store, world: &World) -> Result<(), StoreError> {
        let not_ready = world
            .nodes
            .iter()
            .filter(|node| !objects::is_ready(node))
            .count();
        #[expect(clippy::cast_precision_loss, reason = "a handful of nodes")]
        let evicting = (not_ready as f64) < UNHEALTHY_SHARE * world.nodes.len() as f64;
        for node in &world.nodes {
            if self.silent(node, world) {
                mark_unknown(store, node, &world.pods).await?;
            }
            self.taint(store, node, evicting).await?;
            self.evict(store, node, &world.pods).await?;
        }
        self.seen
            .retain(|name, _| world.nodes.iter().any(|node| objects::name(node) == name));
        Ok(())
    }

    /// Whether a node's Lease has stood still for the grace period, by our own clock.
    fn silent(&mut self, node: &Value, world: &World) -> bool {
        let name = objects::name(node);
        let lease = world
            .node_leases
            .iter()
            .find(|lease| objects::name(lease) == name);
        let renewed = lease.map_or(Value::Null, |lease| lease["spec"]["renewTime"].clone());
        let entry = self.seen.entry(name.to_owned());
        let slot = entry.or_insert_with(|| (renewed.clone(), Instant::now()));
        if slot.0 != renewed {
            *slot = (renewed, Instant::now());
        }
        slot.1.elapsed() >= self.settings.scaled(GRACE)
    }

    async fn taint(&self, store: &Store, node: &Value, evicting: bool) -> Result<(), StoreError> {
        let ready = objects::condition(node, "Ready");
        let status = ready
            .and_then(|c| c["status"].as_str())
            .unwrap_or("Unknown");
        let key = match status {
            "True" => None,
            "False" => Some(NOT_READY),
            _ => Some(UNREACHABLE),
        };
        let since = ready.and_then(|c| objects::seconds_since(&c["lastTransitionTime"]));
        let late = since.unwrap_or(0.0) >= self.settings.scaled(EVICT_LATER).as_secs_f64();
        let wanted = taints(&node["spec"], key, late && evicting);
        if wanted == node["spec"]["taints"]
            || (wanted == json!([]) && node["spec"]["taints"].is_null())
        {
            return Ok(());
        }
        let changed = store
            .modify(resources::nodes(), None, objects::name(node), |node| {
                let wanted = taints(&node["spec"], key, late && evicting);
                match node["spec"].as_object_mut() {
                    Some(spec) if wanted == json!([]) => drop(spec.remove("taints")),
                    Some(_) | None => node["spec"]["taints"] = wanted,
                }
                Ok(true)
            })
            .await;
        ignore_gone(changed)
    }

    async fn evict(&self, store: &Store, node: &Value, pods: &[Value]) -> Result<(), StoreError> {
        let all = node["spec"]["taints"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for taint in all.iter().filter(|taint| taint["effect"] == "NoExecute") {
            let since = objects::seconds_since(&taint["timeAdded"]).unwrap_or(f64::MAX);
            let on_node = |pod: &&Value| {
                pod["spec"]["nodeName"] == node["metadata"]["name"] && !deleting(pod)
            };
            for pod in pods.iter().filter(on_node) {
                let Some(limit) = tolerated_seconds(pod, taint) else {
                    continue;
                };
                if since < limit * self.settings.time_scale {
                    continue;
                }
                let name = objects::name(pod);
                events::record(
                    store,
                    pod,
                    "Normal",
                    "TaintManagerEviction",
                    &format!(
                        "Marking for deletion Pod {}/{name}",
                        objects::namespace(pod).unwrap_or_default()
                    ),
                    "taint-controller",
                )
                .await;
                let options = DeleteOptions::default();
                let gone = delete(
                    store,
                    resources::pods(),
                    objects::namespace(pod),
                    name,
                    &options,
                )
                .await;
                ignore_gone(gone)?;
            }
        }
        Ok(())
    }
}

/// Seconds a pod tolerates a taint; `None` for ever, zero not at all.
fn tolerated_seconds(pod: &Value, taint: &Value) -> Option<f64> {
    let tolerations = pod["spec"]["tolerations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut shortest: Option<f64> = None;
    let mut tolerated = false;
    for toleration in tolerations {
        let key = toleration["key"].is_null() || toleration["key"] == taint["key"];
        let effect = toleration["effect"].is_null() || toleration["effect"] == taint["effect"];
        if key && effect {
            tolerated = true;
            if let Some(seconds) = toleration["tolerationSeconds"].as_f64() {
                shortest = Some(shortest.map_or(seconds, |least| least.min(seconds)));
            }
        }
    }
    if tolerated { shortest } else { Some(0.0) }
}

/// The taints a node should have: foreign ones as they are, ours by its readiness and by whether it is cordoned.
fn taints(spec: &Value, key: Option<&str>, evict: bool) -> Value {
    let ours = |taint: &Value| {
        [UNREACHABLE, NOT_READY, UNSCHEDULABLE]
            .iter()
            .any(|key| taint["key"] == *key)
    };
    let list = spec["taints"].as_array().cloned().unwrap_or_default();
    let mut wanted: Vec<Value> = list.iter().filter(|taint| !ours(taint)).cloned().collect();
    if spec["unschedulable"] == json!(true) {
        let kept = list.iter().find(|taint| taint["key"] == UNSCHEDULABLE);
        wanted.push(kept.cloned().unwrap_or_else(
            || json!({"effect": "NoSchedule", "key": UNSCHEDULABLE, "timeAdded": rfc3339_now()}),
        ));
    }
    if let Some(key) = key {
        for effect in ["NoSchedule", "NoExecute"] {
            let kept = list
                .iter()
                .find(|taint| taint["key"] == key && taint["effect"] == effect);
            match kept {
                Some(taint) => wanted.push(taint.clone()),
                None if effect == "NoSchedule" || evict => {
                    wanted.push(json!({"effect": effect, "key": key, "timeAdded": rfc3339_now()}))
                }
                None => {}
            }
        }
    }
    json!(wanted)
}

async fn mark_unknown(store: &Store, node: &Value, pods: &[Value]) -> Result<(), StoreError> {
    let unknown =
        |node: &Value| objects::condition(node, "Ready").is_some_and(|c| c["status"] == "Unknown");
    if unknown(node) {
        return Ok(());
    }
    let now = rfc3339_now();
    let marked = store
        .modify(resources::nodes(), None, objects::name(node), |node| {
            for condition in node["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                condition["status"] = json!("Unknown");
                condition["reason"] = json!("NodeStatusUnknown");
                condition["message"] = json!("Kubelet stopped posting node status.");
                condition["lastTransitionTime"] = json!(now);
            }
            Ok(true)
        })
        .await;
    ignore_gone(marked)?;
    let text = format!("Node {} status is now: NodeNotReady", objects::name(node));
    events::record(
        store,
        node,
        "Normal",
        "NodeNotReady",
        &text,
        "node-controller",
    )
    .await;
    for pod in pods
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node["metadata"]["name"])
    {
        let changed = store
            .modify(
                resources::pods(),
                objects::namespace(pod),
                objects::name(pod),
                |pod| {
                    let mut changed = false;
                    for condition in pod["status"]["conditions"]
                        .as_array_mut()
                        .into_iter()
                        .flatten()
                    {
                        if condition["type"] == "Ready" && condition["status"] == "True" {
                            condition["status"] = json!("False");
                            condition["lastTransitionTime"] = json!(now);
                            changed = true;
                        }
                    }
                    Ok(changed)
                },
            )
            .await;
        ignore_gone(changed)?;
    }
    Ok(())
}

fn ignore_gone<T>(result: Result<T, StoreError>) -> Result<(), StoreError> {
    match result {
        Ok(_) | Err(StoreError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives every node its part of the pod network.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn assign_networks(
    store: &Store,
    world: &World,
    cluster_cidr: &str,
) -> Result<(), StoreError> {
    let base: Vec<&str> = cluster_cidr.split('.').take(2).collect();
    let network = |index: u8| format!("{}.{index}.0/24", base.join("."));
    let mut taken: Vec<String> = world
        .nodes
        .iter()
        .filter_map(|node| node["spec"]["podCIDR"].as_str().map(str::to_owned))
        .collect();
    for node in world
        .nodes
        .iter()
        .filter(|node| node["spec"]["podCIDR"].is_null())
    {
        let free = (0..=u8::MAX)
            .map(network)
            .find(|network| !taken.contains(network));
        let Some(free) = free else { return Ok(()) };
        let assigned = store
            .modify(resources::nodes(), None, objects::name(node), |node| {
                node["spec"]["podCIDR"] = json!(free);
                node["spec"]["podCIDRs"] = json!([free]);
                Ok(true)
            })
            .await;
        ignore_gone(assigned)?;
        taken.push(free);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_come_in_two_steps_and_go_together() {
        let foreign = json!([{"key": "mine", "effect": "NoSchedule"}]);
        let spec = |taints: &Value| json!({"taints": taints});
        let first = taints(&spec(&foreign), Some(UNREACHABLE), false);
        assert_eq!(first.as_array().unwrap().len(), 2);
        let second = taints(&spec(&first), Some(UNREACHABLE), true);
        assert_eq!(second[2]["effect"], "NoExecute");
        assert_eq!(second[1], first[1]);
        assert_eq!(taints(&spec(&second), None, true), foreign);
    }

    #[test]
    fn a_cordoned_node_is_tainted() {
        let cordoned = taints(&json!({"unschedulable": true}), None, false);
        assert_eq!(cordoned[0]["key"], UNSCHEDULABLE);
        let again = json!({"unschedulable": true, "taints": cordoned});
        assert_eq!(taints(&again, None, false), cordoned);
        assert_eq!(taints(&json!({"taints": cordoned}), None, false), json!([]));
    }

    #[test]
    fn tolerations() {
        let taint = json!({"key": UNREACHABLE, "effect": "NoExecute"});
        let pod = |tolerations: Value| json!({"spec": {"tolerations": tolerations}});
        assert_eq!(tolerated_seconds(&pod(json!([])), &taint), Some(0.0));
        let limited = json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]);
        assert_eq!(tolerated_seconds(&pod(limited), &taint), Some(300.0));
        assert_eq!(
            tolerated_seconds(&pod(json!([{"operator": "Exists"}])), &taint),
            None
        );
    }
}
