//! Tables `cluster` and `cluster_member`.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_k3s::names::{Address, ClusterName};
use coxswain_wire::{
    Cluster, ClusterId, ClusterPhase, HostId, Member, MemberRole, RunId, Timestamp,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::append;
use super::{ChangeError, Db, DbError, Tx};
use crate::audit::{Draft, Who};

/// A cluster as people enter it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInput {
    /// Unique name.
    pub name: ClusterName,
    /// Where clients reach the API, if it is not the load balancer or the first server.
    pub endpoint: Option<Address>,
    /// Hosts, as entered; no host twice.
    pub members: Vec<Member>,
}

const SELECT: &str = "SELECT c.id, c.name, c.endpoint, c.phase, l.run AS locked_by
     FROM cluster c LEFT JOIN lock l ON l.resource = 'cluster:' || c.id ORDER BY c.name";

const MEMBERS: &str = "SELECT m.cluster, m.host, m.role, h.node_address
     FROM cluster_member m JOIN host h ON h.id = m.host
     ORDER BY m.cluster, CASE m.role WHEN 'server' THEN 0 WHEN 'agent' THEN 1 ELSE 2 END, m.position";

pub(super) fn role_word(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Server => "server",
        MemberRole::Agent => "agent",
        MemberRole::LoadBalancer => "load_balancer",
    }
}

fn role(word: &str) -> Result<MemberRole, DbError> {
    [
        MemberRole::Server,
        MemberRole::Agent,
        MemberRole::LoadBalancer,
    ]
    .into_iter()
    .find(|r| role_word(*r) == word)
    .ok_or_else(|| DbError::corrupt("cluster_member.role", word))
}

impl Db {
    /// All clusters by name, as the inventory knows them; nothing live.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, DbError> {
        let mut tx = self.readers.begin().await?;
        let mut members: BTreeMap<i64, Vec<(Member, String)>> = BTreeMap::new();
        for row in sqlx::query(MEMBERS).fetch_all(&mut *tx).await? {
            let member = Member {
                host: HostId(row.try_get("host")?),
                role: role(row.try_get("role")?)?,
            };
            members
                .entry(row.try_get("cluster")?)
                .or_default()
                .push((member, row.try_get("node_address")?));
        }
        let rows = sqlx::query(SELECT).fetch_all(&mut *tx).await?;
        rows.iter().map(|row| cluster(row, &mut members)).collect()
    }

    /// One cluster.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn cluster(&self, id: ClusterId) -> Result<Option<Cluster>, DbError> {
        Ok(self.clusters().await?.into_iter().find(|c| c.id == id))
    }

    /// Stores a new cluster.
    ///
    /// # Errors
    /// The name is taken, or a member cannot be one.
    pub async fn create_cluster(
        &self,
        who: &Who,
        at: Timestamp,
        input: &ClusterInput,
    ) -> Result<ClusterId, ChangeError> {
        let mut tx = self.write().await?;
        let id = sqlx::query(
            "INSERT INTO cluster (name, endpoint, phase, created_at) SELECT ?, ?, 'planned', ?
             WHERE NOT EXISTS (SELECT 1 FROM cluster WHERE name = ?)",
        )
        .bind(input.name.as_str())
        .bind(input.endpoint.as_ref().map(Address::as_str))
        .bind(at.0)
        .bind(input.name.as_str())
        .execute(&mut *tx)
        .await?;
        if id.rows_affected() == 0 {
            return Err(name_taken(&input.name));
        }
        let id = ClusterId(id.last_insert_rowid());
        put_members(&mut tx, id, &input.members).await?;
        append(
            &mut tx,
            at,
            Draft::new(
                who,
                "cluster.created",
                format!("cluster {}", input.name),
                words(input),
            ),
        )
        .await?;
        self.commit_inventory(tx).await?;
        Ok(id)
    }

    /// Replaces a cluster's name, endpoint and members.
    ///
    /// # Errors
    /// There is no such cluster, a run holds its lock, or as for a new one.
    pub async fn update_cluster(
        &self,
        who: &Who,
        at: Timestamp,
        id: ClusterId,
        input: &ClusterInput,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let old = cluster_name(&mut tx, id).await?;
        not_locked(&mut tx, id).await?;
        let taken: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM cluster WHERE name = ? AND id <> ?)")
                .bind(input.name.as_str())
                .bind(id.0)
                .fetch_one(&mut *tx)
                .await?;
        if taken {
            return Err(name_taken(&input.name));
        }
        sqlx::query("UPDATE cluster SET name = ?, endpoint = ? WHERE id = ?")
            .bind(input.name.as_str())
            .bind(input.endpoint.as_ref().map(Address::as_str))
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        put_members(&mut tx, id, &input.members).await?;
        let detail = format!("was {old}; {}", words(input));
        append(
            &mut tx,
            at,
            Draft::new(
                who,
                "cluster.changed",
                format!("cluster {}", input.name),
                detail,
            ),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }

    /// Takes a cluster out of the inventory; touches no host.
    ///
    /// # Errors
    /// There is no such cluster, or a run holds its lock.
    pub async fn delete_cluster(
        &self,
        who: &Who,
        at: Timestamp,
        id: ClusterId,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let name = cluster_name(&mut tx, id).await?;
        not_locked(&mut tx, id).await?;
        sqlx::query("DELETE FROM cluster WHERE id = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "cluster.deleted", format!("cluster {name}"), ""),
        )
        .await?;
        Ok(self.commit_inventory(tx).await?)
    }
}

/// Refuses while a run holds the cluster's lock.
async fn not_locked(tx: &mut Tx, id: ClusterId) -> Result<(), ChangeError> {
    let run: Option<i64> = sqlx::query_scalar("SELECT run FROM lock WHERE resource = ?")
        .bind(format!("cluster:{id}"))
        .fetch_optional(&mut **tx)
        .await?;
    match run {
        None => Ok(()),
        Some(run) => Err(ChangeError::Conflict(format!(
            "Run {run} is working on the cluster; wait for it or end it first."
        ))),
    }
}

fn name_taken(name: &ClusterName) -> ChangeError {
    ChangeError::field("name", format!("There is a cluster {name} already."))
}

fn words(input: &ClusterInput) -> String {
    let members: Vec<String> = input
        .members
        .iter()
        .map(|m| format!("{} {}", role_word(m.role), m.host))
        .collect();
    let endpoint = input
        .endpoint
        .as_ref()
        .map_or("by its members", Address::as_str);
    format!("endpoint {endpoint}; {}", members.join(", "))
}

pub(super) async fn cluster_name(tx: &mut Tx, id: ClusterId) -> Result<String, ChangeError> {
    sqlx::query_scalar("SELECT name FROM cluster WHERE id = ?")
        .bind(id.0)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| ChangeError::NotFound(format!("cluster {id}")))
}

async fn put_members(tx: &mut Tx, id: ClusterId, members: &[Member]) -> Result<(), ChangeError> {
    sqlx::query("DELETE FROM cluster_member WHERE cluster = ?")
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    let mut seen = BTreeSet::new();
    for (at, member) in members.iter().enumerate() {
        let field = format!("members[{at}].host");
        let row = sqlx::query(
            "SELECT h.name, c.name AS cluster FROM host h
             LEFT JOIN cluster_member m ON m.host = h.id LEFT JOIN cluster c ON c.id = m.cluster WHERE h.id = ?",
        )
        .bind(member.host.0)
        .fetch_optional(&mut **tx)
        .await?;
        let Some(row) = row else {
            return Err(ChangeError::field(
                field,
                format!("There is no host {}.", member.host),
            ));
        };
        let host: String = row.try_get("name")?;
        if !seen.insert(member.host) {
            return Err(ChangeError::field(
                field,
                format!("{host} stands in the list twice."),
            ));
        }
        if let Some(other) = row.try_get::<Option<String>, _>("cluster")? {
            return Err(ChangeError::field(
                field,
                format!("{host} is a member of cluster {other} already."),
            ));
        }
        sqlx::query(
            "INSERT INTO cluster_member (host, cluster, role, position) VALUES (?, ?, ?, ?)",
        )
        .bind(member.host.0)
        .bind(id.0)
        .bind(role_word(member.role))
        .bind(i64::try_from(at).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn cluster(
    row: &SqliteRow,
    members: &mut BTreeMap<i64, Vec<(Member, String)>>,
) -> Result<Cluster, DbError> {
    let id: i64 = row.try_get("id")?;
    let found = members.remove(&id).unwrap_or_default();
    let address_of = |wanted: MemberRole| {
        found
            .iter()
            .find(|(m, _)| m.role == wanted)
            .map(|(_, address)| address.clone())
    };
    let endpoint = match row.try_get::<Option<String>, _>("endpoint")? {
        Some(endpoint) => endpoint,
        None => address_of(MemberRole::LoadBalancer)
            .or_else(|| address_of(MemberRole::Server))
            .ok_or_else(|| DbError::corrupt("cluster", format!("{id} has no server")))?,
    };
    let phase = match row.try_get("phase")? {
        "planned" => ClusterPhase::Planned,
        "running" => ClusterPhase::Running,
        other => return Err(DbError::corrupt("cluster.phase", other)),
    };
    Ok(Cluster {
        id: ClusterId(id),
        name: row.try_get("name")?,
        endpoint,
        members: found.into_iter().map(|(member, _)| member).collect(),
        phase,
        locked_by: row.try_get::<Option<i64>, _>("locked_by")?.map(RunId),
        live: None,
    })
}
