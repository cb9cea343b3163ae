//! Where runs are kept. The panel keeps them in SQLite; tests in memory.

use async_trait::async_trait;
use coxswain_wire::{RunId, RunStatus, StepIndex, Timestamp};
use std::sync::Arc;
use thiserror::Error;

use crate::event::Event;
use crate::plan::Plan;

/// Everything stored of one run.
#[derive(Clone, Debug)]
pub struct StoredRun {
    /// The plan it is bound to.
    pub plan: Plan,
    /// Its log, in order, without gaps.
    pub log: Vec<crate::event::Recorded>,
}

/// Events to append, in one transaction with the cached status, the locks and the audit entries.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// Number the first event will get; guards against a second writer.
    pub next_seq: u64,
    /// When.
    pub at: Timestamp,
    /// In order.
    pub events: Vec<Event>,
    /// Status after the events, for lists.
    pub status: RunStatus,
    /// Steps done after the events, for lists.
    pub steps_done: u32,
    /// What happens to the run's locks.
    pub locks: Locks,
}

/// Change of a run's locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locks {
    /// As they are.
    Keep,
    /// All of these, or nothing is appended.
    Take(Vec<String>),
    /// None any more.
    Release,
}

/// Why the store refused.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Somebody else appended first: reload, fold, append again.
    #[error("the log of run {0} has grown meanwhile")]
    Conflict(RunId),
    /// Another run holds one of the locks; nothing was appended.
    #[error("{resource} is locked by run {holder}")]
    LockHeld {
        /// e.g. `cluster:1`.
        resource: String,
        /// Who holds it.
        holder: RunId,
    },
    /// No such run.
    #[error("there is no run {0}")]
    NotFound(RunId),
    /// The storage itself failed.
    #[error("the storage failed")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Keeps runs.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Stores a new run with its `Created` event and gives its number.
    async fn create(
        &self,
        plan: &Plan,
        created: Event,
        at: Timestamp,
        status: RunStatus,
    ) -> Result<RunId, StoreError>;

    /// A run with its whole log.
    async fn load(&self, run: RunId) -> Result<StoredRun, StoreError>;

    /// Appends atomically.
    async fn append(&self, append: Append) -> Result<(), StoreError>;

    /// Runs that are not in a final state.
    async fn unfinished(&self) -> Result<Vec<RunId>, StoreError>;

    /// Opens the output of a step's attempt, at its end.
    async fn output(
        &self,
        run: RunId,
        step: StepIndex,
        attempt: u32,
    ) -> Result<Arc<dyn StepOutput>, StoreError>;

    /// Masks every known secret and everything that looks like one. Called on every text before it
    /// enters an event.
    async fn redact(&self, text: &str) -> Result<String, StoreError>;
}

/// Takes the raw output of one attempt, redacts and stores it.
#[async_trait]
pub trait StepOutput: Send + Sync {
    /// Raw bytes stored so far (after redaction): where to go on reading after a crash.
    async fn position(&self) -> u64;

    /// Takes the raw bytes from `from` on; bytes before the position are dropped, a gap is refused.
    async fn append(&self, from: u64, raw: &[u8]) -> Result<(), StoreError>;

    /// Stores what the redactor held back; nothing follows.
    async fn finish(&self) -> Result<(), StoreError>;
}
