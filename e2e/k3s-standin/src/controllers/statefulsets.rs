//! Stateful sets: pods with fixed names, one after the other. A name is used again only once its old pod is gone, so a
//! pod that hangs in Terminating on a dead node is not replaced.

use serde_json::{Value, json};

use super::objects::{self, controller_reference, name, namespace, owner, uid};
use super::workloads::{self, set_status, template_hash};
use super::world::World;
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};

/// Looks at all stateful sets once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for set in world.statefulsets.iter().filter(|set| !deleting(set)) {
        look_at(store, &world.pods, set).await?;
    }
    Ok(())
}

async fn look_at(store: &Store, pods: &[Value], set: &Value) -> Result<(), StoreError> {
    let own: Vec<&Value> = pods
        .iter()
        .filter(|pod| owner(pod, "StatefulSet") == Some(uid(set)))
        .collect();
    let wanted = set["spec"]["replicas"].as_u64().unwrap_or(1);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    for ordinal in 0..wanted {
        let present = own.iter().find(|pod| ordinal_of(set, pod) == Some(ordinal));
        match present {
            Some(pod) if parallel || (objects::is_ready(pod) && !deleting(pod)) => {}
            // The next one waits for this one.
            Some(_) => break,
            None => {
                claims(store, set, ordinal).await?;
                match store.create(resources::pods(), pod(set, ordinal)).await {
                    Ok(_) | Err(StoreError::AlreadyExists) => {}
                    Err(error) => return Err(error),
                }
                if !parallel {
                    break;
                }
            }
        }
    }
    // From the last one down, one at a time.
    let surplus = own
        .iter()
        .filter(|pod| ordinal_of(set, pod).is_some_and(|ordinal| ordinal >= wanted))
        .max_by_key(|pod| ordinal_of(set, pod));
    if let Some(pod) = surplus.filter(|pod| !deleting(pod)) {
        workloads::delete_pod(store, pod).await?;
    }
    let ready = own.iter().filter(|pod| objects::is_ready(pod)).count();
    let revision = format!("{}-{}", name(set), template_hash(&set["spec"]["template"]));
    let status = json!({
        "replicas": own.len(), "readyReplicas": ready, "availableReplicas": ready,
        "currentReplicas": own.len(), "updatedReplicas": own.len(), "collisionCount": 0,
        "currentRevision": revision, "updateRevision": revision,
        "observedGeneration": set["metadata"]["generation"],
    });
    set_status(store, resources::statefulsets(), set, status).await
}

fn ordinal_of(set: &Value, pod: &Value) -> Option<u64> {
    let rest = name(pod).strip_prefix(name(set))?.strip_prefix('-')?;
    rest.parse().ok()
}

fn templates(set: &Value) -> impl Iterator<Item = &Value> {
    let list = set["spec"]["volumeClaimTemplates"].as_array();
    list.into_iter().flatten()
}

fn claim_name(set: &Value, template: &Value, ordinal: u64) -> String {
    format!("{}-{}-{ordinal}", name(template), name(set))
}

/// Volumes are not provided here; a claim counts as bound at once.
async fn claims(store: &Store, set: &Value, ordinal: u64) -> Result<(), StoreError> {
    for template in templates(set) {
        let claim = json!({
            "metadata": {
                "name": claim_name(set, template, ordinal), "namespace": namespace(set),
                "labels": set["spec"]["selector"]["matchLabels"],
            },
            "spec": template["spec"],
            "status": {"phase": "Bound", "accessModes": template["spec"]["accessModes"]},
        });
        match store.create(resources::claims(), claim).await {
            Ok(_) | Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn pod(set: &Value, ordinal: u64) -> Value {
    let template = &set["spec"]["template"];
    let own_name = format!("{}-{ordinal}", name(set));
    let mut labels = template["metadata"]["labels"].clone();
    labels["statefulset.kubernetes.io/pod-name"] = json!(own_name);
    labels["controller-revision-hash"] =
        json!(format!("{}-{}", name(set), template_hash(template)));
    let mut spec = template["spec"].clone();
    spec["hostname"] = json!(own_name);
    spec["subdomain"] = set["spec"]["serviceName"].clone();
    let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    volumes.extend(templates(set).map(|claim| {
        json!({
            "name": name(claim),
            "persistentVolumeClaim": {"claimName": claim_name(set, claim, ordinal)},
        })
    }));
    spec["volumes"] = json!(volumes);
    json!({
        "metadata": {
            "name": own_name, "namespace": namespace(set), "labels": labels,
            "generateName": format!("{}-", name(set)),
            "ownerReferences": controller_reference(set),
        },
        "spec": spec,
    })
}
