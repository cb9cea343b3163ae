//! Kubernetes objects in our plain types.

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Secret as ApiSecret};

use super::super::Secret;
use super::{DeploymentCounts, KubeLease, KubeNode, KubeSecret};

/// What the kubelet says without a network plugin. Several reasons it puts into brackets.
const NO_NETWORK: &str = "container runtime network not ready:";
const ROLE_LABEL: &str = "node-role.kubernetes.io/";

pub(super) fn node(node: Node) -> KubeNode {
    let labels = node.metadata.labels.unwrap_or_default();
    let mut annotations = node.metadata.annotations.unwrap_or_default();
    let spec = node.spec.unwrap_or_default();
    let status = node.status.unwrap_or_default();
    let info = status.node_info.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().find(|c| c.type_ == "Ready");
    let addresses = status.addresses.unwrap_or_default().into_iter();
    let mut internal = addresses
        .filter(|a| a.type_ == "InternalIP")
        .map(|a| a.address);
    KubeNode {
        name: node.metadata.name.unwrap_or_default(),
        uid: node.metadata.uid.unwrap_or_default(),
        ready: ready.is_some_and(|c| c.status == "True"),
        lacks_network: ready.is_some_and(|c| {
            let message = c.message.as_deref().unwrap_or_default();
            c.status == "False" && message.starts_with(NO_NETWORK)
        }),
        // A map's keys come sorted.
        roles: labels
            .keys()
            .filter_map(|k| k.strip_prefix(ROLE_LABEL))
            .map(str::to_owned)
            .collect(),
        version: info.kubelet_version,
        address: internal.next().unwrap_or_default(),
        more_addresses: internal.collect(),
        cordoned: spec.unschedulable.unwrap_or(false),
        etcd_member_name: annotations.remove("etcd.k3s.cattle.io/node-name"),
        node_args: annotations.remove("k3s.io/node-args"),
        boot_id: info.boot_id,
    }
}

pub(super) fn lease(lease: Lease) -> KubeLease {
    KubeLease {
        renewed_at_us: lease
            .spec
            .and_then(|spec| spec.renew_time)
            .map(|time| time.0.as_microsecond()),
    }
}

pub(super) fn secret(secret: ApiSecret) -> KubeSecret {
    let data = secret.data.unwrap_or_default().into_iter();
    KubeSecret {
        uid: secret.metadata.uid.unwrap_or_default(),
        kind: secret.type_.unwrap_or_default(),
        annotations: secret.metadata.annotations.unwrap_or_default(),
        data: data
            .map(|(key, value)| (key, Secret::new(value.0)))
            .collect(),
    }
}

pub(super) fn object(name: &str, secret: &KubeSecret) -> ApiSecret {
    let mut object = ApiSecret::default();
    object.metadata.name = Some(name.to_owned());
    object.metadata.annotations = Some(secret.annotations.clone());
    object.type_ = Some(secret.kind.clone());
    object.data = Some(
        secret
            .data
            .iter()
            .map(|(key, value)| (key.clone(), ByteString(value.expose().to_vec())))
            .collect(),
    );
    object
}

/// Replicas count as 1 when they are not given, as Kubernetes has it.
pub(super) fn add(counts: DeploymentCounts, deployment: &Deployment) -> DeploymentCounts {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let ready = deployment
        .status
        .as_ref()
        .and_then(|s| s.ready_replicas)
        .unwrap_or(0);
    DeploymentCounts {
        wanted: counts.wanted + u32::try_from(wanted).unwrap_or(0),
        ready: counts.ready + u32::try_from(ready).unwrap_or(0),
    }
}
