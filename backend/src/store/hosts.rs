//! Tables `host` and `host_key`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use coxswain_k3s::names::{Address, NodeName, UserName};
use coxswain_wire::{
    ConnectionTest, CredentialId, Host, HostId, HostKey, PowerControl, SecretId, Timestamp,
};
use sqlx::Row;

use super::audit::append;
use super::host_rows::{SELECT, check, host, keys};
use super::host_use::{Change, Use, allows};
use super::{ChangeError, Db, DbError, Tx, power};
use crate::audit::{Draft, Who};

/// A host as people enter it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInput {
    /// Host name and node name.
    pub name: NodeName,
    /// Where sshd is reached.
    pub ssh_address: Address,
    /// TCP port of sshd.
    pub ssh_port: NonZeroU16,
    /// Login user.
    pub ssh_user: UserName,
    /// What k3s uses between nodes.
    pub node_address: IpAddr,
    /// Key pair to sign in with.
    pub credential: CredentialId,
    /// How its power is switched.
    pub power: Option<PowerControl>,
}

/// What a connection to a host needs; the private key is still in the vault.
#[derive(Clone, Debug)]
pub struct HostAccess {
    /// The host.
    pub host: Host,
    /// Pinned keys, each `<algorithm> <base64>`.
    pub pinned: Vec<String>,
    /// Its credential's private key.
    pub private_key: SecretId,
    /// Rises with every change of how the host is reached.
    pub generation: u64,
}

impl Db {
    /// All hosts by name.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn hosts(&self) -> Result<Vec<Host>, DbError> {
        let mut tx = self.readers.begin().await?;
        let mut keys = keys(&mut tx).await?;
        let mut power = power::all(&mut tx).await?;
        let rows = sqlx::query(SELECT).fetch_all(&mut *tx).await?;
        rows.iter()
            .map(|row| host(row, &mut keys, &mut power))
            .collect()
    }

    /// One host.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn host(&self, id: HostId) -> Result<Option<Host>, DbError> {
        Ok(self.hosts().await?.into_iter().find(|h| h.id == id))
    }

    /// What a connection to a host needs.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn host_access(&self, id: HostId) -> Result<Option<HostAccess>, DbError> {
        let Some(host) = self.host(id).await? else {
            return Ok(None);
        };
        let row = sqlx::query(
            "SELECT h.generation, c.private_key FROM host h JOIN credential c ON c.id = h.credential WHERE h.id = ?",
        )
        .bind(id.0)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let pinned = sqlx::query_scalar(
            "SELECT public_key FROM host_key WHERE host = ? ORDER BY fingerprint",
        )
        .bind(id.0)
        .fetch_all(&self.readers)
        .await?;
        let generation: i64 = row.try_get("generation")?;
        Ok(Some(HostAccess {
            host,
            pinned,
            private_key: SecretId(row.try_get("private_key")?),
            generation: generation.unsigned_abs(),
        }))
    }

    /// Stores a new host.
    ///
    /// # Errors
    /// A field is taken by another host, or the credential is not there.
    pub async fn create_host(
        &self,
        who: &Who,
        at: Timestamp,
        input: &HostInput,
    ) -> Result<HostId, ChangeError> {
        let mut tx = self.write().await?;
        check(&mut tx, input, None).await?;
        let id = sqlx::query(
            "INSERT INTO host (name, ssh_address, ssh_port, ssh_user, node_address, credential, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(input.name.as_str())
        .bind(input.ssh_address.as_str())
        .bind(i64::from(input.ssh_port.get()))
        .bind(input.ssh_user.as_str())
        .bind(input.node_address.to_string())
        .bind(input.credential.0)
        .bind(at.0)
        .execute(&mut *tx)
        .await?
        .last_insert_rowid();
        power::set(&mut tx, HostId(id), input.power.as_ref()).await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "host.created", subject(&input.name), words(input)),
        )
        .await?;
        self.commit_inventory(tx).await?;
        Ok(HostId(id))
    }

    /// Replaces a host's fields. Another address or port takes its pinned keys away, unless a run was approved for the
    /// machine that has them.
    ///
    /// # Errors
    /// There is no such host, a run does not allow it, or as for a new one.
    pub async fn update_host(
        &self,
        who: &Who,
        at: Timestamp,
        id: HostId,
        input: &HostInput,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let old = sqlx::query(
            "SELECT name, ssh_address, ssh_port, node_address, confirmed_at IS NOT NULL AS pinned FROM host WHERE id = ?",
        )
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| ChangeError::NotFound(format!("host {id}")))?;
        let (name, address, port): (String, String, i64) = (
            old.try_get("name")?,
            old.try_get("ssh_address")?,
            old.try_get("ssh_port")?,
        );
        let (node_address, pinned): (String, bool) =
            (old.try_get("node_address")?, old.try_get("pinned")?);
        let moved =
            address != input.ssh_address.as_str() || port != i64::from(input.ssh_port.get());
        let renamed = name != input.name.as_str() || node_address != input.node_address.to_string();
        // Without pinned keys nothing tells one machine from another.
        let change = if renamed || moved && !pinned {
            Change::Machine
        } else {
            Change::Way
        };
        let uses = allows(&mut tx, id, &name, change).await?;
        check(&mut tx, input, Some(id)).await?;
        let unpinned = match uses {
            Use::Free => moved,
            Use::Bound => false,
        };
        if unpinned {
            sqlx::query("DELETE FROM host_key WHERE host = ?")
                .bind(id.0)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "UPDATE host SET name = ?, ssh_address = ?, ssh_port = ?, ssh_user = ?, node_address = ?, credential = ?,
                generation = generation + 1, last_test = NULL,
                confirmed_at = CASE WHEN ? THEN NULL ELSE confirmed_at END
             WHERE id = ?",
        )
        .bind(input.name.as_str())
        .bind(input.ssh_address.as_str())
        .bind(i64::from(input.ssh_port.get()))
        .bind(input.ssh_user.as_str())
        .bind(input.node_address.to_string())
        .bind(input.credential.0)
        .bind(unpinned)
        .bind(id.0)
        .execute(&mut *tx)
        .await?;
        power::set(&mut tx, id, input.power.as_ref()).await?;
        let detail = format!(
            "was {name}; {}{}",
            words(input),
            if unpinned { "; keys unpinned" } else { "" }
        );
        append(
            &mut tx,
            at,
            Draft::new(who, "host.changed", subject(&input.name), detail),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Removes a host.
    ///
    /// # Errors
    /// There is no such host, a run was approved for it, or it is in a cluster.
    pub async fn delete_host(
        &self,
        who: &Who,
        at: Timestamp,
        id: HostId,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = name_of(&mut tx, id).await?;
        allows(&mut tx, id, &name, Change::Machine).await?;
        let cluster: Option<String> = sqlx::query_scalar(
            "SELECT c.name FROM cluster_member m JOIN cluster c ON c.id = m.cluster WHERE m.host = ?",
        )
        .bind(id.0)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(cluster) = cluster {
            return Err(ChangeError::Conflict(format!(
                "{name} is a member of cluster {cluster}; take it out of the cluster first."
            )));
        }
        power::not_needed(&mut tx, id, &name).await?;
        sqlx::query("DELETE FROM host WHERE id = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "host.deleted", format!("host {name}"), ""),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Pins these keys and no others. Each comes with its `<algorithm> <base64>`.
    ///
    /// # Errors
    /// There is no such host, a run does not allow it, or it was changed since `generation`.
    pub async fn pin_host_keys(
        &self,
        who: &Who,
        at: Timestamp,
        id: HostId,
        generation: u64,
        keys: &[(HostKey, String)],
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = name_of(&mut tx, id).await?;
        let old: BTreeSet<String> =
            sqlx::query_scalar("SELECT fingerprint FROM host_key WHERE host = ?")
                .bind(id.0)
                .fetch_all(&mut *tx)
                .await?
                .into_iter()
                .collect();
        let same = keys
            .iter()
            .map(|(k, _)| k.fingerprint.clone())
            .collect::<BTreeSet<_>>()
            == old;
        let change = if same { Change::Way } else { Change::Machine };
        allows(&mut tx, id, &name, change).await?;
        let changed = sqlx::query(
            "UPDATE host SET confirmed_at = ?, generation = generation + 1, last_test = NULL
             WHERE id = ? AND generation = ?",
        )
        .bind(at.0)
        .bind(id.0)
        .bind(i64::try_from(generation).unwrap_or(i64::MAX))
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(ChangeError::Conflict(format!(
                "{name} was changed since its keys were scanned; scan again."
            )));
        }
        sqlx::query("DELETE FROM host_key WHERE host = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        for (key, public) in keys {
            sqlx::query("INSERT INTO host_key (host, algorithm, fingerprint, public_key) VALUES (?, ?, ?, ?)")
                .bind(id.0)
                .bind(&key.algorithm)
                .bind(&key.fingerprint)
                .bind(public)
                .execute(&mut *tx)
                .await?;
        }
        let prints: Vec<&str> = keys.iter().map(|(k, _)| k.fingerprint.as_str()).collect();
        append(
            &mut tx,
            at,
            Draft::new(
                who,
                "host.keys_confirmed",
                format!("host {name}"),
                prints.join(" "),
            ),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Keeps the result of a connection test.
    ///
    /// # Errors
    /// There is no such host.
    pub async fn set_connection_test(
        &self,
        who: &Who,
        id: HostId,
        test: &ConnectionTest,
    ) -> Result<(), ChangeError> {
        let json =
            serde_json::to_string(test).map_err(|e| DbError::corrupt("host.last_test", e))?;
        let mut tx = self.write().await?;
        let name = name_of(&mut tx, id).await?;
        sqlx::query("UPDATE host SET last_test = ? WHERE id = ?")
            .bind(json)
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        let outcome = if test.passed() { "passed" } else { "failed" };
        append(
            &mut tx,
            test.at,
            Draft::new(who, "host.tested", format!("host {name}"), outcome),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }
}

fn subject(name: &NodeName) -> String {
    format!("host {name}")
}

fn words(input: &HostInput) -> String {
    let at = input.ssh_address.with_port(input.ssh_port.get());
    let power = match &input.power {
        None => String::new(),
        Some(PowerControl {
            via,
            on,
            off,
            status,
        }) => format!(", power by host {via}: on {on:?}, off {off:?}, status {status:?}"),
    };
    format!(
        "{}@{at}, node address {}, credential {}{power}",
        input.ssh_user, input.node_address, input.credential
    )
}

async fn name_of(tx: &mut Tx, id: HostId) -> Result<String, ChangeError> {
    sqlx::query_scalar("SELECT name FROM host WHERE id = ?")
        .bind(id.0)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| ChangeError::NotFound(format!("host {id}")))
}
