//! What may be wrong with a trail.

use coxswain_wire::RunId;
use thiserror::Error;

/// The first thing that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// An entry does not follow the one before it.
    #[error("entry {seq}: {why}")]
    Entry {
        /// Its number.
        seq: i64,
        /// What is wrong with it.
        why: String,
    },
    /// The entry that was sealed as the last one is not there.
    #[error(
        "its end: entry {sealed} was sealed as the last one, but the trail ends with entry {last}"
    )]
    CutOff {
        /// Number of the sealed entry.
        sealed: i64,
        /// The last one that is there.
        last: i64,
    },
    /// The entry that was sealed is another one now.
    #[error("its end: entry {sealed} is not the one that was sealed; the trail was made anew")]
    MadeAnew {
        /// Number of the sealed entry.
        sealed: i64,
    },
    /// Nothing says where the trail ends.
    #[error("its end: {why}, so nothing says whether entries are missing after entry {last}")]
    Unsealed {
        /// Why not.
        why: String,
        /// The last one that is there.
        last: i64,
    },
    /// The log of a run is not the one that was recorded.
    #[error("run {run}: {why}")]
    Run {
        /// The run.
        run: RunId,
        /// What is wrong with its log.
        why: String,
    },
}
