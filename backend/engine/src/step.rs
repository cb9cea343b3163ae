//! Step kinds: what a step does, behind one trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use coxswain_wire::{HostId, Report, RunId, SecretId, StepError, StepIndex};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use crate::plan::Outputs;
use crate::store::StepOutput;

/// Something a step made for later steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Output {
    /// Plain data.
    Value {
        /// The data.
        value: Value,
    },
    /// What people read of it. Never holds a secret.
    Report(Report),
    /// A secret in the vault; only its number travels.
    Secret {
        /// Its number.
        id: SecretId,
    },
}

/// Is what this step wants already so? Read-only.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Yes.
    Done {
        /// What was seen, in words.
        observed: String,
        /// For later steps.
        outputs: BTreeMap<String, Output>,
    },
    /// No, or not yet.
    NotDone {
        /// What is missing, in words.
        why: String,
    },
    /// It cannot be told.
    Unsure {
        /// Why, in words.
        why: String,
    },
}

/// Why a call to a step kind did not work.
#[derive(Clone, Debug, PartialEq)]
pub enum StepFailure {
    /// The target could not be asked; tried again until the deadline.
    Unreachable(StepError),
    /// It will not work, however long we wait.
    Fatal(StepError),
}

impl StepFailure {
    /// A fatal failure with one line.
    #[must_use]
    pub fn fatal(message: impl Into<String>) -> Self {
        StepFailure::Fatal(error(message))
    }

    /// The error inside.
    #[must_use]
    pub fn into_error(self) -> StepError {
        match self {
            StepFailure::Unreachable(error) | StepFailure::Fatal(error) => error,
        }
    }
}

/// An error of one line.
#[must_use]
pub fn error(message: impl Into<String>) -> StepError {
    StepError {
        message: message.into(),
        causes: Vec::new(),
        advice: None,
    }
}

/// Whether a remote job of an earlier attempt may still be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// There never was one, or it is over; its output was taken to the end.
    Over,
    /// It cannot be told.
    Unsure {
        /// Why, in words.
        why: String,
    },
}

/// What a step kind may know and use.
#[derive(Clone)]
pub struct StepContext {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIndex,
    /// The attempt, from 1; the latest one while probing or undoing; 0 before the first, and again once
    /// the effect was given back: what is there then is not ours.
    pub attempt: u32,
    /// Host it works on.
    pub host: Option<HostId>,
    /// Name of the host, or of the cluster.
    pub target: String,
    /// As planned; see [`StepContext::params`].
    pub params: Value,
    /// What [`StepKind::prepare`] stored with the first intent; null before.
    pub memo: Value,
    /// Outputs of earlier steps.
    pub outputs: Outputs,
    /// When the attempt counts as failed.
    pub deadline: Instant,
    /// `apply` of this attempt was called (perhaps before a crash). Only then may a probe read fatal
    /// signs: before, they would be those of an earlier attempt.
    pub applied: bool,
    /// Where the attempt's output goes; none while probing before the first attempt.
    pub output: Option<Arc<dyn StepOutput>>,
}

impl StepContext {
    /// The parameters, typed.
    ///
    /// # Errors
    /// Fatal if they do not decode.
    pub fn params<T: serde::de::DeserializeOwned>(&self) -> Result<T, StepFailure> {
        serde_json::from_value(self.params.clone())
            .map_err(|e| StepFailure::fatal(format!("the step's parameters do not decode: {e}")))
    }
}

/// One kind of step. Everything must be safe to repeat: a crash may come between any two calls.
///
/// Order of calls: `probe`; if not done `prepare`, the intent is recorded, `apply`, then `probe` until
/// done, fatal, or the deadline. After a crash: `reattach`, `probe`, and if not done a new attempt.
#[async_trait]
pub trait StepKind: Send + Sync + 'static {
    /// Stored name.
    fn name(&self) -> &'static str;

    /// Says in words why parameters do not decode.
    ///
    /// # Errors
    /// The reason.
    fn check(&self, params: &Value) -> Result<(), String>;

    /// Is it already so? Reads only. With a memo in the context: is it so through *our* effect, where
    /// the effect is an event (a restart, a snapshot)?
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure>;

    /// Reads what undo must put back and what tells the effect from what was before. Nothing is
    /// changed on the target. Secrets go to the vault, their numbers into the memo.
    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let _ = context;
        Ok(Value::Null)
    }

    /// Makes it so. Its result is only a hint: success is what the probe sees afterwards.
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure>;

    /// Called before anything else when an earlier attempt may have left a remote job: waits for the
    /// job, taking its output from where the log stopped.
    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        let _ = context;
        Ok(Attached::Over)
    }

    /// Ends the attempt's remote job, if any; returns when it is gone.
    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        let _ = context;
        Ok(())
    }

    /// Removes what the attempt left for re-attachment (its job directory). Called after the outcome
    /// is stored; a failure is logged and swept later.
    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        let _ = context;
        Ok(())
    }

    /// Is it undone? Reads only. Only called on steps whose plan has an undo or a compensation.
    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let _ = context;
        Ok(Probe::Unsure {
            why: "this step cannot be undone".to_owned(),
        })
    }

    /// Undoes it, using the memo. Only called on steps whose plan has an undo or a compensation. A step
    /// with a compensation may be done, undone and done again within one run.
    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let _ = context;
        Err(StepFailure::fatal("this step cannot be undone"))
    }
}

/// All step kinds by stored name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Arc<dyn StepKind>>,
}

impl Registry {
    /// A registry of these kinds.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn StepKind>>) -> Self {
        Self {
            kinds: kinds.into_iter().map(|k| (k.name(), k)).collect(),
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<dyn StepKind>> {
        self.kinds.get(name).cloned()
    }
}
