//! The `scale` subresource of deployments and replica sets.

use serde_json::{Value, json};

/// The `Scale` of a workload.
pub(super) fn of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let selector = object["spec"]["selector"]["matchLabels"]
        .as_object()
        .map(|labels| {
            labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join(",")
        });
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": object["spec"]["replicas"]},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector},
    })
}

/// Puts a `Scale`'s wish into the workload.
///
/// # Errors
/// When it is no number of replicas.
pub(super) fn set(object: &mut Value, scale: &Value) -> Result<(), String> {
    match scale["spec"]["replicas"].as_u64() {
        Some(replicas) => {
            object["spec"]["replicas"] = json!(replicas);
            Ok(())
        }
        None => Err("spec.replicas: Invalid value: must be greater than or equal to 0".to_owned()),
    }
}
