//! What steps and workflows use of the panel besides machines: the vault and the book of clusters.
//! Implemented by the store and the vault; in memory for tests.

use std::sync::Arc;

use async_trait::async_trait;
use coxswain_wire::{
    ClusterId, ClusterPhase, DrillFault, DrillReport, Host, HostId, Member, RunId, SecretId,
    Snapshot, Timestamp,
};
use serde_json::Value;

use crate::world::{Secret, World};

/// The vault or the database failed. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServiceError(pub String);

/// What a secret is: tells the vault which parts of it must be masked in every text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretKind {
    /// A cluster's server token; its parts by `coxswain_k3s::token::Token::secrets`.
    ServerToken,
    /// An admin kubeconfig; its parts by `coxswain_k3s::kubeconfig::Kubeconfig::secrets`.
    Kubeconfig,
    /// A file of a host as it was before a step, to be put back by its undo. Not masked as a whole.
    FileBefore,
    /// A Secret of a cluster as it was before a step, as JSON, to be put back by its undo.
    KubeSecret,
}

impl SecretKind {
    /// Stored name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SecretKind::ServerToken => "server_token",
            SecretKind::Kubeconfig => "kubeconfig",
            SecretKind::FileBefore => "file_before",
            SecretKind::KubeSecret => "kube_secret",
        }
    }
}

/// Keeps secrets encrypted.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Stores a value under a new number. From its return on the value is masked in every text.
    ///
    /// # Errors
    /// The vault or the storage failed; nothing was stored.
    async fn put(&self, kind: SecretKind, value: Secret) -> Result<SecretId, ServiceError>;

    /// A stored value.
    ///
    /// # Errors
    /// There is no such secret, or the vault or the storage failed.
    async fn get(&self, id: SecretId) -> Result<Secret, ServiceError>;
}

/// What the panel knows of its clusters. Every change is safe to repeat.
#[async_trait]
pub trait ClusterBook: Send + Sync {
    /// Whether k3s is believed to be there.
    ///
    /// # Errors
    /// There is no such cluster, or the storage failed; so below.
    async fn phase(&self, cluster: ClusterId) -> Result<ClusterPhase, ServiceError>;

    /// Sets [`ClusterBook::phase`].
    ///
    /// # Errors
    /// As above.
    async fn set_phase(&self, cluster: ClusterId, phase: ClusterPhase) -> Result<(), ServiceError>;

    /// The stored admin kubeconfig, pointed at the endpoint.
    ///
    /// # Errors
    /// As above.
    async fn kubeconfig(&self, cluster: ClusterId) -> Result<Option<SecretId>, ServiceError>;

    /// Sets or clears [`ClusterBook::kubeconfig`].
    ///
    /// # Errors
    /// As above.
    async fn set_kubeconfig(
        &self,
        cluster: ClusterId,
        secret: Option<SecretId>,
    ) -> Result<(), ServiceError>;

    /// The stored token that servers and agents join with.
    ///
    /// # Errors
    /// As above.
    async fn token(&self, cluster: ClusterId) -> Result<Option<SecretId>, ServiceError>;

    /// Sets or clears [`ClusterBook::token`].
    ///
    /// # Errors
    /// As above.
    async fn set_token(
        &self,
        cluster: ClusterId,
        secret: Option<SecretId>,
    ) -> Result<(), ServiceError>;

    /// The members, servers first.
    ///
    /// # Errors
    /// As above.
    async fn members(&self, cluster: ClusterId) -> Result<Vec<Member>, ServiceError>;

    /// Adds a host. No effect if it is a member in this role already.
    ///
    /// # Errors
    /// As above, or the host belongs to another cluster.
    async fn add_member(&self, cluster: ClusterId, member: Member) -> Result<(), ServiceError>;

    /// Takes a host out. No effect if it is none.
    ///
    /// # Errors
    /// As above.
    async fn remove_member(&self, cluster: ClusterId, host: HostId) -> Result<(), ServiceError>;

    /// A host as it is reached now, none if there is no such host.
    ///
    /// # Errors
    /// The storage failed.
    async fn host(&self, host: HostId) -> Result<Option<Host>, ServiceError>;

    /// The cluster whose old data may lie on a host that is none of it any more.
    ///
    /// # Errors
    /// There is no such host, or the storage failed.
    async fn unclean(&self, host: HostId) -> Result<Option<ClusterId>, ServiceError>;

    /// Sets or clears [`ClusterBook::unclean`]. Adding a host as a member clears it, too.
    ///
    /// # Errors
    /// As above.
    async fn set_unclean(&self, host: HostId, from: Option<ClusterId>) -> Result<(), ServiceError>;
}

/// A snapshot that a step has just seen on a server's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenSnapshot {
    /// The server it lies on.
    pub host: HostId,
    /// Absolute path there.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// When k3s made it, by the server's clock.
    pub taken_at: Timestamp,
    /// Version of k3s, if it could be told.
    pub version: Option<String>,
    /// The server token of that time.
    pub token: SecretId,
    /// The run that took it.
    pub run: RunId,
}

/// The snapshots that the panel has taken. Every change is safe to repeat.
#[async_trait]
pub trait SnapshotBook: Send + Sync {
    /// The cluster that a host belongs to.
    ///
    /// # Errors
    /// The storage failed; so below.
    async fn cluster_of(&self, host: HostId) -> Result<Option<ClusterId>, ServiceError>;

    /// The snapshots of a cluster, newest first.
    ///
    /// # Errors
    /// As above.
    async fn snapshots(&self, cluster: ClusterId) -> Result<Vec<Snapshot>, ServiceError>;

    /// Notes a snapshot. Host and path tell it from others: what was noted there before is replaced.
    ///
    /// # Errors
    /// As above, or there is no such cluster.
    async fn note_snapshot(
        &self,
        cluster: ClusterId,
        taken: TakenSnapshot,
    ) -> Result<(), ServiceError>;

    /// Forgets a snapshot whose file is gone. No effect if it is not known.
    ///
    /// # Errors
    /// As above.
    async fn forget_snapshot(&self, host: HostId, path: &str) -> Result<(), ServiceError>;
}

/// What failover drills have seen. Every change is safe to repeat.
#[async_trait]
pub trait DrillBook: Send + Sync {
    /// What the drill of a run has seen so far.
    ///
    /// # Errors
    /// The storage failed; so below.
    async fn record(&self, run: RunId) -> Result<Option<Value>, ServiceError>;

    /// Replaces it. A report made of it before is void.
    ///
    /// # Errors
    /// As above, or there is no such cluster.
    async fn keep_record(
        &self,
        run: RunId,
        cluster: ClusterId,
        fault: DrillFault,
        record: &Value,
    ) -> Result<(), ServiceError>;

    /// The report of a run's drill.
    ///
    /// # Errors
    /// As above.
    async fn report(&self, run: RunId) -> Result<Option<DrillReport>, ServiceError>;

    /// Keeps the report of a drill that has a record.
    ///
    /// # Errors
    /// As above.
    async fn keep_report(&self, report: &DrillReport) -> Result<(), ServiceError>;

    /// The latest reports of a cluster's earlier drills with the same fault, newest first.
    ///
    /// # Errors
    /// As above.
    async fn earlier(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
    ) -> Result<Vec<DrillReport>, ServiceError>;
}

/// Everything a step may use. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Machines and clusters.
    pub world: Arc<dyn World>,
    /// The vault.
    pub secrets: Arc<dyn Secrets>,
    /// The book of clusters.
    pub book: Arc<dyn ClusterBook>,
    /// The book of snapshots.
    pub snapshots: Arc<dyn SnapshotBook>,
    /// The book of failover drills.
    pub drills: Arc<dyn DrillBook>,
    /// The panel's clock.
    pub now: fn() -> Timestamp,
}
