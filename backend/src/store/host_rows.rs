//! Rows of `host` and `host_key` and what they mean; what a host must not share with another.

use std::collections::BTreeMap;

use coxswain_wire::{
    ClusterId, CredentialId, Enrolment, Host, HostId, HostKey, PowerControl, Timestamp, Unclean,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{ChangeError, DbError, HostInput, Tx};

pub(super) const SELECT: &str =
    "SELECT h.id, h.name, h.ssh_address, h.ssh_port, h.ssh_user, h.node_address, h.credential,
        h.confirmed_at, h.last_test, h.unclean_since, h.unclean_from, m.cluster
     FROM host h LEFT JOIN cluster_member m ON m.host = h.id ORDER BY h.name";

pub(super) async fn keys(
    tx: &mut SqliteConnection,
) -> Result<BTreeMap<i64, Vec<HostKey>>, DbError> {
    let mut found: BTreeMap<i64, Vec<HostKey>> = BTreeMap::new();
    let rows = sqlx::query(
        "SELECT host, algorithm, fingerprint FROM host_key ORDER BY host, algorithm, fingerprint",
    )
    .fetch_all(tx)
    .await?;
    for row in rows {
        let key = HostKey {
            algorithm: row.try_get("algorithm")?,
            fingerprint: row.try_get("fingerprint")?,
        };
        found.entry(row.try_get("host")?).or_default().push(key);
    }
    Ok(found)
}

pub(super) fn host(
    row: &SqliteRow,
    keys: &mut BTreeMap<i64, Vec<HostKey>>,
    power: &mut BTreeMap<i64, PowerControl>,
) -> Result<Host, DbError> {
    let id: i64 = row.try_get("id")?;
    let port: i64 = row.try_get("ssh_port")?;
    let test: Option<String> = row.try_get("last_test")?;
    let enrolment = match row.try_get::<Option<i64>, _>("confirmed_at")? {
        None => Enrolment::Unconfirmed,
        Some(at) => Enrolment::Pinned {
            keys: keys.remove(&id).unwrap_or_default(),
            confirmed_at: Timestamp(at),
        },
    };
    Ok(Host {
        id: HostId(id),
        name: row.try_get("name")?,
        ssh_address: row.try_get("ssh_address")?,
        ssh_port: u16::try_from(port).map_err(|e| DbError::corrupt("host.ssh_port", e))?,
        ssh_user: row.try_get("ssh_user")?,
        node_address: row.try_get("node_address")?,
        credential: CredentialId(row.try_get("credential")?),
        enrolment,
        cluster: row.try_get::<Option<i64>, _>("cluster")?.map(ClusterId),
        last_test: test
            .map(|json| serde_json::from_str(&json))
            .transpose()
            .map_err(|e| DbError::corrupt("host.last_test", e))?,
        unclean: match (
            row.try_get::<Option<i64>, _>("unclean_since")?,
            row.try_get::<Option<i64>, _>("unclean_from")?,
        ) {
            (Some(since), Some(from)) => Some(Unclean {
                since: Timestamp(since),
                from: ClusterId(from),
            }),
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        },
        power: power.remove(&id),
    })
}

/// Says which field another host has already, or that the credential is not there.
pub(super) async fn check(
    tx: &mut Tx,
    input: &HostInput,
    own: Option<HostId>,
) -> Result<(), ChangeError> {
    let own = own.map_or(0, |id| id.0);
    let by_name: Option<String> =
        sqlx::query_scalar("SELECT name FROM host WHERE name = ? AND id <> ?")
            .bind(input.name.as_str())
            .bind(own)
            .fetch_optional(&mut **tx)
            .await?;
    if let Some(name) = by_name {
        return Err(ChangeError::field(
            "name",
            format!("There is a host {name} already; node names must be unique."),
        ));
    }
    let by_ssh: Option<String> = sqlx::query_scalar(
        "SELECT name FROM host WHERE ssh_address = ? AND ssh_port = ? AND id <> ?",
    )
    .bind(input.ssh_address.as_str())
    .bind(i64::from(input.ssh_port.get()))
    .bind(own)
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(name) = by_ssh {
        let at = input.ssh_address.with_port(input.ssh_port.get());
        return Err(ChangeError::field(
            "ssh_address",
            format!("Host {name} is reached at {at} already."),
        ));
    }
    let by_node: Option<String> =
        sqlx::query_scalar("SELECT name FROM host WHERE node_address = ? AND id <> ?")
            .bind(input.node_address.to_string())
            .bind(own)
            .fetch_optional(&mut **tx)
            .await?;
    if let Some(name) = by_node {
        let text = format!(
            "Host {name} has the node address {} already.",
            input.node_address
        );
        return Err(ChangeError::field("node_address", text));
    }
    let credential: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM credential WHERE id = ?)")
            .bind(input.credential.0)
            .fetch_one(&mut **tx)
            .await?;
    if !credential {
        return Err(ChangeError::field(
            "credential",
            format!("There is no credential {}.", input.credential),
        ));
    }
    Ok(())
}
