//! Server-sent events.
//!
//! `GET /runs/{id}/stream` sends the events [`RUN_EVENT`] and [`OUTPUT_EVENT`]; its `id:` is
//! `<run seq>-<chunk id>`, and a reconnect with `Last-Event-ID` replays what came after. `?after=<chunk id>` leaves out
//! the output up to that chunk, which the reader has from `GET /runs/{id}/tail`.
//! `GET /stream` sends [`OVERVIEW_EVENT`], a full snapshot each time something changed.

use serde::{Deserialize, Serialize};

use crate::{Cluster, RunSummary, StepIndex, Timestamp};

/// Data is a [`crate::RunView`].
pub const RUN_EVENT: &str = "run";
/// Data is an [`OutputChunk`].
pub const OUTPUT_EVENT: &str = "output";
/// Data is an [`Overview`].
pub const OVERVIEW_EVENT: &str = "overview";

/// A piece of a step's output, already redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutputChunk {
    /// Rises over the whole run; no number is sent twice.
    pub id: u64,
    /// The step.
    pub step: StepIndex,
    /// The attempt that printed it.
    pub attempt: u32,
    /// When it was stored.
    pub at: Timestamp,
    /// Text; may hold part of a line.
    pub text: String,
}

/// `GET /runs/{id}/tail`: a part of a run's output. Without a query the last part; `?step=` reaches back into the
/// output of that step, `?step=&line=` to that line of it; `?before=<chunk id>` gives the part before that chunk. What
/// follows comes over the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutputTail {
    /// What each step had printed before the first chunk; steps that had printed nothing are left out.
    pub before: Vec<LinesBefore>,
    /// In order, without gaps.
    pub chunks: Vec<OutputChunk>,
}

/// What a step had printed up to some chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LinesBefore {
    /// The step.
    pub step: StepIndex,
    /// The attempt that printed last.
    pub attempt: u32,
    /// Lines begun, counted as [`crate::LineCount`] does.
    pub lines: u32,
    /// The latest of them goes on.
    pub open: bool,
}

/// What every page besides a run's shows live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overview {
    /// All clusters.
    pub clusters: Vec<Cluster>,
    /// Latest runs first, at most 100.
    pub runs: Vec<RunSummary>,
}
