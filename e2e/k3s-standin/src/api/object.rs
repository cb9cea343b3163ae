//! What creating an object fills in and checks.

use rand::Rng as _;
use serde_json::{Value, json};

use super::resources::Resource;
use crate::logging::rfc3339_now;
use crate::token::hex;

/// Letters of generated names, as in Kubernetes: no vowels, nothing that looks alike.
const SUFFIX_LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random letters.
pub(crate) fn suffix() -> String {
    let mut rng = rand::rng();
    (0..5)
        .map(|_| char::from(SUFFIX_LETTERS[rng.random_range(0..SUFFIX_LETTERS.len())]))
        .collect()
}

/// A random UUID, version 4.
pub(crate) fn uid() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    format!(
        "{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

/// Places that must be objects where they are not empty. The rest of the API relies on it.
const OBJECTS: [&str; 13] = [
    "",
    "/metadata",
    "/metadata/labels",
    "/metadata/annotations",
    "/spec",
    "/spec/selector",
    "/spec/selector/matchLabels",
    "/spec/template",
    "/spec/template/metadata",
    "/spec/template/metadata/labels",
    "/spec/template/spec",
    "/status",
    "/data",
];
/// Places that must be lists of objects where they are not empty.
const LISTS: [&str; 8] = [
    "/metadata/ownerReferences",
    "/spec/containers",
    "/spec/template/spec/containers",
    "/spec/template/spec/volumes",
    "/spec/volumeClaimTemplates",
    "/spec/tolerations",
    "/spec/taints",
    "/status/conditions",
];

/// Checks that the parts of an object have the kinds they must have.
///
/// # Errors
/// The message for a 422 answer.
pub(super) fn check_shape(object: &Value) -> Result<(), String> {
    let wrong = |at: &str, kind: &str| Err(format!("{}: must be {kind}", at.replace('/', ".")));
    for at in OBJECTS {
        if object
            .pointer(at)
            .is_some_and(|part| !part.is_object() && !part.is_null())
        {
            return wrong(at, "an object");
        }
    }
    for at in LISTS {
        let Some(part) = object.pointer(at) else {
            continue;
        };
        let good = part
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_object));
        if !good && !part.is_null() {
            return wrong(at, "a list of objects");
        }
    }
    if object.is_object() {
        Ok(())
    } else {
        wrong("body", "an object")
    }
}

/// Fills in what every new object gets and checks its name.
///
/// # Errors
/// The message for a 422 answer.
pub(super) fn prepare(resource: &Resource, object: &mut Value) -> Result<(), String> {
    check_shape(object)?;
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let generated = object["metadata"]["generateName"]
        .as_str()
        .map(|base| base.to_owned() + &suffix());
    let metadata = &mut object["metadata"];
    if !metadata["name"].is_string() {
        let Some(name) = generated else {
            return Err("name or generateName is required".to_owned());
        };
        metadata["name"] = json!(name);
    }
    let name = metadata["name"].as_str().unwrap_or_default();
    if !valid_name(name) {
        return Err(format!(
            "metadata.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        ));
    }
    metadata["uid"] = json!(uid());
    metadata["creationTimestamp"] = json!(rfc3339_now());
    if let Some(map) = metadata.as_object_mut() {
        map.remove("resourceVersion");
        map.remove("managedFields");
        map.remove("deletionTimestamp");
    }
    defaults(resource, object);
    Ok(())
}

fn valid_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    !name.is_empty()
        && name.len() <= 253
        && name.chars().all(inner)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

fn set_missing(object: &mut Value, key: &str, value: Value) {
    if object[key].is_null() {
        object[key] = value;
    }
}

fn defaults(resource: &Resource, object: &mut Value) {
    match resource.kind {
        "Pod" => {
            pod_spec_defaults(&mut object["spec"]);
            pod_admission(&mut object["spec"]);
            set_missing(
                object,
                "status",
                json!({"phase": "Pending", "qosClass": "BestEffort"}),
            );
        }
        "Deployment" => {
            object["metadata"]["generation"] = json!(1);
            workload_defaults(&mut object["spec"]);
            set_missing(&mut object["spec"], "progressDeadlineSeconds", json!(600));
            set_missing(&mut object["spec"], "revisionHistoryLimit", json!(10));
            set_missing(
                &mut object["spec"],
                "strategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
            );
            object["status"] = json!({});
        }
        "ReplicaSet" => {
            object["metadata"]["generation"] = json!(1);
            workload_defaults(&mut object["spec"]);
            object["status"] = json!({"replicas": 0});
        }
        "DaemonSet" => {
            object["metadata"]["generation"] = json!(1);
            pod_spec_defaults(&mut object["spec"]["template"]["spec"]);
            object["status"] = json!({
                "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
                "numberMisscheduled": 0, "numberReady": 0,
            });
        }
        "StatefulSet" => {
            object["metadata"]["generation"] = json!(1);
            workload_defaults(&mut object["spec"]);
            set_missing(
                &mut object["spec"],
                "podManagementPolicy",
                json!("OrderedReady"),
            );
            object["status"] = json!({"replicas": 0, "availableReplicas": 0});
        }
        "PodDisruptionBudget" => object["metadata"]["generation"] = json!(1),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            set_missing(object, "spec", json!({"finalizers": ["kubernetes"]}));
            object["status"] = json!({"phase": "Active"});
        }
        "Secret" => {
            encode_string_data(object);
            set_missing(object, "type", json!("Opaque"));
        }
        _ => {}
    }
}

fn workload_defaults(spec: &mut Value) {
    set_missing(spec, "replicas", json!(1));
    pod_spec_defaults(&mut spec["template"]["spec"]);
    if spec["template"]["metadata"].is_object() {
        spec["template"]["metadata"]["creationTimestamp"] = Value::Null;
    }
}

fn pod_spec_defaults(spec: &mut Value) {
    set_missing(spec, "dnsPolicy", json!("ClusterFirst"));
    set_missing(spec, "restartPolicy", json!("Always"));
    set_missing(spec, "schedulerName", json!("default-scheduler"));
    set_missing(spec, "securityContext", json!({}));
    set_missing(spec, "terminationGracePeriodSeconds", json!(30));
    for container in spec["containers"].as_array_mut().into_iter().flatten() {
        set_missing(container, "resources", json!({}));
        set_missing(
            container,
            "terminationMessagePath",
            json!("/dev/termination-log"),
        );
        set_missing(container, "terminationMessagePolicy", json!("File"));
        set_missing(container, "imagePullPolicy", json!("IfNotPresent"));
    }
}

/// What admission adds to pods but not to templates.
fn pod_admission(spec: &mut Value) {
    set_missing(spec, "enableServiceLinks", json!(true));
    set_missing(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    set_missing(spec, "priority", json!(0));
    set_missing(spec, "serviceAccount", json!("default"));
    set_missing(spec, "serviceAccountName", json!("default"));
    if !spec["tolerations"].is_array() {
        spec["tolerations"] = json!([]);
    }
    let Some(tolerations) = spec["tolerations"].as_array_mut() else {
        return;
    };
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = tolerations.iter().any(|toleration| {
            toleration["key"] == json!(key)
                || (toleration["key"].is_null() && toleration["operator"] == json!("Exists"))
        });
        if !tolerated {
            tolerations.push(json!({
                "effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": 300,
            }));
        }
    }
}

/// Fields Go writes although they are empty.
pub(super) fn fill_in(resource: &Resource, object: &mut Value) {
    if resource.kind == "Pod" {
        for condition in object["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(map) = condition.as_object_mut() {
                map.entry("lastProbeTime").or_insert(Value::Null);
            }
        }
    }
}

/// `stringData` of a Secret moves into `data`, as the API server does on every write.
pub(super) fn encode_string_data(object: &mut Value) {
    use base64::Engine as _;
    let Some(strings) = object
        .as_object_mut()
        .and_then(|map| map.remove("stringData"))
    else {
        return;
    };
    for (key, value) in strings.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        object["data"][key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resources;

    #[test]
    fn names_and_shapes_are_checked() {
        let refused = |object: Value| prepare(resources::pods(), &mut object.clone()).is_err();
        assert!(refused(json!([])));
        assert!(refused(json!({"metadata": "x"})));
        assert!(refused(json!({"metadata": {"name": "UPPER"}})));
        assert!(refused(json!({"metadata": {"name": "-x"}})));
        assert!(refused(json!({"metadata": {}})));
        assert!(refused(
            json!({"metadata": {"name": "a"}, "spec": {"tolerations": ["x"]}})
        ));
        let mut pod = json!({"metadata": {"generateName": "a-"}, "spec": {"containers": []}});
        prepare(resources::pods(), &mut pod).unwrap();
        assert_eq!(pod["metadata"]["name"].as_str().unwrap().len(), 7);
        assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    }
}
