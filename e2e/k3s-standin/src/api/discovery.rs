//! What a client may ask for: `/api`, `/apis` and the lists of kinds.

use serde_json::{Value, json};

use super::resources::{RESOURCES, Resource};

/// `/api`.
pub(super) fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

fn groups() -> Vec<(&'static str, &'static str)> {
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for resource in &RESOURCES {
        let pair = (resource.group, resource.version);
        if !resource.group.is_empty() && !groups.contains(&pair) {
            groups.push(pair);
        }
    }
    groups
}

fn group(name: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

/// `/apis`.
pub(super) fn group_list() -> Value {
    let groups: Vec<Value> = groups()
        .into_iter()
        .map(|(name, version)| group(name, version))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(super) fn one_group(name: &str) -> Option<Value> {
    let (name, version) = groups().into_iter().find(|(group, _)| *group == name)?;
    let mut value = group(name, version);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(super) fn resource_list(group: &str, version: &str) -> Option<Value> {
    let mut rows = Vec::new();
    for resource in &RESOURCES {
        if resource.group == group && resource.version == version {
            rows.push(row(resource));
            rows.extend(
                resource
                    .subresources
                    .iter()
                    .map(|name| subresource(resource, name)),
            );
        }
    }
    if rows.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": rows,
    }))
}

fn row(resource: &Resource) -> Value {
    json!({
        "name": resource.plural, "singularName": resource.singular,
        "namespaced": resource.namespaced, "kind": resource.kind,
        "shortNames": resource.short,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    })
}

fn subresource(resource: &Resource, name: &str) -> Value {
    let (kind, extra, verbs): (&str, Value, &[&str]) = match name {
        "eviction" => (
            "Eviction",
            json!({"group": "policy", "version": "v1"}),
            &["create"],
        ),
        "binding" => ("Binding", json!({}), &["create"]),
        "scale" => (
            "Scale",
            json!({"group": "autoscaling", "version": "v1"}),
            &["get", "patch", "update"],
        ),
        "log" => (resource.kind, json!({}), &["get"]),
        _ => (resource.kind, json!({}), &["get", "patch", "update"]),
    };
    let mut value = json!({
        "name": format!("{}/{name}", resource.plural), "singularName": "",
        "namespaced": resource.namespaced, "kind": kind, "verbs": verbs,
    });
    if let (Some(map), Some(extra)) = (value.as_object_mut(), extra.as_object()) {
        map.extend(extra.clone());
    }
    value
}
