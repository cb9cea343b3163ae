//! Reading objects: conditions, owners, roles.

use serde_json::{Value, json};

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`.
pub(crate) fn namespace(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str()
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// A condition by its type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == json!(kind))
}

/// Whether the condition Ready is True.
pub(crate) fn is_ready(object: &Value) -> bool {
    condition(object, "Ready").is_some_and(|c| c["status"] == "True")
}

/// Whether a node is a server.
pub(crate) fn is_server(node: &Value) -> bool {
    node["metadata"]["labels"]["node-role.kubernetes.io/control-plane"].is_string()
}

/// The uid of the owner of this kind that controls the object.
pub(crate) fn owner<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    object["metadata"]["ownerReferences"]
        .as_array()?
        .iter()
        .find(|owner| owner["kind"] == json!(kind) && owner["controller"] == json!(true))?["uid"]
        .as_str()
}

/// A reference by which `object` controls others.
pub(crate) fn controller_reference(object: &Value) -> Value {
    json!([{
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name(object),
        "uid": uid(object), "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Seconds since an RFC 3339 time.
pub(crate) fn seconds_since(time: &Value) -> Option<f64> {
    let at: jiff::Timestamp = time.as_str()?.parse().ok()?;
    Some(jiff::Timestamp::now().duration_since(at).as_secs_f64())
}
