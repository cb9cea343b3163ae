//! Pods as drains, drills and clean-ups see them.

use std::collections::BTreeSet;

use coxswain_wire::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

/// Names one pod for ever: a new pod of the same name has another `uid`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodId {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Identifier given by Kubernetes.
    pub uid: String,
}

/// `namespace/name`.
impl std::fmt::Display for PodId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who made a pod, and so whether it comes back somewhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodOwner {
    /// Nobody: once gone, it is gone for good.
    Nobody,
    /// A DaemonSet: it belongs on this node and comes back on it.
    DaemonSet,
    /// A StatefulSet: the new pod has the same name, and waits until the old one is surely gone.
    StatefulSet,
    /// The kubelet, from a file on the node: not to be deleted through the API.
    Node,
    /// A ReplicaSet, Job or other controller, by its kind.
    Other(String),
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubePod {
    /// Its name.
    pub id: PodId,
    /// Node it is bound to; empty while it waits for one.
    pub node: String,
    /// Its controller.
    pub owner: PodOwner,
    /// Name of its controller; empty without one.
    pub owner_name: String,
    /// Succeeded or Failed: nothing of it runs any more.
    pub finished: bool,
    /// Condition `Ready` is `True`.
    pub ready: bool,
    /// Marked for deletion: until when it may take its leave.
    pub terminating_until: Option<Timestamp>,
    /// It has data in an `emptyDir`, which goes with it.
    pub scratch: bool,
    /// PersistentVolumeClaims it uses.
    pub claims: BTreeSet<String>,
}

impl KubePod {
    /// A drain has to move it: not what belongs to the node.
    #[must_use]
    pub fn leaves_at_drain(&self) -> bool {
        match self.owner {
            PodOwner::DaemonSet | PodOwner::Node => false,
            PodOwner::Nobody | PodOwner::StatefulSet | PodOwner::Other(_) => true,
        }
    }
}

/// A PodDisruptionBudget as its controller last saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeBudget {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Pods that it is about.
    pub pods: u32,
    /// How many of them may be evicted now.
    pub allowed: u32,
}

/// Answer to an eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// It will go, or is gone.
    Accepted,
    /// A PodDisruptionBudget does not allow it now: ask again later.
    Blocked {
        /// What the API said.
        why: String,
    },
}

pub(super) fn budget(budget: PodDisruptionBudget) -> KubeBudget {
    let status = budget.status.unwrap_or_default();
    // What is negative or not told yet lets nobody go.
    let count = |number: Option<i32>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
    KubeBudget {
        namespace: budget.metadata.namespace.unwrap_or_default(),
        name: budget.metadata.name.unwrap_or_default(),
        pods: count(status.expected_pods),
        allowed: count(status.disruptions_allowed),
    }
}

/// `namespace/name` of a claim that only one node may use at a time.
pub(super) fn exclusive(claim: PersistentVolumeClaim) -> Option<String> {
    let modes = claim
        .spec
        .unwrap_or_default()
        .access_modes
        .unwrap_or_default();
    let shared = |mode: &String| matches!(mode.as_str(), "ReadWriteMany" | "ReadOnlyMany");
    let metadata = claim.metadata;
    let name = format!(
        "{}/{}",
        metadata.namespace.unwrap_or_default(),
        metadata.name.unwrap_or_default()
    );
    (!modes.iter().any(shared)).then_some(name)
}

/// Marks pods that a kubelet runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

pub(super) fn pod(pod: Pod) -> KubePod {
    let metadata = pod.metadata;
    let spec = pod.spec.unwrap_or_default();
    let status = pod.status.unwrap_or_default();
    let mirror = metadata
        .annotations
        .as_ref()
        .is_some_and(|a| a.contains_key(MIRROR));
    let controller = metadata
        .owner_references
        .unwrap_or_default()
        .into_iter()
        .find(|owner| owner.controller == Some(true));
    let owner = match controller.as_ref().map(|c| c.kind.as_str()) {
        _ if mirror => PodOwner::Node,
        None => PodOwner::Nobody,
        Some("DaemonSet") => PodOwner::DaemonSet,
        Some("StatefulSet") => PodOwner::StatefulSet,
        Some("Node") => PodOwner::Node,
        Some(other) => PodOwner::Other(other.to_owned()),
    };
    let volumes = spec.volumes.unwrap_or_default();
    KubePod {
        id: PodId {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
        },
        node: spec.node_name.unwrap_or_default(),
        owner,
        owner_name: controller.map(|c| c.name).unwrap_or_default(),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        ready: status
            .conditions
            .unwrap_or_default()
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True"),
        terminating_until: metadata
            .deletion_timestamp
            .map(|time| Timestamp(time.0.as_millisecond())),
        scratch: volumes.iter().any(|v| v.empty_dir.is_some()),
        claims: volumes
            .into_iter()
            .filter_map(|v| v.persistent_volume_claim)
            .map(|claim| claim.claim_name)
            .collect(),
    }
}
