//! The Node object as the kubelet and k3s's own controllers write it (transcript 04).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::logging::rfc3339_now;
use crate::server::options::NodeOptions;
use crate::system;
use crate::version::{go_arch, release};

/// Which part of the cluster a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Server; with its etcd member's name, unless it has no etcd.
    Server(Option<String>),
    /// Agent; with the URL it was told.
    Agent(String),
}

/// Flags whose values are masked in `k3s.io/node-args`.
const SECRET_FLAGS: [&str; 6] = [
    "--token",
    "-t",
    "--agent-token",
    "--datastore-endpoint",
    "--cluster-secret",
    "--etcd-s3-secret-key",
];

/// `k3s.io/node-args`: command and flags, secrets masked.
fn node_args(arguments: &[String]) -> String {
    let mut masked = Vec::new();
    let mut hide = false;
    for argument in arguments {
        if hide {
            masked.push("********".to_owned());
            hide = false;
        } else if SECRET_FLAGS.contains(&argument.as_str()) {
            masked.push(argument.clone());
            hide = true;
        } else if let Some((flag, _)) = argument.split_once('=')
            && SECRET_FLAGS.contains(&flag)
        {
            masked.push(flag.to_owned());
            masked.push("********".to_owned());
        } else {
            masked.push(argument.clone());
        }
    }
    json!(masked).to_string()
}

/// `k3s.io/node-env`: the `K3S_*` variables, secrets masked.
fn node_env(variables: impl Iterator<Item = (String, String)>) -> String {
    let secret = |name: &str| {
        ["TOKEN", "SECRET", "PASSWORD", "ENDPOINT"]
            .iter()
            .any(|word| name.contains(word))
    };
    let map: BTreeMap<String, String> = variables
        .filter(|(name, _)| name.starts_with("K3S_") && !name.starts_with("K3S_STANDIN_"))
        .map(|(name, value)| {
            let value = if secret(&name) {
                "********".to_owned()
            } else {
                value
            };
            (name, value)
        })
        .collect();
    json!(map).to_string()
}

/// RFC 4648 base 32 with padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut block = [0_u8; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(block);
        let digits = (chunk.len() * 8).div_ceil(5);
        for digit in 0..8 {
            let index = (bits >> (35 - 5 * digit)) & 31;
            out.push(if digit < digits {
                char::from(LETTERS[index as usize])
            } else {
                '='
            });
        }
    }
    out
}

/// Annotations the node writes about itself.
fn annotations(node: &NodeOptions, role: &Role) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: String| map.insert(key.to_owned(), json!(value));
    if let Role::Server(Some(member)) = role {
        set("etcd.k3s.cattle.io/node-address", node.address.to_string());
        set("etcd.k3s.cattle.io/node-name", member.clone());
    }
    let (args, env) = (node_args(&node.arguments), node_env(std::env::vars()));
    set("k3s.io/hostname", node.name.clone());
    set("k3s.io/internal-ip", node.address.to_string());
    set(
        "k3s.io/node-config-hash",
        base32(&Sha256::digest(format!("{args}{env}"))),
    );
    set("k3s.io/node-args", args);
    set("k3s.io/node-env", env);
    set("node.alpha.kubernetes.io/ttl", "0".to_owned());
    set(
        "volumes.kubernetes.io/controller-managed-attach-detach",
        "true".to_owned(),
    );
    Value::Object(map)
}

fn labels(node: &NodeOptions, role: &Role) -> Value {
    let mut map = Map::new();
    let mut set = |key: &str, value: &str| map.insert(key.to_owned(), json!(value));
    for key in ["beta.kubernetes.io/arch", "kubernetes.io/arch"] {
        set(key, go_arch());
    }
    for key in ["beta.kubernetes.io/os", "kubernetes.io/os"] {
        set(key, "linux");
    }
    for key in [
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
    ] {
        set(key, "k3s");
    }
    set("kubernetes.io/hostname", &node.name);
    if let Role::Server(member) = role {
        set("node-role.kubernetes.io/control-plane", "true");
        set("node-role.kubernetes.io/master", "true");
        if member.is_some() {
            set("node-role.kubernetes.io/etcd", "true");
        }
    }
    for (key, value) in &node.labels {
        set(key, value);
    }
    Value::Object(map)
}

fn taints(node: &NodeOptions) -> Vec<Value> {
    node.taints
        .iter()
        .filter_map(|text| {
            let (left, effect) = text.rsplit_once(':')?;
            let (key, value) = left.split_once('=').unwrap_or((left, ""));
            let mut taint = json!({"key": key, "effect": effect});
            if !value.is_empty() {
                taint["value"] = json!(value);
            }
            Some(taint)
        })
        .collect()
}

/// The conditions of a healthy node, as a patch or as the first state.
pub(crate) fn healthy_conditions(previous: &Value) -> Value {
    let now = rfc3339_now();
    let rows = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        (
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        ),
    ];
    let conditions: Vec<Value> = rows
        .into_iter()
        .map(|(kind, status, reason, message)| {
            let before = previous.as_array().and_then(|list| {
                list.iter()
                    .find(|c| c["type"] == json!(kind) && c["status"] == json!(status))
            });
            let since = before.map_or_else(|| json!(now), |c| c["lastTransitionTime"].clone());
            json!({
                "lastHeartbeatTime": now, "lastTransitionTime": since,
                "message": message, "reason": reason, "status": status, "type": kind,
            })
        })
        .collect();
    json!(conditions)
}

fn status(node: &NodeOptions, previous: &Value) -> Value {
    let memory = format!("{}Ki", system::memory_kib());
    let resources = |storage: &str| {
        json!({
            "cpu": system::processors().to_string(), "ephemeral-storage": storage,
            "hugepages-1Gi": "0", "hugepages-2Mi": "0", "memory": memory, "pods": "110",
        })
    };
    let machine = system::machine_id();
    let mut addresses = vec![json!({"address": node.address.to_string(), "type": "InternalIP"})];
    if let Some(external) = node.external {
        addresses.push(json!({"address": external.to_string(), "type": "ExternalIP"}));
    }
    addresses.push(json!({"address": node.name, "type": "Hostname"}));
    json!({
        "addresses": addresses,
        "allocatable": resources("257025515114"),
        "capacity": resources("264212084Ki"),
        "conditions": healthy_conditions(previous),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "images": [],
        "nodeInfo": {
            "architecture": go_arch(), "bootID": system::boot_id(),
            "containerRuntimeVersion": "containerd://1.6.20",
            "kernelVersion": system::kernel(), "kubeProxyVersion": release().name,
            "kubeletVersion": release().name, "machineID": machine, "operatingSystem": "linux",
            "osImage": system::os_image(), "systemUUID": machine,
        },
    })
}

/// The Node object at its first registration.
pub(crate) fn object(node: &NodeOptions, role: &Role) -> Value {
    let mut finalizers = vec!["wrangler.cattle.io/node"];
    if matches!(role, Role::Server(Some(_))) {
        finalizers.push("wrangler.cattle.io/managed-etcd-controller");
    }
    let mut spec = json!({"providerID": format!("k3s://{}", node.name)});
    let taints = taints(node);
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    json!({
        "metadata": {
            "name": node.name, "annotations": annotations(node, role),
            "labels": labels(node, role), "finalizers": finalizers,
        },
        "spec": spec,
        "status": status(node, &Value::Null),
    })
}

/// What a restarted node changes on its existing object.
pub(crate) fn patch(node: &NodeOptions, role: &Role) -> Value {
    let fresh = object(node, role);
    json!({"metadata": {
        "annotations": fresh["metadata"]["annotations"], "labels": fresh["metadata"]["labels"],
        "finalizers": fresh["metadata"]["finalizers"],
    }})
}

/// The status a restarted node posts over `previous`.
pub(crate) fn status_patch(node: &NodeOptions, previous: &Value) -> Value {
    json!({"status": status(node, &previous["status"]["conditions"])})
}

/// The node's Lease (transcript 04).
pub(crate) fn lease(node: &Value, name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "kube-node-lease",
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"],
            }],
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_now()},
    })
}

/// Now with microseconds, the form of Kubernetes' `MicroTime`.
pub(crate) fn micro_now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn secrets_are_masked() {
        assert_eq!(
            node_args(&words(
                "server --server https://a:6443 --token K10x::server:y --tls-san b"
            )),
            r#"["server","--server","https://a:6443","--token","********","--tls-san","b"]"#
        );
        assert_eq!(
            node_args(&words("server --token=x")),
            r#"["server","--token","********"]"#
        );
        let env = [
            ("K3S_TOKEN", "x"),
            ("K3S_URL", "u"),
            ("HOME", "/"),
            ("K3S_STANDIN_ROOT", "/t"),
        ];
        let env = env
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(node_env(env), r#"{"K3S_TOKEN":"********","K3S_URL":"u"}"#);
    }

    #[test]
    fn base32_of_a_digest_has_the_recorded_form() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI======");
        let text = base32(&[7; 32]);
        assert_eq!(text.len(), 56);
        assert!(text.ends_with("===="));
    }
}
