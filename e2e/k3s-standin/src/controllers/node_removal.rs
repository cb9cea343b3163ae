//! Nodes that are being deleted: their etcd member and their password Secret go, then the Node (transcript 12).

use serde_json::{Value, json};

use super::objects;
use super::world::World;
use crate::agent::identity::forget;
use crate::api::resources;
use crate::api::store::{Store, StoreError, deleting};
use crate::api::{DeleteOptions, delete};
use crate::logging;

/// Finalizer of k3s's node controller.
const NODE: &str = "wrangler.cattle.io/node";
/// Finalizer of k3s's etcd controller.
const ETCD: &str = "wrangler.cattle.io/managed-etcd-controller";

/// Looks at all nodes, and at what deleted nodes left behind.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for node in world.nodes.iter().filter(|node| deleting(node)) {
        if has_finalizer(node, ETCD) && !remove_member(store, node).await? {
            continue;
        }
        forget(store, objects::name(node)).await?;
        let released = store
            .modify(resources::nodes(), None, objects::name(node), |node| {
                let finalizers = node["metadata"]["finalizers"].as_array_mut();
                if let Some(list) = finalizers {
                    list.retain(|finalizer| finalizer != NODE && finalizer != ETCD);
                }
                Ok(true)
            })
            .await;
        match released {
            Ok(_) | Err(StoreError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let exists = |name: &str| world.nodes.iter().any(|node| objects::name(node) == name);
    for lease in world
        .node_leases
        .iter()
        .filter(|lease| !exists(objects::name(lease)))
    {
        store.remove(resources::leases(), lease).await?;
    }
    let lost = |pod: &&Value| {
        pod["spec"]["nodeName"]
            .as_str()
            .is_some_and(|name| !exists(name))
    };
    for pod in world.pods.iter().filter(lost) {
        let options = DeleteOptions {
            grace: Some(0),
            uid: None,
        };
        delete(
            store,
            resources::pods(),
            objects::namespace(pod),
            objects::name(pod),
            &options,
        )
        .await?;
    }
    Ok(())
}

fn has_finalizer(node: &Value, finalizer: &str) -> bool {
    node["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| list.contains(&json!(finalizer)))
}

/// Whether the node has no member any more.
async fn remove_member(store: &Store, node: &Value) -> Result<bool, StoreError> {
    let annotations = &node["metadata"]["annotations"];
    let Some(name) = annotations["etcd.k3s.cattle.io/node-name"].as_str() else {
        return Ok(true);
    };
    let address = annotations["etcd.k3s.cattle.io/node-address"]
        .as_str()
        .unwrap_or_default();
    let members = store.etcd().members().await?;
    let Some(member) = members.iter().find(|member| member.name == name) else {
        return Ok(true);
    };
    logging::info(format!(
        "Removing name={name} id={} address={address} from etcd",
        member.id
    ));
    match store.etcd().remove_member(&member.id).await {
        Ok(()) => Ok(true),
        Err(error) => {
            logging::error(format!("Failed to remove {name} from etcd: {error}"));
            Ok(false)
        }
    }
}
