//! Checking the table `audit`: the whole chain, its sealed end, and the logs of runs against it.

use std::path::Path;

use coxswain_wire::{RunId, Timestamp};
use futures::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};
use sqlx::{Row, SqliteConnection};

use super::audit::entry;
use super::{Db, DbError};
use crate::audit::head::Head;
use crate::audit::{Checker, EventChecker, Flaw, GENESIS, RunEntry};

const AFTER: &str =
    "SELECT seq, at, actor, address, action, subject, detail, run, event_sha256, hash FROM audit
     WHERE seq > ? ORDER BY seq";

/// Runs that have a log or are named by entries that record one.
const RUNS: &str = "SELECT run FROM run_event UNION
     SELECT run FROM audit WHERE run IS NOT NULL AND action <> 'run.command_refused'";

const OF_RUN: &str = "SELECT seq, at, action, event_sha256 FROM audit
     WHERE run = ? AND action <> 'run.command_refused' ORDER BY seq";

/// Word of the entry that says that the end of the trail was lost.
pub const END_LOST: &str = "audit.end_lost";

/// What a check of the whole trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Entries up to the end, or before the first broken one.
    pub entries: i64,
    /// Hash of the last good entry.
    pub head: String,
    /// The first thing that does not fit.
    pub flaw: Option<Flaw>,
    /// Entries that say that the end of the trail was not as it had been sealed, or not sealed, at some earlier time.
    pub ends_lost: Vec<i64>,
}

/// Checks everything in one read transaction.
async fn check(pool: &SqlitePool, sealed: Option<&Head>) -> Result<ChainReport, DbError> {
    let mut tx = pool.begin().await?;
    let mut checker = Checker::default();
    let mut ends_lost = Vec::new();
    let mut flaw = None;
    let mut rows = sqlx::query(AFTER).bind(0).fetch(&mut *tx);
    while flaw.is_none()
        && let Some(row) = rows.try_next().await?
    {
        let entry = entry(&row)?;
        flaw = checker.take(&entry).err();
        if entry.action == END_LOST {
            ends_lost.push(entry.seq);
        }
    }
    drop(rows);
    if let (None, Some(sealed)) = (&flaw, sealed) {
        flaw = end(&mut tx, sealed).await?;
    }
    if flaw.is_none() {
        flaw = logs(&mut tx).await?;
    }
    Ok(ChainReport {
        entries: checker.entries(),
        head: checker.head().to_owned(),
        flaw,
        ends_lost,
    })
}

/// What is wrong with the end. The chain may go on after it: the seal comes after the commit.
async fn end(tx: &mut SqliteConnection, sealed: &Head) -> Result<Option<Flaw>, DbError> {
    if sealed.seq == 0 {
        return Ok(None);
    }
    let there: Option<String> = sqlx::query_scalar("SELECT hash FROM audit WHERE seq = ?")
        .bind(sealed.seq)
        .fetch_optional(&mut *tx)
        .await?;
    Ok(match there {
        Some(hash) if hash == sealed.hash => None,
        Some(_) => Some(Flaw::MadeAnew { sealed: sealed.seq }),
        None => Some(Flaw::CutOff {
            sealed: sealed.seq,
            last: last(tx).await?.seq,
        }),
    })
}

async fn last(tx: &mut SqliteConnection) -> Result<Head, DbError> {
    let row = sqlx::query("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        .fetch_optional(tx)
        .await?;
    Ok(match row {
        Some(row) => Head {
            seq: row.try_get("seq")?,
            hash: row.try_get("hash")?,
        },
        None => Head {
            seq: 0,
            hash: GENESIS.to_owned(),
        },
    })
}

async fn logs(tx: &mut SqliteConnection) -> Result<Option<Flaw>, DbError> {
    let runs: Vec<i64> = sqlx::query_scalar(RUNS).fetch_all(&mut *tx).await?;
    for run in runs {
        if let Err(flaw) = log(tx, run).await? {
            return Ok(Some(flaw));
        }
    }
    Ok(None)
}

/// The log of one run, event by event.
async fn log(tx: &mut SqliteConnection, run: i64) -> Result<Result<(), Flaw>, DbError> {
    let plan: Option<String> = sqlx::query_scalar("SELECT plan_json FROM run WHERE id = ?")
        .bind(run)
        .fetch_optional(&mut *tx)
        .await?;
    let rows = sqlx::query(OF_RUN).bind(run).fetch_all(&mut *tx).await?;
    let entries = rows.iter().map(run_entry).collect::<Result<_, _>>()?;
    let mut checker = EventChecker::new(RunId(run), plan.as_deref().unwrap_or_default(), entries);
    let mut events = sqlx::query("SELECT seq, at, event FROM run_event WHERE run = ? ORDER BY seq")
        .bind(run)
        .fetch(&mut *tx);
    while let Some(row) = events.try_next().await? {
        let at = Timestamp(row.try_get("at")?);
        if let Err(flaw) = checker.take(row.try_get("seq")?, at, row.try_get("event")?) {
            return Ok(Err(flaw));
        }
    }
    Ok(checker.end())
}

fn run_entry(row: &SqliteRow) -> Result<RunEntry, sqlx::Error> {
    Ok(RunEntry {
        seq: row.try_get("seq")?,
        at: Timestamp(row.try_get("at")?),
        action: row.try_get("action")?,
        event_sha256: row.try_get("event_sha256")?,
    })
}

/// Checks the trail in a database file, read-only and without the panel; `sealed` is where it must reach.
///
/// # Errors
/// The file cannot be read.
pub async fn verify_file(file: &Path, sealed: Option<&Head>) -> Result<ChainReport, DbError> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let pool = SqlitePool::connect_with(options).await?;
    let report = check(&pool, sealed).await;
    pool.close().await;
    report
}

impl Db {
    /// Checks the whole trail; `sealed` is where it must reach.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_check(&self, sealed: Option<&Head>) -> Result<ChainReport, DbError> {
        check(&self.readers, sealed).await
    }

    /// What is wrong with the end of the trail, given where it was sealed last. Quick, however long it is.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_end(&self, sealed: &Head) -> Result<Option<Flaw>, DbError> {
        end(&mut *self.readers.acquire().await?, sealed).await
    }

    /// The last entry that is committed, after all changes that have begun by now.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_head(&self) -> Result<Head, DbError> {
        // There is one writer: who has it knows that nobody else is in the middle of a change.
        last(&mut *self.write().await?).await
    }

    /// Takes the entries after those that were taken.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn audit_follow(&self, checker: &mut Checker) -> Result<Option<Flaw>, DbError> {
        let mut rows = sqlx::query(AFTER)
            .bind(checker.entries())
            .fetch(&self.readers);
        while let Some(row) = rows.try_next().await? {
            if let Err(flaw) = checker.take(&entry(&row)?) {
                return Ok(Some(flaw));
            }
        }
        Ok(None)
    }
}
