//! Server-sent events.
//!
//! `GET /runs/{id}/stream` sends the events [`RUN_EVENT`] and [`OUTPUT_EVENT`]; its `id:` is
//! `<run seq>-<chunk id>`, and a reconnect with `Last-Event-ID` replays what came after.
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

/// What every page besides a run's shows live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// All clusters.
    pub clusters: Vec<Cluster>,
    /// Latest runs first, at most 100.
    pub runs: Vec<RunSummary>,
}
