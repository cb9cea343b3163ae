//! Table `output_lines`: how many lines the steps of a run have printed, noted every [`EVERY`] chunks, so that a
//! page that opens in the middle is told its line numbers without anybody's reading all that is before it.

use std::collections::BTreeMap;

use coxswain_wire::{LineCount, OutputChunk, RunId, StepIndex};
use sqlx::{Row, SqliteConnection};

use super::run_list::chunks_after;
use super::run_rows::signed;
use super::{Db, DbError};

/// Chunks from one note to the next; as many are read at a time.
pub(super) const EVERY: u64 = 64;

/// Lines of each step.
pub type LineCounts = BTreeMap<StepIndex, LineCount>;

/// Counts up to and with a chunk.
struct Noted {
    chunk: u64,
    counts: LineCounts,
}

impl Noted {
    fn take(&mut self, chunks: &[OutputChunk]) {
        for chunk in chunks {
            self.chunk = chunk.id;
            self.counts.entry(chunk.step).or_default().take(chunk);
        }
    }
}

/// The latest note up to a chunk; before the first, nothing was printed.
async fn noted(tx: &mut SqliteConnection, run: RunId, chunk: u64) -> Result<Noted, DbError> {
    let row = sqlx::query(
        "SELECT chunk, counts FROM output_lines WHERE run = ? AND chunk <= ? ORDER BY chunk DESC LIMIT 1",
    )
    .bind(run.0)
    .bind(signed(chunk))
    .fetch_optional(tx)
    .await?;
    Ok(match row {
        None => Noted {
            chunk: 0,
            counts: LineCounts::new(),
        },
        Some(row) => Noted {
            chunk: row.try_get::<i64, _>("chunk")?.unsigned_abs(),
            counts: serde_json::from_str(row.try_get("counts")?)
                .map_err(|e| DbError::corrupt("output_lines.counts", e))?,
        },
    })
}

/// The counts up to and with a chunk. Reads what is after the latest note.
async fn counted(tx: &mut SqliteConnection, run: RunId, chunk: u64) -> Result<Noted, DbError> {
    let mut count = noted(tx, run, chunk).await?;
    while count.chunk < chunk {
        let mut next = chunks_after(tx, run, count.chunk, EVERY).await?;
        next.retain(|c| c.id <= chunk);
        if next.is_empty() {
            break;
        }
        count.take(&next);
    }
    Ok(count)
}

/// Notes the counts if it is time, in the change that stores the chunk.
pub(super) async fn note(tx: &mut SqliteConnection, run: RunId, chunk: u64) -> Result<(), DbError> {
    if !chunk.is_multiple_of(EVERY) {
        return Ok(());
    }
    let Noted { chunk, counts } = counted(tx, run, chunk).await?;
    let counts =
        serde_json::to_string(&counts).map_err(|e| DbError::corrupt("output_lines.counts", e))?;
    sqlx::query("INSERT INTO output_lines (run, chunk, counts) VALUES (?, ?, ?)")
        .bind(run.0)
        .bind(signed(chunk))
        .bind(counts)
        .execute(tx)
        .await?;
    Ok(())
}

impl Db {
    /// What each step of a run had printed before a chunk.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn lines_before(&self, run: RunId, chunk: u64) -> Result<LineCounts, DbError> {
        let mut tx = self.readers.begin().await?;
        Ok(counted(&mut tx, run, chunk.saturating_sub(1)).await?.counts)
    }

    /// The chunk in which a line of a step begins; none if there is no such line.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn line_chunk(
        &self,
        run: RunId,
        step: StepIndex,
        line: u32,
    ) -> Result<Option<u64>, DbError> {
        let reached = |counts: &LineCounts| counts.get(&step).is_some_and(|c| c.lines >= line);
        let mut tx = self.readers.begin().await?;
        // The last note that has not reached the line: counts only grow.
        let (mut low, mut high) = (
            0,
            super::run_list::last_chunk(&mut tx, run).await? / EVERY + 1,
        );
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if reached(&noted(&mut tx, run, middle * EVERY).await?.counts) {
                high = middle;
            } else {
                low = middle;
            }
        }
        let mut count = noted(&mut tx, run, low * EVERY).await?;
        loop {
            let next = chunks_after(&mut tx, run, count.chunk, EVERY).await?;
            if next.is_empty() {
                return Ok(None);
            }
            for chunk in next {
                count.take(std::slice::from_ref(&chunk));
                if chunk.step == step && reached(&count.counts) {
                    return Ok(Some(chunk.id));
                }
            }
        }
    }
}
