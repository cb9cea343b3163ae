//! Deployments make replica sets, replica sets make pods, and what lost its owner goes.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::objects::{self, controller_reference, name, namespace, owner, uid};
use super::world::World;
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};
use crate::api::{DeleteOptions, delete, suffix};
use crate::logging::rfc3339_now;

/// Looks at everything once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    collect_garbage(store, world).await?;
    for deployment in world.deployments.iter().filter(|object| !deleting(object)) {
        deploy(store, deployment, &world.replicasets).await?;
    }
    for set in world.replicasets.iter().filter(|object| !deleting(object)) {
        replicate(store, set, &world.pods).await?;
    }
    Ok(())
}

async fn collect_garbage(store: &Store, world: &World) -> Result<(), StoreError> {
    let lost = |object: &Value, kind: &str, owners: &[Value]| {
        owner(object, kind)
            .is_some_and(|uid| !owners.iter().any(|owner| objects::uid(owner) == uid))
    };
    let options = DeleteOptions::default();
    for set in world
        .replicasets
        .iter()
        .filter(|set| lost(set, "Deployment", &world.deployments))
    {
        ignore_gone(
            delete(
                store,
                resources::replicasets(),
                namespace(set),
                name(set),
                &options,
            )
            .await,
        )?;
    }
    let lost_pod = |pod: &&Value| {
        !deleting(pod)
            && (lost(pod, "ReplicaSet", &world.replicasets)
                || lost(pod, "DaemonSet", &world.daemonsets)
                || lost(pod, "StatefulSet", &world.statefulsets))
    };
    for pod in world.pods.iter().filter(lost_pod) {
        delete_pod(store, pod).await?;
    }
    Ok(())
}

/// Deletes a pod as its controller does.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn delete_pod(store: &Store, pod: &Value) -> Result<(), StoreError> {
    let options = DeleteOptions::default();
    ignore_gone(
        delete(
            store,
            resources::pods(),
            namespace(pod),
            name(pod),
            &options,
        )
        .await,
    )
}

fn ignore_gone<T>(result: Result<T, StoreError>) -> Result<(), StoreError> {
    match result {
        Ok(_) | Err(StoreError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Ten letters that stand for a pod template, as `6fdb795f76`.
pub(super) fn template_hash(template: &Value) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = Sha256::digest(template.to_string());
    digest
        .iter()
        .take(10)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % 27]))
        .collect()
}

async fn deploy(store: &Store, deployment: &Value, sets: &[Value]) -> Result<(), StoreError> {
    let own: Vec<&Value> = sets
        .iter()
        .filter(|set| owner(set, "Deployment") == Some(uid(deployment)))
        .collect();
    let hash = template_hash(&deployment["spec"]["template"]);
    let wanted = deployment["spec"]["replicas"].clone();
    let label = |set: &Value| set["metadata"]["labels"]["pod-template-hash"].clone();
    let Some(current) = own.iter().find(|set| label(set) == json!(hash)) else {
        return create_set(store, deployment, &hash, own.len() + 1).await;
    };
    scale(store, current, &wanted).await?;
    let ready = current["status"]["readyReplicas"].as_i64().unwrap_or(0);
    if ready >= wanted.as_i64().unwrap_or(1) {
        for old in own.iter().filter(|set| label(set) != json!(hash)) {
            scale(store, old, &json!(0)).await?;
        }
    }
    let sum = |key: &str| -> i64 {
        own.iter()
            .filter_map(|set| set["status"][key].as_i64())
            .sum()
    };
    let updated = current["status"]["replicas"].as_i64().unwrap_or(0);
    let available = sum("availableReplicas");
    let enough = available >= wanted.as_i64().unwrap_or(1);
    let status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": sum("replicas"), "updatedReplicas": updated,
        "readyReplicas": sum("readyReplicas"), "availableReplicas": available,
        "unavailableReplicas": (wanted.as_i64().unwrap_or(1) - available).max(0),
        "conditions": [deployment_condition(deployment, enough)],
    });
    set_status(store, resources::deployments(), deployment, status).await
}

fn deployment_condition(deployment: &Value, enough: bool) -> Value {
    let now = rfc3339_now();
    let word = if enough { "True" } else { "False" };
    let before = objects::condition(deployment, "Available").filter(|c| c["status"] == word);
    if let Some(before) = before {
        return before.clone();
    }
    let (reason, message) = if enough {
        (
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    json!({
        "type": "Available", "status": word, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastUpdateTime": now,
    })
}

async fn create_set(
    store: &Store,
    deployment: &Value,
    hash: &str,
    revision: usize,
) -> Result<(), StoreError> {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"]["pod-template-hash"] = json!(hash);
    let set = json!({
        "metadata": {
            "name": format!("{}-{hash}", name(deployment)), "namespace": namespace(deployment),
            "labels": template["metadata"]["labels"],
            "annotations": {
                "deployment.kubernetes.io/desired-replicas": deployment["spec"]["replicas"].to_string(),
                "deployment.kubernetes.io/revision": revision.to_string(),
            },
            "ownerReferences": controller_reference(deployment),
        },
        "spec": {
            "replicas": deployment["spec"]["replicas"], "selector": selector, "template": template,
        },
    });
    match store.create(resources::replicasets(), set).await {
        Ok(_) | Err(StoreError::AlreadyExists) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn scale(store: &Store, set: &Value, wanted: &Value) -> Result<(), StoreError> {
    if set["spec"]["replicas"] == *wanted {
        return Ok(());
    }
    let scaled = store
        .modify(resources::replicasets(), namespace(set), name(set), |set| {
            set["spec"]["replicas"] = wanted.clone();
            let generation = set["metadata"]["generation"].as_i64().unwrap_or(1);
            set["metadata"]["generation"] = json!(generation + 1);
            Ok(true)
        })
        .await;
    ignore_gone(scaled)
}

async fn replicate(store: &Store, set: &Value, pods: &[Value]) -> Result<(), StoreError> {
    let own: Vec<&Value> = pods
        .iter()
        .filter(|pod| owner(pod, "ReplicaSet") == Some(uid(set)) && !deleting(pod))
        .filter(|pod| {
            !matches!(
                pod["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            )
        })
        .collect();
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(0);
    for _ in own.len()..wanted {
        let template = &set["spec"]["template"];
        let pod = json!({
            "metadata": {
                "name": format!("{}-{}", name(set), suffix()), "namespace": namespace(set),
                "generateName": format!("{}-", name(set)),
                "labels": template["metadata"]["labels"],
                "annotations": template["metadata"]["annotations"],
                "ownerReferences": controller_reference(set),
            },
            "spec": template["spec"],
        });
        store.create(resources::pods(), without_nulls(pod)).await?;
    }
    let mut surplus = own.clone();
    surplus.sort_by_key(|pod| objects::is_ready(pod));
    for pod in surplus.iter().take(own.len().saturating_sub(wanted)) {
        delete_pod(store, pod).await?;
    }
    let ready = own.iter().filter(|pod| objects::is_ready(pod)).count();
    let status = json!({
        "replicas": own.len(), "fullyLabeledReplicas": own.len(),
        "readyReplicas": ready, "availableReplicas": ready,
        "observedGeneration": set["metadata"]["generation"],
    });
    set_status(store, resources::replicasets(), set, status).await
}

fn without_nulls(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    object
}

/// Writes a status if it is another one.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn set_status(
    store: &Store,
    resource: &'static resources::Resource,
    object: &Value,
    status: Value,
) -> Result<(), StoreError> {
    if object["status"] == status {
        return Ok(());
    }
    let changed = store
        .modify(resource, namespace(object), name(object), |object| {
            object["status"] = status.clone();
            Ok(true)
        })
        .await;
    ignore_gone(changed)
}
