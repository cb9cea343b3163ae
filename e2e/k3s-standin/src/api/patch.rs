//! Patches: merge, strategic merge for the lists that have keys, JSON patch.

use serde_json::{Map, Value};

/// Kinds of patches by content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, with keyed lists.
    Strategic,
    /// RFC 6902.
    Json,
    /// Server-side apply; taken as a strategic merge that may create.
    Apply,
}

impl PatchKind {
    /// By the request's content type.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/json-patch+json" => Some(Self::Json),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }

    /// Applies `patch` to `object`.
    ///
    /// # Errors
    /// With a message for a 400 answer when a JSON patch does not fit.
    pub(crate) fn apply(self, object: &mut Value, patch: &Value) -> Result<(), String> {
        match self {
            Self::Merge => json_patch::merge(object, patch),
            Self::Strategic | Self::Apply => strategic(object, patch, ""),
            Self::Json => {
                let operations: json_patch::Patch =
                    serde_json::from_value(patch.clone()).map_err(|error| error.to_string())?;
                json_patch::patch(object, &operations).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// The key by which a list is merged, by the name of its field.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "conditions" | "addresses" => Some("type"),
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

fn strategic(target: &mut Value, patch: &Value, field: &str) {
    match patch {
        Value::Object(changes) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Some(map) = target.as_object_mut() else {
                return;
            };
            if changes.get("$patch").and_then(Value::as_str) == Some("replace") {
                map.clear();
            }
            for (key, change) in changes {
                if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
                    delete_values(map, list, change);
                } else if key.starts_with('$') {
                    // Directives about order and retained keys do not change what we hold.
                } else if change.is_null() {
                    map.remove(key);
                } else {
                    strategic(map.entry(key.clone()).or_insert(Value::Null), change, key);
                }
            }
        }
        Value::Array(changes) => match (merge_key(field), target.as_array_mut()) {
            (Some(key), Some(present)) => merge_list(present, changes, key),
            (None, Some(present)) if field == "finalizers" => {
                for change in changes {
                    if !present.contains(change) {
                        present.push(change.clone());
                    }
                }
            }
            (Some(_) | None, _) => *target = patch.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *target = patch.clone();
        }
    }
}

fn merge_list(present: &mut Vec<Value>, changes: &[Value], key: &str) {
    for change in changes {
        let position = present.iter().position(|item| item[key] == change[key]);
        let directive = change["$patch"].as_str();
        match (position, directive) {
            (Some(at), Some("delete")) => drop(present.remove(at)),
            (None, Some("delete")) | (_, Some("replace")) => {}
            (Some(at), _) => strategic(&mut present[at], change, ""),
            (None, _) => present.push(change.clone()),
        }
    }
}

fn delete_values(map: &mut Map<String, Value>, list: &str, values: &Value) {
    if let (Some(present), Some(values)) = (
        map.get_mut(list).and_then(Value::as_array_mut),
        values.as_array(),
    ) {
        present.retain(|item| !values.contains(item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strategic_merges_conditions_by_type() {
        let mut node = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"},
        ]}, "spec": {"taints": [{"key": "a"}], "unschedulable": true}});
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]},
            "spec": {"taints": [{"key": "b"}], "unschedulable": null}});
        PatchKind::Strategic.apply(&mut node, &patch).unwrap();
        assert_eq!(node["status"]["conditions"][0]["status"], "Unknown");
        assert_eq!(node["status"]["conditions"][1]["type"], "DiskPressure");
        assert_eq!(node["spec"]["taints"], json!([{"key": "b"}]));
        assert!(node["spec"].get("unschedulable").is_none());
    }
}
