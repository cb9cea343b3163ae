//! A part of a run's output for a page that opens: the last part, or one that reaches back to what it was asked to
//! show. The rest stays where it is until somebody wants it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coxswain_wire::{LinesBefore, OutputChunk, OutputTail, RunId, StepIndex};
use schemars::JsonSchema;
use serde::Deserialize;

use super::errors::{Answer, Failure};
use super::input::{Id, Search};
use crate::app::App;
use crate::store::{Db, DbError};

/// Bytes of output that a part reaches back.
const BACK: u64 = 128 * 1024;
/// Bytes of an answer. More than [`BACK`] and a chunk, so that a part before a chunk is whole.
const ANSWER: usize = 256 * 1024;
/// Chunks before the one with the line that was asked for.
const CONTEXT: u64 = 16;
/// Chunks read at a time.
const BATCH: u32 = 64;

/// What a page asks for.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    step: Option<StepIndex>,
    line: Option<u32>,
    before: Option<u64>,
}

pub(super) async fn tail(
    State(app): State<Arc<App>>,
    Id(run): Id<RunId>,
    Search(wanted): Search<Wanted>,
) -> Answer<Json<OutputTail>> {
    if wanted.line.is_some() && wanted.step.is_none() {
        return Err(Failure::field(
            "step",
            "Lines are counted by step: say which step the line is of.",
        ));
    }
    if !app.db.run_exists(run).await? {
        return Err(Failure::not_found(format!("run {run}")));
    }
    let db = &app.db;
    let first = first(db, run, wanted).await?;
    Ok(Json(OutputTail {
        before: counts(db, run, first).await?,
        chunks: chunks(db, run, first, wanted.before.unwrap_or(u64::MAX)).await?,
    }))
}

/// The chunk that the part begins with.
async fn first(db: &Db, run: RunId, wanted: Wanted) -> Result<u64, DbError> {
    let before = wanted.before.unwrap_or(u64::MAX);
    let last = db.output_back(run, None, before, BACK).await?;
    let reaches = match (wanted.step, wanted.line) {
        (Some(step), Some(line)) => db
            .line_chunk(run, step, line)
            .await?
            .map(|chunk| chunk.saturating_sub(CONTEXT).max(1)),
        (Some(step), None) => db.output_back(run, Some(step), before, BACK).await?,
        (None, _) => None,
    };
    let first = [last, reaches].into_iter().flatten().min();
    Ok(first.unwrap_or(1))
}

/// What each step had printed before a chunk.
async fn counts(db: &Db, run: RunId, first: u64) -> Result<Vec<LinesBefore>, DbError> {
    let counts = db.lines_before(run, first).await?;
    Ok(counts
        .into_iter()
        .map(|(step, count)| LinesBefore {
            step,
            attempt: count.attempt,
            lines: count.lines,
            open: count.open,
        })
        .collect())
}

/// Chunks from `first` on and before `before`, up to the bound of an answer.
async fn chunks(db: &Db, run: RunId, first: u64, before: u64) -> Result<Vec<OutputChunk>, DbError> {
    let (mut answer, mut bytes) = (Vec::new(), 0);
    let mut after = first.saturating_sub(1);
    loop {
        let chunks = db.output_after(run, after, BATCH).await?;
        let Some(end) = chunks.last() else {
            return Ok(answer);
        };
        after = end.id;
        for chunk in chunks {
            bytes += chunk.text.len();
            if chunk.id >= before || (bytes > ANSWER && !answer.is_empty()) {
                return Ok(answer);
            }
            answer.push(chunk);
        }
    }
}
