//! The stream of a run's page: its state and its output, each event once.
//!
//! A reader may leave at the state that is final: it comes after all output.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use coxswain_wire::{OUTPUT_EVENT, RUN_EVENT, RunId, RunView};
use futures::stream;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::{Answer, App, BEAT, Base, Caller, Failure, answer, event, logged};
use crate::http::input::{Id, Search};

/// Chunks of output read at a time.
const BATCH: u32 = 64;

pub(in crate::http) async fn run(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(run): Id<RunId>,
    Search(from): Search<From>,
    headers: HeaderMap,
) -> Answer<Response> {
    if !app.db.run_exists(run).await? {
        return Err(Failure::not_found(format!("run {run}")));
    }
    let left_off = headers
        .get("last-event-id")
        .and_then(|v| v.to_str().ok())
        .and_then(Cursor::parse);
    let cursor = match left_off {
        Some(cursor) => cursor,
        None => Cursor {
            seq: None,
            // More than there is: from another time of the database, so of no use.
            chunk: match from.after {
                after if after <= app.db.output_end(run).await? => after,
                _ => 0,
            },
        },
    };
    // Subscribed before the first read: nothing falls between.
    let feed = RunFeed {
        run,
        cursor,
        log: app.engine.changed(),
        output: app.runs.output_changed(),
        log_grew: true,
        output_grew: true,
        ready: VecDeque::new(),
        last: None,
        base: Base::new(app, &caller)?,
    };
    Ok(answer(stream::unfold(feed, RunFeed::next)))
}

/// What a reader has when it opens the stream.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct From {
    /// Latest chunk of output.
    #[serde(default)]
    after: u64,
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    /// Latest event of the run that was sent.
    seq: Option<u64>,
    /// Latest chunk that was sent; chunks count from 1.
    chunk: u64,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (seq, chunk) = text.split_once('-')?;
        let seq = if seq.is_empty() {
            None
        } else {
            Some(seq.parse().ok()?)
        };
        Some(Self {
            seq,
            chunk: chunk.parse().ok()?,
        })
    }

    fn id(self) -> String {
        format!(
            "{}-{}",
            self.seq.map(|s| s.to_string()).unwrap_or_default(),
            self.chunk
        )
    }
}

struct RunFeed {
    base: Base,
    run: RunId,
    cursor: Cursor,
    log: broadcast::Receiver<RunId>,
    output: broadcast::Receiver<RunId>,
    log_grew: bool,
    output_grew: bool,
    ready: VecDeque<Event>,
    /// The final state, until all output has been sent.
    last: Option<RunView>,
}

impl RunFeed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if !(self.log_grew || self.output_grew || self.wait().await) {
                return None;
            }
            if !self.base.goes_on().await {
                return None;
            }
            self.fill().await.inspect_err(logged).ok()?;
        }
    }

    /// Reads what is newer than the cursor, at most one batch of output.
    async fn fill(&mut self) -> Answer<()> {
        if std::mem::take(&mut self.log_grew) {
            let view = self.base.app.engine.view(self.run).await?;
            if self.cursor.seq.is_some_and(|sent| sent > view.seq) {
                // The database was put back from a backup: what the reader has is of no use.
                self.cursor = Cursor::default();
            }
            if self.cursor.seq.is_none_or(|sent| view.seq > sent) {
                if view.summary.status.is_final() {
                    // What was printed was stored before the end was: read from now on, it is complete.
                    self.output_grew = true;
                    self.last = Some(view);
                } else {
                    self.send(&view)?;
                }
            }
        }
        if self.output_grew {
            let chunks = self
                .base
                .app
                .db
                .output_after(self.run, self.cursor.chunk, BATCH)
                .await?;
            self.output_grew = chunks.len() == BATCH as usize;
            for chunk in chunks {
                self.cursor.chunk = chunk.id;
                self.ready
                    .push_back(event(OUTPUT_EVENT, &chunk)?.id(self.cursor.id()));
            }
        }
        if !self.output_grew
            && let Some(view) = self.last.take()
        {
            self.send(&view)?;
        }
        Ok(())
    }

    fn send(&mut self, view: &RunView) -> Answer<()> {
        self.cursor.seq = Some(view.seq);
        self.ready
            .push_back(event(RUN_EVENT, view)?.id(self.cursor.id()));
        Ok(())
    }

    /// Waits until log or output grew. False: end.
    async fn wait(&mut self) -> bool {
        let mut beat = Instant::now() + BEAT;
        while !(self.log_grew || self.output_grew) {
            tokio::select! {
                seen = self.log.recv() => match concerns(&seen, self.run) {
                    Some(grew) => self.log_grew = grew,
                    None => return false,
                },
                seen = self.output.recv() => match concerns(&seen, self.run) {
                    Some(grew) => self.output_grew = grew,
                    None => return false,
                },
                Ok(()) = self.base.stopping.changed() => return false,
                () = tokio::time::sleep_until(beat) => {
                    beat = Instant::now() + BEAT;
                    if !self.base.goes_on().await {
                        return false;
                    }
                }
            }
        }
        // Whatever else has come meanwhile is in the same read.
        self.log_grew |= drained(&mut self.log);
        self.output_grew |= drained(&mut self.output);
        true
    }
}

/// Whether news is about this run; who missed news must look. None: there will be no more.
fn concerns(seen: &Result<RunId, RecvError>, run: RunId) -> Option<bool> {
    match seen {
        Ok(other) => Some(*other == run),
        Err(RecvError::Lagged(_)) => Some(true),
        Err(RecvError::Closed) => None,
    }
}

/// Throws waiting news away; true if there was any.
fn drained(news: &mut broadcast::Receiver<RunId>) -> bool {
    let any = !news.is_empty();
    if any {
        *news = news.resubscribe();
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes() {
        for cursor in [
            Cursor::default(),
            Cursor {
                seq: Some(0),
                chunk: 0,
            },
            Cursor {
                seq: Some(7),
                chunk: 12,
            },
        ] {
            assert_eq!(Cursor::parse(&cursor.id()), Some(cursor));
        }
        for bad in ["", "7", "a-1", "1-b", "-", "1-2-3"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
