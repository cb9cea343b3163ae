//! Changing an existing object: replacing and patching it or one of its subresources.

use serde_json::{Value, json};

use super::object::{check_shape, encode_string_data, fill_in};
use super::patch::PatchKind;
use super::resources::Resource;
use super::scale;
use super::store::{Store, StoreError};

/// Where a change is aimed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// Kind.
    pub(super) resource: &'static Resource,
    /// Namespace, if the kind has one.
    pub(super) namespace: Option<&'a str>,
    /// Name.
    pub(super) name: &'a str,
    /// Subresource, if any.
    pub(super) subresource: Option<&'a str>,
}

/// Replaces the object or subresource.
///
/// # Errors
/// As the store, and `Conflict` when the body's `resourceVersion` is old.
pub(super) async fn replace(
    store: &Store,
    target: Target<'_>,
    body: &Value,
) -> Result<Value, StoreError> {
    let wanted = body["metadata"]["resourceVersion"].as_str();
    change(store, target, |present| {
        if wanted.is_some_and(|version| present["metadata"]["resourceVersion"] != json!(version)) {
            return Err(StoreError::Conflict);
        }
        Ok(body.clone())
    })
    .await
}

/// Patches the object or subresource.
///
/// # Errors
/// As the store; `Invalid` when the patch does not fit.
pub(super) async fn patch(
    store: &Store,
    target: Target<'_>,
    kind: PatchKind,
    body: &Value,
) -> Result<Value, StoreError> {
    if kind == PatchKind::Apply
        && store
            .get(target.resource, target.namespace, target.name)
            .await?
            .is_none()
    {
        let mut object = body.clone();
        check_shape(&object).map_err(StoreError::Invalid)?;
        object["metadata"]["name"] = json!(target.name);
        if let Some(namespace) = target.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        return store.create(target.resource, object).await;
    }
    change(store, target, |present| {
        let mut patched = present.clone();
        kind.apply(&mut patched, body)
            .map_err(StoreError::Invalid)?;
        Ok(patched)
    })
    .await
}

/// Computes the new object from the present one and keeps what this kind of request may not touch.
async fn change<F>(store: &Store, target: Target<'_>, compute: F) -> Result<Value, StoreError>
where
    F: Fn(&Value) -> Result<Value, StoreError>,
{
    let Target {
        resource,
        namespace,
        name,
        subresource,
    } = target;
    let saved = store
        .modify(resource, namespace, name, |object| {
            let present = object.clone();
            let shown = if subresource == Some("scale") {
                scale::of(&present)
            } else {
                present.clone()
            };
            let mut next = compute(&shown)?;
            check_shape(&next).map_err(StoreError::Invalid)?;
            if next["metadata"].is_null() {
                next["metadata"] = present["metadata"].clone();
            }
            match subresource {
                None => {
                    *object = next;
                    if resource.subresources.contains(&"status") {
                        put(object, "status", &present["status"]);
                    }
                }
                Some("scale") => scale::set(object, &next).map_err(StoreError::Invalid)?,
                // Status requests change the status and, for nodes, also annotations and labels.
                Some(_) => {
                    put(object, "status", &next["status"]);
                    for key in ["annotations", "labels"] {
                        put(&mut object["metadata"], key, &next["metadata"][key]);
                    }
                }
            }
            restore_identity(resource, object, &present);
            encode_string_data(object);
            fill_in(resource, object);
            if object["metadata"]["generation"].is_number() && object["spec"] != present["spec"] {
                let generation = present["metadata"]["generation"].as_i64().unwrap_or(1);
                object["metadata"]["generation"] = json!(generation + 1);
            }
            Ok(*object != present)
        })
        .await?;
    Ok(if subresource == Some("scale") {
        scale::of(&saved)
    } else {
        saved
    })
}

fn put(object: &mut Value, key: &str, value: &Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    if value.is_null() {
        map.remove(key);
    } else {
        map.insert(key.to_owned(), value.clone());
    }
}

fn restore_identity(resource: &Resource, object: &mut Value, present: &Value) {
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    for key in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        put(&mut object["metadata"], key, &present["metadata"][key]);
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}
