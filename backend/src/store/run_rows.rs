//! Rows of `run` and `run_event` and what they mean.

use coxswain_engine::event::{Event, Recorded};
use coxswain_wire::{ClusterId, RunId, RunStatus, RunSummary, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::DbError;

const STATUSES: [RunStatus; 12] = [
    RunStatus::Preflight,
    RunStatus::Waiting,
    RunStatus::Running,
    RunStatus::Paused,
    RunStatus::Stopped,
    RunStatus::Failed,
    RunStatus::Parked,
    RunStatus::Unwinding,
    RunStatus::Completed,
    RunStatus::Unwound,
    RunStatus::Rejected,
    RunStatus::Abandoned,
];

pub(super) fn status_word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Preflight => "preflight",
        RunStatus::Waiting => "waiting",
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::Stopped => "stopped",
        RunStatus::Failed => "failed",
        RunStatus::Parked => "parked",
        RunStatus::Unwinding => "unwinding",
        RunStatus::Completed => "completed",
        RunStatus::Unwound => "unwound",
        RunStatus::Rejected => "rejected",
        RunStatus::Abandoned => "abandoned",
    }
}

fn status(word: &str) -> Result<RunStatus, DbError> {
    STATUSES
        .into_iter()
        .find(|s| status_word(*s) == word)
        .ok_or_else(|| DbError::corrupt("run.status", word))
}

pub(super) fn summary(row: &SqliteRow) -> Result<RunSummary, DbError> {
    Ok(RunSummary {
        id: RunId(row.try_get("id")?),
        workflow: row.try_get("workflow")?,
        title: row.try_get("title")?,
        cluster: row.try_get::<Option<i64>, _>("cluster")?.map(ClusterId),
        status: status(row.try_get("status")?)?,
        created_by: row.try_get("created_by")?,
        created_at: Timestamp(row.try_get("created_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(Timestamp),
        steps_done: count(row, "steps_done")?,
        steps_total: count(row, "steps_total")?,
    })
}

fn count(row: &SqliteRow, column: &'static str) -> Result<u32, DbError> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|e| DbError::corrupt(column, e))
}

/// An event that does not decode is unknown, not an error: the engine parks the run.
pub(super) fn recorded(row: &SqliteRow) -> Result<Recorded, DbError> {
    let json: String = row.try_get("event")?;
    let seq = seq(row.try_get("seq")?)?;
    let event = serde_json::from_str(&json).unwrap_or_else(|error| {
        tracing::error!(seq, %error, "a stored event does not decode");
        Event::Unknown
    });
    Ok(Recorded {
        seq,
        at: Timestamp(row.try_get("at")?),
        event,
    })
}

pub(super) fn seq(value: i64) -> Result<u64, DbError> {
    u64::try_from(value).map_err(|e| DbError::corrupt("run_event.seq", e))
}

/// SQLite's integers are signed; no count of ours comes near the end.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_wire_word() {
        for s in STATUSES {
            assert_eq!(serde_json::to_value(s).unwrap(), status_word(s));
            assert_eq!(status(status_word(s)).unwrap(), s);
        }
    }
}
