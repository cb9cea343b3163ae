//! Table `audit`.

use std::path::Path;

use coxswain_wire::{AuditEntry, AuditPage, RunId, Timestamp};
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};

use super::{Db, DbError, Tx};
use crate::audit::{Broken, Checker, Draft, GENESIS};

const PAGE: i64 = 100;
const ALL: &str =
    "SELECT seq, at, actor, address, action, subject, detail, run, hash FROM audit ORDER BY seq";

/// What an audit of the whole chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Entries up to the end, or before the first broken one.
    pub entries: i64,
    /// Hash of the last good entry.
    pub head: String,
    /// The first entry that does not fit.
    pub broken: Option<Broken>,
}

/// Appends an entry to the chain, inside the transaction of what it records.
pub(super) async fn append(
    tx: &mut SqliteConnection,
    at: Timestamp,
    draft: Draft,
) -> Result<(), DbError> {
    let last = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *tx)
        .await?;
    let (seq, before): (i64, String) = match &last {
        Some(row) => (row.try_get("seq")?, row.try_get("hash")?),
        None => (0, GENESIS.to_owned()),
    };
    let entry = draft.place(seq + 1, at, &before);
    sqlx::query(
        "INSERT INTO audit (seq, at, actor, address, action, subject, detail, run, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.seq)
    .bind(entry.at.0)
    .bind(entry.actor)
    .bind(entry.address)
    .bind(entry.action)
    .bind(entry.subject)
    .bind(entry.detail)
    .bind(entry.run.map(|r| r.0))
    .bind(entry.hash)
    .execute(tx)
    .await?;
    Ok(())
}

fn entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        seq: row.try_get("seq")?,
        at: Timestamp(row.try_get("at")?),
        actor: row.try_get("actor")?,
        address: row.try_get("address")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        run: row.try_get::<Option<i64>, _>("run")?.map(RunId),
        hash: row.try_get("hash")?,
    })
}

async fn check(pool: &SqlitePool) -> Result<ChainReport, DbError> {
    let mut checker = Checker::default();
    let mut broken = None;
    let mut rows = sqlx::query(ALL).fetch(pool);
    while let Some(row) = rows.try_next().await? {
        if let Err(found) = checker.take(&entry(&row)?) {
            broken = Some(found);
            break;
        }
    }
    Ok(ChainReport {
        entries: checker.entries(),
        head: checker.head().to_owned(),
        broken,
    })
}

/// Checks the chain in a database file, read-only and without the panel.
///
/// # Errors
/// The file cannot be read.
pub async fn verify_file(file: &Path) -> Result<ChainReport, DbError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let pool = SqlitePool::connect_with(options).await?;
    let report = check(&pool).await;
    pool.close().await;
    report
}

impl Db {
    /// Records something that changes no row of its own, e.g. a refused command.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit(&self, at: Timestamp, draft: Draft) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        append(&mut tx, at, draft).await?;
        Ok(tx.commit().await?)
    }

    /// Commits a change that was begun elsewhere, with its entry.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn commit_with(
        &self,
        mut tx: Tx,
        at: Timestamp,
        draft: Draft,
    ) -> Result<(), DbError> {
        append(&mut tx, at, draft).await?;
        Ok(tx.commit().await?)
    }

    /// A page of the trail, newest first, and whether the whole chain holds now.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_page(&self, before: Option<i64>) -> Result<AuditPage, DbError> {
        let intact = check(&self.readers).await?.broken.is_none();
        let rows = sqlx::query(
            "SELECT seq, at, actor, address, action, subject, detail, run, hash FROM audit
             WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(PAGE)
        .fetch_all(&self.readers)
        .await?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let next_before = entries.last().map(|e| e.seq).filter(|seq| *seq > 1);
        Ok(AuditPage {
            entries,
            next_before,
            intact,
        })
    }

    /// Checks the whole chain.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_check(&self) -> Result<ChainReport, DbError> {
        check(&self.readers).await
    }
}
