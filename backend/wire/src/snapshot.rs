//! etcd snapshots that the panel has taken.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, HostId, RunId, SecretId, SnapshotId, Timestamp};

/// `GET /clusters/{id}/snapshots`: one entry. The file itself: `GET /snapshots/{id}/file`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snapshot {
    /// Identifier.
    pub id: SnapshotId,
    /// The cluster whose data it holds.
    pub cluster: ClusterId,
    /// The server whose disk it lies on.
    pub host: HostId,
    /// Name of that server.
    pub server: String,
    /// Absolute path there. Its last part, the file's name, tells snapshots apart.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file as observed on the server, hex.
    pub sha256: String,
    /// When k3s made it, by the server's clock.
    pub taken_at: Timestamp,
    /// Version of k3s that made it, if it could be told.
    pub version: Option<String>,
    /// The server token of that time, in the vault: without it the snapshot is useless.
    pub token: SecretId,
    /// The run that took it.
    pub run: RunId,
}

impl Snapshot {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
