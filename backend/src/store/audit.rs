//! Table `audit`.

use coxswain_wire::{AuditEntry, AuditPage, RunId, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Db, DbError, Tx};
use crate::audit::{Checker, Draft, GENESIS};

const PAGE: usize = 100;

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
        "INSERT INTO audit (seq, at, actor, address, action, subject, detail, run, event_sha256, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(entry.seq)
    .bind(entry.at.0)
    .bind(entry.actor)
    .bind(entry.address)
    .bind(entry.action)
    .bind(entry.subject)
    .bind(entry.detail)
    .bind(entry.run.map(|r| r.0))
    .bind(entry.event_sha256)
    .bind(entry.hash)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) fn entry(row: &SqliteRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        seq: row.try_get("seq")?,
        at: Timestamp(row.try_get("at")?),
        actor: row.try_get("actor")?,
        address: row.try_get("address")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        run: row.try_get::<Option<i64>, _>("run")?.map(RunId),
        event_sha256: row.try_get("event_sha256")?,
        hash: row.try_get("hash")?,
    })
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

    /// A page of the trail, newest first. Its entries are checked against each other and the one before them.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_page(&self, before: Option<i64>) -> Result<AuditPage, DbError> {
        let rows = sqlx::query(
            "SELECT seq, at, actor, address, action, subject, detail, run, event_sha256, hash FROM audit
             WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        )
        .bind(before.unwrap_or(i64::MAX))
        .bind(i64::try_from(PAGE + 1).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut checker = match entries.get(PAGE) {
            Some(earlier) => Checker::after(earlier.seq, earlier.hash.clone()),
            None => Checker::default(),
        };
        entries.truncate(PAGE);
        let flaw = entries.iter().rev().find_map(|e| checker.take(e).err());
        let next_before = entries.last().map(|e| e.seq).filter(|seq| *seq > 1);
        Ok(AuditPage {
            entries,
            next_before,
            flaw: flaw.or_else(|| self.audit_flaw()).map(|f| f.to_string()),
        })
    }
}
