//! Clusters: what the inventory holds, and what was last observed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, HostId, RunId, Timestamp};

/// What a host is in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Control plane and etcd member.
    Server,
    /// Worker.
    Agent,
    /// Runs HAProxy in front of :6443.
    LoadBalancer,
}

/// A host's place in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The host.
    pub host: HostId,
    /// What it is there.
    pub role: MemberRole,
}

/// `POST /clusters` and `PUT /clusters/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCluster {
    /// Unique; becomes the kubeconfig's context.
    pub name: String,
    /// Name or address clients use for the API. When absent: the load balancer's, else the first server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Hosts of the cluster.
    pub members: Vec<Member>,
}

/// `POST /kubeconfigs`: one file with the admin kubeconfigs of these clusters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KubeconfigRequest {
    /// At least one.
    pub clusters: Vec<ClusterId>,
    /// A kubeconfig to merge them into. It is not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
}

/// Whether k3s is believed to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClusterPhase {
    /// Enrolled, nothing installed by the panel yet.
    Planned,
    /// A bootstrap run ended with the cluster verified.
    Running,
}

/// A cluster of the inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cluster {
    /// Identifier.
    pub id: ClusterId,
    /// Unique name.
    pub name: String,
    /// Name or address clients use for the API on :6443.
    pub endpoint: String,
    /// Hosts of the cluster, servers first.
    pub members: Vec<Member>,
    /// Whether k3s is believed to be there.
    pub phase: ClusterPhase,
    /// The run that holds its lock, if any.
    pub locked_by: Option<RunId>,
    /// Latest observation; none before the first one.
    pub live: Option<ClusterLive>,
}

/// What the panel saw of a running cluster. Not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClusterLive {
    /// When it was seen.
    pub observed_at: Timestamp,
    /// The API through the load balancer and through each server.
    pub endpoints: Vec<EndpointLive>,
    /// Nodes as the API lists them; none if no API answered.
    pub nodes: Option<Vec<NodeLive>>,
    /// etcd members; none if no server could be asked.
    pub etcd: Option<EtcdLive>,
    /// Application availability; none if no API answered.
    pub workloads: Option<WorkloadsLive>,
    /// Where each name comes from that any server or load balancer has in its certificate; empty if the nodes
    /// were not seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, NameOrigin>,
}

/// Why a name is in the API's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum NameOrigin {
    /// A `tls-san`.
    Flag {
        /// The servers that are told so.
        servers: Vec<String>,
    },
    /// Address of a server.
    NodeAddress {
        /// The server.
        node: String,
    },
    /// Name of a server.
    HostName {
        /// The server.
        node: String,
    },
    /// k3s adds it everywhere.
    Standard,
    /// Nothing asks for it today.
    History,
}

/// One way to the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndpointLive {
    /// Host name, or the load balancer's.
    pub name: String,
    /// `address:port`.
    pub address: String,
    /// What stands behind the address.
    pub role: MemberRole,
    /// Answer to `/readyz` with credentials.
    pub ready: bool,
    /// What was seen when it is not ready.
    pub detail: String,
    /// Time to answer.
    pub latency_ms: Option<u32>,
    /// The certificate served there.
    pub certificate: Option<ServedCertificate>,
}

/// A certificate as a TLS handshake showed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServedCertificate {
    /// Upper-case hex, as openssl prints it.
    pub serial: String,
    /// End of validity.
    pub not_after: Timestamp,
    /// DNS names and addresses, sorted.
    pub sans: Vec<String>,
}

/// A node as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NodeLive {
    /// Node name.
    pub name: String,
    /// Condition Ready is True. Stale for up to 40 s after a node dies.
    pub ready: bool,
    /// Short role names, e.g. `control-plane`, `etcd`.
    pub roles: Vec<String>,
    /// Version of its kubelet.
    pub version: String,
    /// InternalIP.
    pub address: String,
    /// Marked unschedulable.
    pub cordoned: bool,
}

/// The etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EtcdLive {
    /// Members as one of them lists them.
    pub members: Vec<EtcdMember>,
    /// Healthy voting members needed for writes.
    pub quorum: u32,
    /// How many more members may be lost before writes stop; 0 when already at the edge.
    pub tolerates: u32,
}

/// One etcd member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EtcdMember {
    /// `<node>-<8 hex>`.
    pub name: String,
    /// Its own `/health` said true.
    pub healthy: bool,
    /// Does not vote yet.
    pub learner: bool,
    /// Leads now.
    pub leader: bool,
}

/// Availability of what runs on the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkloadsLive {
    /// Replicas wanted by deployments.
    pub wanted: u32,
    /// Replicas ready.
    pub ready: u32,
}
