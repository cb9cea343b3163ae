//! Reading runs and their output for lists, streams and downloads.

use coxswain_wire::{OutputChunk, RunId, RunSummary, Timestamp};
use sqlx::Row;

use super::run_rows::{signed, summary};
use super::{Db, DbError};

impl Db {
    /// Latest runs first.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunSummary>, DbError> {
        let rows = sqlx::query(
            "SELECT id, workflow, title, cluster, status, created_by, created_at, finished_at, steps_done, steps_total
             FROM run ORDER BY id DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(summary).collect()
    }

    /// True if there is such a run.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn run_exists(&self, run: RunId) -> Result<bool, DbError> {
        Ok(
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM run WHERE id = ?)")
                .bind(run.0)
                .fetch_one(&self.readers)
                .await?,
        )
    }

    /// Output of a run after a chunk, in order, at most `limit` chunks.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn output_after(
        &self,
        run: RunId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<OutputChunk>, DbError> {
        let rows = sqlx::query(
            "SELECT id, step, attempt, at, bytes FROM step_output WHERE run = ? AND id > ? ORDER BY id LIMIT ?",
        )
        .bind(run.0)
        .bind(signed(after))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let number = |column: &'static str| -> Result<u32, DbError> {
                    u32::try_from(row.try_get::<i64, _>(column)?)
                        .map_err(|e| DbError::corrupt(column, e))
                };
                let id: i64 = row.try_get("id")?;
                let bytes: Vec<u8> = row.try_get("bytes")?;
                Ok(OutputChunk {
                    id: id.unsigned_abs(),
                    step: number("step")?,
                    attempt: number("attempt")?,
                    at: Timestamp(row.try_get("at")?),
                    text: String::from_utf8_lossy(&bytes).into_owned(),
                })
            })
            .collect()
    }
}
