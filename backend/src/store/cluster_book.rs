//! What steps note about a cluster: phase, secrets, members. Every change is safe to repeat.

use std::collections::BTreeMap;

use coxswain_wire::{ClusterId, ClusterPhase, HostId, Member, SecretId, Timestamp};
use sqlx::Row;

use super::audit::append;
use super::clusters::{cluster_name, role_word};
use super::{ChangeError, Db, DbError};
use crate::audit::{Draft, Who};

/// Secrets that belong to a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterSecrets {
    /// Admin kubeconfig, pointed at the endpoint.
    pub kubeconfig: Option<SecretId>,
    /// Token that servers join with.
    pub server_token: Option<SecretId>,
}

/// Names one of [`ClusterSecrets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see ClusterSecrets")]
pub enum ClusterSecret {
    Kubeconfig,
    ServerToken,
}

impl Db {
    /// Notes what the panel did with a cluster. Safe to repeat.
    ///
    /// # Errors
    /// There is no such cluster.
    pub async fn set_cluster_phase(
        &self,
        at: Timestamp,
        id: ClusterId,
        phase: ClusterPhase,
    ) -> Result<(), ChangeError> {
        let word = match phase {
            ClusterPhase::Planned => "planned",
            ClusterPhase::Running => "running",
        };
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, id).await?;
        let changed = sqlx::query("UPDATE cluster SET phase = ? WHERE id = ? AND phase <> ?")
            .bind(word)
            .bind(id.0)
            .bind(word)
            .execute(&mut *tx)
            .await?;
        if phase == ClusterPhase::Running {
            // k3s was seen to run there with what it is now: whatever was on them is gone.
            sqlx::query(
                "UPDATE host SET unclean_since = NULL, unclean_from = NULL
                 WHERE id IN (SELECT host FROM cluster_member WHERE cluster = ? AND role <> 'load_balancer')",
            )
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        }
        if changed.rows_affected() == 1 {
            append(
                &mut tx,
                at,
                Draft::new(
                    &Who::engine(),
                    "cluster.phase",
                    format!("cluster {name}"),
                    word,
                ),
            )
            .await?;
        }
        Ok(self.commit_inventory(tx).await?)
    }

    /// Secrets of a cluster; none of a cluster that is not there.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn cluster_secrets(&self, id: ClusterId) -> Result<ClusterSecrets, DbError> {
        let row = sqlx::query("SELECT kubeconfig, server_token FROM cluster WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await?;
        Ok(match row {
            None => ClusterSecrets::default(),
            Some(row) => ClusterSecrets {
                kubeconfig: row.try_get::<Option<i64>, _>("kubeconfig")?.map(SecretId),
                server_token: row.try_get::<Option<i64>, _>("server_token")?.map(SecretId),
            },
        })
    }

    /// The token that each cluster's servers join with, where the vault has it.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn server_tokens(&self) -> Result<BTreeMap<ClusterId, SecretId>, DbError> {
        let rows = sqlx::query(
            "SELECT id, server_token FROM cluster WHERE server_token IS NOT NULL ORDER BY id",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let token = row.try_get("server_token")?;
                Ok((ClusterId(row.try_get("id")?), SecretId(token)))
            })
            .collect()
    }

    /// Ties a secret to a cluster, or unties it. Safe to repeat.
    ///
    /// # Errors
    /// There is no such cluster.
    pub async fn set_cluster_secret(
        &self,
        at: Timestamp,
        id: ClusterId,
        which: ClusterSecret,
        secret: Option<SecretId>,
    ) -> Result<(), ChangeError> {
        let (sql, word) = match which {
            ClusterSecret::Kubeconfig => (
                "UPDATE cluster SET kubeconfig = ? WHERE id = ?",
                "kubeconfig",
            ),
            ClusterSecret::ServerToken => (
                "UPDATE cluster SET server_token = ? WHERE id = ?",
                "server token",
            ),
        };
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, id).await?;
        sqlx::query(sql)
            .bind(secret.map(|s| s.0))
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        let detail = match secret {
            Some(secret) => format!("{word} is secret {secret}"),
            None => format!("no {word}"),
        };
        append(
            &mut tx,
            at,
            Draft::new(
                &Who::engine(),
                "cluster.secret",
                format!("cluster {name}"),
                detail,
            ),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Adds a host, behind the members there are. No effect if it is one in this role.
    ///
    /// # Errors
    /// There is no such cluster or host, or the host belongs to another cluster.
    pub async fn add_cluster_member(
        &self,
        at: Timestamp,
        id: ClusterId,
        member: Member,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, id).await?;
        let row = sqlx::query(
            "SELECT h.name, m.cluster FROM host h LEFT JOIN cluster_member m ON m.host = h.id WHERE h.id = ?",
        )
        .bind(member.host.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| ChangeError::NotFound(format!("host {}", member.host)))?;
        let host: String = row.try_get("name")?;
        if row
            .try_get::<Option<i64>, _>("cluster")?
            .is_some_and(|other| other != id.0)
        {
            return Err(ChangeError::Conflict(format!(
                "{host} is a member of another cluster."
            )));
        }
        let word = role_word(member.role);
        let changed = sqlx::query(
            "INSERT INTO cluster_member (host, cluster, role, position)
             SELECT ?, ?, ?, coalesce(max(position) + 1, 0) FROM cluster_member WHERE cluster = ?
             ON CONFLICT (host) DO UPDATE SET role = excluded.role WHERE role <> excluded.role",
        )
        .bind(member.host.0)
        .bind(id.0)
        .bind(word)
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE host SET unclean_since = NULL, unclean_from = NULL WHERE id = ?")
            .bind(member.host.0)
            .execute(&mut *tx)
            .await?;
        if changed.rows_affected() == 1 {
            let draft = Draft::new(
                &Who::engine(),
                "cluster.member_added",
                format!("cluster {name}"),
                format!("{word} {host}"),
            );
            append(&mut tx, at, draft).await?;
        }
        Ok(self.commit_inventory(tx).await?)
    }

    /// Marks a host: it must be cleaned before it is used again, or needs it no more. Safe to repeat: the first
    /// mark stays.
    ///
    /// # Errors
    /// There is no such host.
    pub async fn set_host_unclean(
        &self,
        at: Timestamp,
        host: HostId,
        from: Option<ClusterId>,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let row = sqlx::query("SELECT name, unclean_from FROM host WHERE id = ?")
            .bind(host.0)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| ChangeError::NotFound(format!("host {host}")))?;
        let name: String = row.try_get("name")?;
        if row.try_get::<Option<i64>, _>("unclean_from")? == from.map(|from| from.0) {
            return Ok(());
        }
        sqlx::query("UPDATE host SET unclean_since = ?, unclean_from = ? WHERE id = ?")
            .bind(from.map(|_| at.0))
            .bind(from.map(|from| from.0))
            .bind(host.0)
            .execute(&mut *tx)
            .await?;
        let (action, detail) = match from {
            Some(from) => ("host.unclean", format!("lost from cluster {from}")),
            None => ("host.clean", String::new()),
        };
        let draft = Draft::new(&Who::engine(), action, format!("host {name}"), detail);
        append(&mut tx, at, draft).await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Takes a host out. No effect if it is no member.
    ///
    /// # Errors
    /// There is no such cluster.
    pub async fn remove_cluster_member(
        &self,
        at: Timestamp,
        id: ClusterId,
        host: HostId,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, id).await?;
        let changed = sqlx::query("DELETE FROM cluster_member WHERE cluster = ? AND host = ?")
            .bind(id.0)
            .bind(host.0)
            .execute(&mut *tx)
            .await?;
        if changed.rows_affected() == 1 {
            let draft = Draft::new(
                &Who::engine(),
                "cluster.member_removed",
                format!("cluster {name}"),
                format!("host {host}"),
            );
            append(&mut tx, at, draft).await?;
        }
        Ok(self.commit_inventory(tx).await?)
    }
}
