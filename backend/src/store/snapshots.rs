//! Table `snapshot`: etcd snapshots that the panel has taken.

use coxswain_wire::{ClusterId, HostId, RunId, SecretId, Snapshot, SnapshotId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::append;
use super::clusters::cluster_name;
use super::{ChangeError, Db, DbError};
use crate::audit::{Draft, Who};

/// A snapshot as it was seen on a server's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSnapshot {
    /// The server it lies on.
    pub host: HostId,
    /// Absolute path there.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
    /// When k3s made it.
    pub taken_at: Timestamp,
    /// Version of k3s, if it could be told.
    pub version: Option<String>,
    /// The server token of that time.
    pub token: SecretId,
    /// The run that took it.
    pub run: RunId,
}

const SELECT: &str =
    "SELECT s.id, s.cluster, s.host, h.name AS server, s.path, s.size, s.sha256, s.taken_at,
            s.version, s.token, s.run
     FROM snapshot s JOIN host h ON h.id = s.host ORDER BY s.taken_at DESC, s.id DESC";

impl Db {
    /// The cluster that a host belongs to.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn cluster_of_host(&self, host: HostId) -> Result<Option<ClusterId>, DbError> {
        let cluster: Option<i64> =
            sqlx::query_scalar("SELECT cluster FROM cluster_member WHERE host = ?")
                .bind(host.0)
                .fetch_optional(&self.readers)
                .await?;
        Ok(cluster.map(ClusterId))
    }

    /// All snapshots, newest first.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, DbError> {
        let rows = sqlx::query(SELECT).fetch_all(&self.readers).await?;
        rows.iter().map(snapshot).collect()
    }

    /// One snapshot.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>, DbError> {
        Ok(self.snapshots().await?.into_iter().find(|s| s.id == id))
    }

    /// Notes a snapshot; replaces what was noted of the same file. Safe to repeat.
    ///
    /// # Errors
    /// There is no such cluster, host or token.
    pub async fn note_snapshot(
        &self,
        at: Timestamp,
        cluster: ClusterId,
        new: &NewSnapshot,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, cluster).await?;
        let file = new.path.rsplit('/').next().unwrap_or(&new.path);
        let size =
            i64::try_from(new.size).map_err(|e| DbError::corrupt("size of a snapshot", e))?;
        sqlx::query(
            "INSERT INTO snapshot (cluster, host, name, path, size, sha256, taken_at, version, token, run)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (host, path) DO UPDATE SET
                 cluster = excluded.cluster, size = excluded.size, sha256 = excluded.sha256,
                 taken_at = excluded.taken_at, version = excluded.version, token = excluded.token,
                 run = excluded.run",
        )
        .bind(cluster.0)
        .bind(new.host.0)
        .bind(file)
        .bind(&new.path)
        .bind(size)
        .bind(&new.sha256)
        .bind(new.taken_at.0)
        .bind(&new.version)
        .bind(new.token.0)
        .bind(new.run.0)
        .execute(&mut *tx)
        .await?;
        let detail = format!(
            "{file} on host {}, {size} bytes, SHA-256 {}, token is secret {}",
            new.host, new.sha256, new.token
        );
        let mut draft = Draft::new(
            &Who::engine(),
            "snapshot.taken",
            format!("cluster {name}"),
            detail,
        );
        draft.run = Some(new.run);
        append(&mut tx, at, draft).await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Forgets a snapshot whose file is gone. No effect if it is not known.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn forget_snapshot(
        &self,
        at: Timestamp,
        host: HostId,
        path: &str,
    ) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        let gone = sqlx::query(
            "DELETE FROM snapshot WHERE host = ? AND path = ?
             RETURNING (SELECT c.name FROM cluster c WHERE c.id = snapshot.cluster) AS cluster",
        )
        .bind(host.0)
        .bind(path)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(row) = gone {
            let cluster: String = row.try_get("cluster")?;
            let draft = Draft::new(
                &Who::engine(),
                "snapshot.deleted",
                format!("cluster {cluster}"),
                format!("{path} on host {host}"),
            );
            append(&mut tx, at, draft).await?;
        }
        self.commit_inventory(tx).await
    }
}

fn snapshot(row: &SqliteRow) -> Result<Snapshot, DbError> {
    let size: i64 = row.try_get("size")?;
    Ok(Snapshot {
        id: SnapshotId(row.try_get("id")?),
        cluster: ClusterId(row.try_get("cluster")?),
        host: HostId(row.try_get("host")?),
        server: row.try_get("server")?,
        path: row.try_get("path")?,
        size: u64::try_from(size).map_err(|e| DbError::corrupt("snapshot.size", e))?,
        sha256: row.try_get("sha256")?,
        taken_at: Timestamp(row.try_get("taken_at")?),
        version: row.try_get("version")?,
        token: SecretId(row.try_get("token")?),
        run: RunId(row.try_get("run")?),
    })
}
