//! Places pods on ready nodes, the emptiest first.

use serde_json::{Value, json};

use super::world::World;
use super::{events, objects};
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};

/// Looks at all pods that have no node.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    let mut load: Vec<(usize, &Value)> = world
        .nodes
        .iter()
        .filter(|node| objects::is_ready(node) && !deleting(node))
        .map(|node| {
            let here = |pod: &&Value| pod["spec"]["nodeName"] == node["metadata"]["name"];
            (
                world
                    .pods
                    .iter()
                    .filter(|pod| !deleting(pod))
                    .filter(here)
                    .count(),
                node,
            )
        })
        .collect();
    let waiting = |pod: &&Value| pod["spec"]["nodeName"].is_null() && !deleting(pod);
    for pod in world.pods.iter().filter(waiting) {
        let best = load
            .iter_mut()
            .filter(|(_, node)| fits(pod, node))
            .min_by_key(|(count, node)| (*count, objects::name(node).to_owned()));
        let Some((count, node)) = best else { continue };
        *count += 1;
        let target = objects::name(node).to_owned();
        let bound = store
            .modify(
                resources::pods(),
                objects::namespace(pod),
                objects::name(pod),
                |pod| {
                    pod["spec"]["nodeName"] = json!(target);
                    Ok(true)
                },
            )
            .await;
        match bound {
            Ok(_) => {
                let text = format!(
                    "Successfully assigned {}/{} to {target}",
                    objects::namespace(pod).unwrap_or_default(),
                    objects::name(pod)
                );
                events::record(
                    store,
                    pod,
                    "Normal",
                    "Scheduled",
                    &text,
                    "default-scheduler",
                )
                .await;
            }
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn fits(pod: &Value, node: &Value) -> bool {
    if node["spec"]["unschedulable"] == json!(true) {
        return false;
    }
    let selector = pod["spec"]["nodeSelector"].as_object();
    let selected = selector.is_none_or(|map| {
        map.iter()
            .all(|(key, value)| node["metadata"]["labels"][key] == *value)
    });
    let taints = node["spec"]["taints"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    selected
        && taints
            .iter()
            .filter(|taint| taint["effect"] != "PreferNoSchedule")
            .all(|taint| tolerates(pod, taint))
}

fn tolerates(pod: &Value, taint: &Value) -> bool {
    let tolerations = pod["spec"]["tolerations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    tolerations.iter().any(|toleration| {
        (toleration["key"].is_null() || toleration["key"] == taint["key"])
            && (toleration["effect"].is_null() || toleration["effect"] == taint["effect"])
            && (toleration["operator"] == "Exists" || toleration["value"] == taint["value"])
    })
}
