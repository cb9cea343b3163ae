//! Daemon sets: one pod a node, also on nodes that are cordoned or dead.

use serde_json::{Value, json};

use super::objects::{self, controller_reference, name, namespace, owner, uid};
use super::scheduler::fits;
use super::workloads::{self, set_status, template_hash};
use super::world::World;
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};
use crate::api::suffix;

/// Taints of a node that keep no daemon away.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// Looks at all daemon sets once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for set in world.daemonsets.iter().filter(|set| !deleting(set)) {
        look_at(store, world, set).await?;
    }
    Ok(())
}

async fn look_at(store: &Store, world: &World, set: &Value) -> Result<(), StoreError> {
    let own: Vec<&Value> = world
        .pods
        .iter()
        .filter(|pod| owner(pod, "DaemonSet") == Some(uid(set)))
        .collect();
    let here = |pod: &&&Value, node: &Value| pod["spec"]["nodeName"] == node["metadata"]["name"];
    let wanted: Vec<&Value> = world
        .nodes
        .iter()
        .filter(|node| !deleting(node) && takes(set, node))
        .collect();
    for node in &wanted {
        // A pod that is still ending has the node's place.
        if !own.iter().any(|pod| here(&pod, node)) {
            store.create(resources::pods(), pod(set, node)).await?;
        }
    }
    for pod in own.iter().filter(|pod| !deleting(pod)) {
        if !wanted.iter().any(|node| here(&pod, node)) {
            workloads::delete_pod(store, pod).await?;
        }
    }
    let current: Vec<&&Value> = own
        .iter()
        .filter(|pod| wanted.iter().any(|node| here(pod, node)))
        .collect();
    let ready = current.iter().filter(|pod| objects::is_ready(pod)).count();
    let status = json!({
        "currentNumberScheduled": current.len(), "desiredNumberScheduled": wanted.len(),
        "numberAvailable": ready, "numberReady": ready, "numberMisscheduled": 0,
        "numberUnavailable": wanted.len().saturating_sub(ready),
        "updatedNumberScheduled": current.len(),
        "observedGeneration": set["metadata"]["generation"],
    });
    set_status(store, resources::daemonsets(), set, status).await
}

/// Whether the set wants a pod on a node.
fn takes(set: &Value, node: &Value) -> bool {
    let probe = json!({"spec": spec(set)});
    let mut node = node.clone();
    // Cordoned or not ready makes no difference to daemons.
    node["spec"]["unschedulable"] = json!(false);
    if let Some(taints) = node["spec"]["taints"].as_array_mut() {
        taints.retain(|taint| !TOLERATED.iter().any(|(key, _)| taint["key"] == *key));
    }
    fits(&probe, &node)
}

fn spec(set: &Value) -> Value {
    let mut spec = set["spec"]["template"]["spec"].clone();
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    tolerations.extend(
        TOLERATED
            .iter()
            .map(|(key, effect)| json!({"effect": effect, "key": key, "operator": "Exists"})),
    );
    spec["tolerations"] = json!(tolerations);
    spec
}

fn pod(set: &Value, node: &Value) -> Value {
    let mut spec = spec(set);
    spec["nodeName"] = node["metadata"]["name"].clone();
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = json!(template_hash(template));
    labels["pod-template-generation"] = json!("1");
    json!({
        "metadata": {
            "name": format!("{}-{}", name(set), suffix()), "namespace": namespace(set),
            "generateName": format!("{}-", name(set)), "labels": labels,
            "ownerReferences": controller_reference(set),
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_go_where_others_do_not() {
        let set = json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}});
        let node = |labels: Value, taints: Value| {
            json!({
                "metadata": {"labels": labels},
                "spec": {"unschedulable": true, "taints": taints},
            })
        };
        let cordoned = json!([{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        assert!(takes(&set, &node(json!({"disk": "ssd"}), cordoned)));
        assert!(!takes(&set, &node(json!({}), json!([]))));
        let own = json!([{"key": "mine", "effect": "NoSchedule"}]);
        assert!(!takes(&set, &node(json!({"disk": "ssd"}), own)));
    }
}
