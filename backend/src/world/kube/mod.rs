//! The Kubernetes API in the few small methods the panel needs, with plain types.

mod client;
mod convert;
mod pods;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_wire::Timestamp;
use futures::stream::BoxStream;

use super::{Result, Secret};

pub(super) use client::KubeClient;
pub use pods::{Eviction, KubeBudget, KubePod, PodId, PodOwner};

/// One way to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeEndpoint {
    /// Host name of the load balancer or server, for messages.
    pub name: String,
    /// IP address or DNS name.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Whom its certificate must name, if not the address: a load balancer's is that of the servers behind it.
    pub server_name: Option<String>,
}

/// How to reach a cluster: from its kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeAccess {
    /// Tried in this order: load balancer first.
    pub endpoints: Vec<KubeEndpoint>,
    /// CA that signs the API servers' certificates, PEM. Nothing else is trusted.
    pub ca: Vec<u8>,
    /// Client certificate, PEM.
    pub client_certificate: Vec<u8>,
    /// Its key, PEM.
    pub client_key: Secret,
}

/// Answer to `/readyz?verbose` with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// HTTP 200.
    pub ready: bool,
    /// Time to answer.
    pub latency: Duration,
    /// What it said, or why there was no answer.
    pub text: String,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeNode {
    /// Node name.
    pub name: String,
    /// Changes when the node is deleted and registered again.
    pub uid: String,
    /// Condition `Ready` is `True`; stale for up to 40 s after a node dies.
    pub ready: bool,
    /// It is not ready because no network plugin is there, says its kubelet, and for no other reason.
    pub lacks_network: bool,
    /// Short role names from the labels, sorted: `control-plane`, `etcd`, …
    pub roles: Vec<String>,
    /// Version of its kubelet.
    pub version: String,
    /// InternalIP.
    pub address: String,
    /// The others of them: a node has one of each family.
    pub more_addresses: Vec<String>,
    /// Marked unschedulable.
    pub cordoned: bool,
    /// Annotation `etcd.k3s.cattle.io/node-name`: its etcd member's name; none on agents.
    pub etcd_member_name: Option<String>,
    /// Annotation `k3s.io/node-args` as it stands: a JSON list.
    pub node_args: Option<String>,
    /// Boot id its kubelet reported.
    pub boot_id: String,
}

/// A node's Lease in `kube-node-lease`. Fresh is one whose `renewed_at` changed between two reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeLease {
    /// `renewTime` by the node's clock, Unix microseconds; none before the first renewal.
    pub renewed_at_us: Option<i64>,
}

/// A Secret with its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeSecret {
    /// Changes when it is deleted and made again.
    pub uid: String,
    /// Its type, e.g. `kubernetes.io/tls`.
    pub kind: String,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Values by key.
    pub data: BTreeMap<String, Secret>,
}

/// Deployments of all namespaces, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeploymentCounts {
    /// Replicas wanted.
    pub wanted: u32,
    /// Replicas ready.
    pub ready: u32,
}

/// A change of the node list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// The list as it is now: replaces everything known. First event, and again after every break.
    List(Vec<KubeNode>),
    /// Added or changed.
    Applied(KubeNode),
    /// Deleted.
    Deleted {
        /// Node name.
        name: String,
    },
    /// The API cannot be reached; tried again with back-off. What is known is stale from `since` on.
    Interrupted {
        /// When it was noticed.
        since: Timestamp,
        /// What was seen.
        detail: String,
    },
}

/// Endless until dropped.
pub type KubeWatch = BoxStream<'static, NodeEvent>;

/// The API of one cluster. Calls take at most 10 s per endpoint; the first endpoint that answers decides, also
/// with a refusal.
#[async_trait]
pub trait Kube: Send + Sync {
    /// `/readyz?verbose` at one endpoint, by its name: never falls over to another.
    ///
    /// # Errors
    /// [`super::WorldError::InvalidInput`] if there is no such endpoint. No answer is an answer: not ready.
    async fn readyz(&self, endpoint: &str) -> Result<Readiness>;

    /// `gitVersion` of the API server, e.g. `v1.33.5+k3s1`.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`], here and below.
    async fn version(&self) -> Result<String>;

    /// All nodes, sorted by name.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn nodes(&self) -> Result<Vec<KubeNode>>;

    /// A node's Lease, none if there is none.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn lease(&self, node: &str) -> Result<Option<KubeLease>>;

    /// Deletes a Node; k3s then removes its etcd member. True if it was there.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn delete_node(&self, node: &str) -> Result<bool>;

    /// Names of the Secrets of a namespace, sorted; their contents are not fetched.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn secret_names(&self, namespace: &str) -> Result<Vec<String>>;

    /// A Secret with its content, none if there is none.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<KubeSecret>>;

    /// Makes a Secret; its `uid` is the API's business. False if there is one of this name already, which
    /// then stays as it is.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn create_secret(&self, namespace: &str, name: &str, secret: &KubeSecret)
    -> Result<bool>;

    /// Deletes a Secret. True if it was there.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn delete_secret(&self, namespace: &str, name: &str) -> Result<bool>;

    /// Deployments of all namespaces.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn deployments(&self) -> Result<DeploymentCounts>;

    /// Marks a node unschedulable, or schedulable again.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`], also if there is no such node.
    async fn set_cordoned(&self, node: &str, cordoned: bool) -> Result<()>;

    /// Pods of all namespaces; of one node, if one is named.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn pods(&self, node: Option<&str>) -> Result<Vec<KubePod>>;

    /// PodDisruptionBudgets of all namespaces.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn budgets(&self) -> Result<Vec<KubeBudget>>;

    /// PersistentVolumeClaims that only one node may use at a time, as `namespace/name`.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn exclusive_claims(&self) -> Result<BTreeSet<String>>;

    /// Asks for a pod to go by the eviction API, which heeds disruption budgets. A pod that is gone, or is
    /// another one by now, is [`Eviction::Accepted`].
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn evict(&self, pod: &PodId) -> Result<Eviction>;

    /// Takes a pod off the API without waiting for its kubelet. Only for pods of a node that is surely dead: two
    /// of a StatefulSet could run at a time otherwise. True if it was there.
    ///
    /// # Errors
    /// [`super::WorldError::Kube`].
    async fn force_delete(&self, pod: &PodId) -> Result<bool>;

    /// Follows the nodes.
    fn watch_nodes(&self) -> KubeWatch;
}
