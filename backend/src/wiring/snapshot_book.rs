//! What steps note of snapshots.

use async_trait::async_trait;
use coxswain_wire::{ClusterId, HostId, Snapshot};

use super::{Panel, service_error};
use crate::steps::services::{ServiceError, SnapshotBook, TakenSnapshot};
use crate::store::NewSnapshot;
use crate::time::now;

#[async_trait]
impl SnapshotBook for Panel {
    async fn cluster_of(&self, host: HostId) -> Result<Option<ClusterId>, ServiceError> {
        self.db
            .cluster_of_host(host)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn snapshots(&self, cluster: ClusterId) -> Result<Vec<Snapshot>, ServiceError> {
        let mut all = self.db.snapshots().await.map_err(|e| service_error(&e))?;
        all.retain(|snapshot| snapshot.cluster == cluster);
        Ok(all)
    }

    async fn note_snapshot(
        &self,
        cluster: ClusterId,
        taken: TakenSnapshot,
    ) -> Result<(), ServiceError> {
        let TakenSnapshot {
            host,
            path,
            size,
            sha256,
            taken_at,
            version,
            token,
            run,
        } = taken;
        let snapshot = NewSnapshot {
            host,
            path,
            size,
            sha256,
            taken_at,
            version,
            token,
            run,
        };
        self.db
            .note_snapshot(now(), cluster, &snapshot)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn forget_snapshot(&self, host: HostId, path: &str) -> Result<(), ServiceError> {
        self.db
            .forget_snapshot(now(), host, path)
            .await
            .map_err(|e| service_error(&e))
    }
}
