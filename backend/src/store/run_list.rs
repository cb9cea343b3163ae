//! Reading runs and their output for lists, streams and downloads.

use coxswain_wire::{OutputChunk, RunId, RunSummary, StepIndex, Timestamp};
use futures::TryStreamExt;
use sqlx::{Row, SqliteConnection};

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

    /// The chunk that the last `bytes` of a run's output before a chunk begin in, of one step or of all; none if
    /// there is no output.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn output_back(
        &self,
        run: RunId,
        step: Option<StepIndex>,
        before: u64,
        bytes: u64,
    ) -> Result<Option<u64>, DbError> {
        // An index for each: a step may have printed long before all the others did.
        let (order, of_step) = match step {
            None => ("ORDER BY id DESC", ""),
            Some(_) => ("ORDER BY attempt DESC, raw_from DESC", "AND step = ?3"),
        };
        let sql = format!(
            "SELECT id, length(bytes) FROM step_output WHERE run = ?1 AND id < ?2 {of_step} {order}"
        );
        let mut rows = sqlx::query_as::<_, (i64, i64)>(sqlx::AssertSqlSafe(sql))
            .bind(run.0)
            .bind(i64::try_from(before).unwrap_or(i64::MAX))
            .bind(step)
            .fetch(&self.readers);
        let (mut first, mut seen) = (None, 0);
        while seen < bytes
            && let Some((id, length)) = rows.try_next().await?
        {
            first = Some(id.unsigned_abs());
            seen += length.unsigned_abs();
        }
        Ok(first)
    }

    /// Latest chunk of a run's output, 0 if there is none.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn output_end(&self, run: RunId) -> Result<u64, DbError> {
        last_chunk(&mut *self.readers.acquire().await?, run).await
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
        let mut reader = self.readers.acquire().await?;
        chunks_after(&mut reader, run, after, limit.into()).await
    }
}

pub(super) async fn last_chunk(tx: &mut SqliteConnection, run: RunId) -> Result<u64, DbError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM step_output WHERE run = ?")
        .bind(run.0)
        .fetch_one(tx)
        .await?;
    Ok(last.unwrap_or_default().unsigned_abs())
}

pub(super) async fn chunks_after(
    tx: &mut SqliteConnection,
    run: RunId,
    after: u64,
    limit: u64,
) -> Result<Vec<OutputChunk>, DbError> {
    let rows = sqlx::query(
        "SELECT id, step, attempt, at, bytes FROM step_output WHERE run = ? AND id > ? ORDER BY id LIMIT ?",
    )
    .bind(run.0)
    .bind(signed(after))
    .bind(signed(limit))
    .fetch_all(tx)
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
