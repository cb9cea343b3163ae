//! The state of a run: a pure fold of its event log.

use std::collections::BTreeMap;
use std::sync::Arc;

use coxswain_wire::{
    Decision, Evidence, HostId, RunStatus, StageIndex, StepError, StepIndex, StepStatus, Timestamp,
};
use serde_json::Value;

use crate::event::{Actor, Recorded};
use crate::plan::{Outputs, Plan};
use crate::step::Output;

/// A run as its log says it is.
#[derive(Clone, Debug)]
pub struct RunState {
    /// What it does.
    pub plan: Arc<Plan>,
    /// Who started it; none until `Created` is folded.
    pub created_by: Option<Actor>,
    /// When it was started.
    pub created_at: Timestamp,
    /// Number of the next event.
    pub next_seq: u64,
    /// When the last event was recorded.
    pub last_at: Timestamp,
    /// One for each stage.
    pub stages: Vec<StageState>,
    /// One for each step.
    pub steps: Vec<StepState>,
    /// A person paused it.
    pub paused: bool,
    /// A person asked it to stop.
    pub stop: Option<Stop>,
    /// After a pause, or a long time without a panel: the evidence of what is still to be done must be checked first.
    pub recheck: bool,
    /// Steps that failed since the last retry, and why, the first first. Kept apart from the steps: a failed step whose
    /// effect was given back is undone.
    pub failures: Vec<(StepIndex, StepError)>,
    /// A person asked to undo.
    pub unwinding: bool,
    /// A person gives the run up, once it has given back what it took away.
    pub abandon: Option<Abandon>,
    /// Why a person must decide.
    pub parked: Option<String>,
    /// How it ended, and when.
    pub ended: Option<(Ended, Timestamp)>,
}

/// A stop that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Running steps finish.
    AfterRunning,
    /// Interruptible running steps are ended.
    Now,
}

/// What was said when a run was given up.
#[derive(Clone, Debug)]
pub struct Abandon {
    /// Who.
    pub by: Actor,
    /// Why.
    pub comment: String,
    /// Hosts they declared dead.
    pub dead_hosts: Vec<HostId>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see RunStatus")]
pub enum Ended {
    Completed,
    Unwound,
    Rejected,
    Abandoned,
}

/// A stage and its gate.
#[derive(Clone, Debug, Default)]
pub struct StageState {
    /// Latest evidence.
    pub evidence: Option<Evidence>,
    /// Evidence is to be collected again.
    pub stale: bool,
    /// What changed when the gate reopened.
    pub changes: Vec<String>,
    /// Latest decision; cleared when the gate reopens.
    pub decision: Option<Decision>,
    /// Why an approved gate did not let the run through.
    pub refused: Option<String>,
    /// Approved and evidence held: steps may start.
    pub passed: bool,
}

/// A step.
#[derive(Clone, Debug)]
pub struct StepState {
    /// Where it stands.
    pub status: StepStatus,
    /// Latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// An attempt was made and not undone since: the effect is ours.
    pub ours: bool,
    /// Stored with the intent that made the effect ours.
    pub memo: Value,
    /// Start of the latest attempt.
    pub started_at: Option<Timestamp>,
    /// End of the latest attempt.
    pub finished_at: Option<Timestamp>,
    /// What was seen.
    pub observed: Option<String>,
    /// What it made for later steps; kept until it is done again.
    pub made: BTreeMap<String, Output>,
    /// Why it failed.
    pub error: Option<StepError>,
}

impl StepState {
    fn pending() -> Self {
        Self {
            status: StepStatus::Pending,
            attempt: 0,
            ours: false,
            memo: Value::Null,
            started_at: None,
            finished_at: None,
            observed: None,
            made: BTreeMap::new(),
            error: None,
        }
    }

    /// Succeeded or already satisfied.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self.status {
            StepStatus::Succeeded | StepStatus::AlreadySatisfied => true,
            StepStatus::Pending
            | StepStatus::Running
            | StepStatus::Failed
            | StepStatus::Unsure
            | StepStatus::Undoing
            | StepStatus::Undone
            | StepStatus::UndoFailed => false,
        }
    }
}

impl RunState {
    /// The state before the first event.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let stages = plan.stages.iter().map(|_| StageState::default()).collect();
        let steps = plan.steps().map(|_| StepState::pending()).collect();
        Self {
            plan,
            created_by: None,
            created_at: Timestamp(0),
            next_seq: 0,
            last_at: Timestamp(0),
            stages,
            steps,
            paused: false,
            stop: None,
            recheck: false,
            failures: Vec::new(),
            unwinding: false,
            abandon: None,
            parked: None,
            ended: None,
        }
    }

    /// Folds a whole log. An impossible event parks the run instead of failing.
    #[must_use]
    pub fn replay(plan: Arc<Plan>, log: &[Recorded]) -> (Self, Outputs) {
        let mut state = Self::new(plan);
        let mut outputs = Outputs::new();
        for recorded in log {
            if let Err(impossible) = state.fold(recorded, &mut outputs) {
                state.parked = Some(impossible.to_string());
                state.next_seq = recorded.seq + 1;
            }
        }
        (state, outputs)
    }

    /// The stage that the run is in: the first with a step not settled. None when all are.
    #[must_use]
    pub fn current_stage(&self) -> Option<StageIndex> {
        (0..).take(self.plan.stages.len()).find(|stage| {
            let gate_open = self.plan.stages[*stage as usize].gate.is_some()
                && !self.stages[*stage as usize].passed;
            gate_open || self.plan.steps_of(*stage).any(|s| !self.is_settled(s))
        })
    }

    /// True if any step's effect may be under way.
    #[must_use]
    pub fn any(&self, status: StepStatus) -> bool {
        self.steps.iter().any(|s| s.status == status)
    }

    /// Steps done.
    #[must_use]
    pub fn steps_done(&self) -> u32 {
        let settled = (0..).take(self.steps.len()).filter(|s| self.is_settled(*s));
        u32::try_from(settled.count()).unwrap_or(u32::MAX)
    }

    /// Where the run stands, in one word.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        if let Some((ended, _)) = self.ended {
            return match ended {
                Ended::Completed => RunStatus::Completed,
                Ended::Unwound => RunStatus::Unwound,
                Ended::Rejected => RunStatus::Rejected,
                Ended::Abandoned => RunStatus::Abandoned,
            };
        }
        if self.parked.is_some() {
            return RunStatus::Parked;
        }
        if self.paused {
            return RunStatus::Paused;
        }
        if self.abandon.is_some() {
            return RunStatus::Running;
        }
        if self.unwinding {
            return RunStatus::Unwinding;
        }
        if self.any(StepStatus::Running) || self.giving_back().is_some() {
            return RunStatus::Running;
        }
        if !self.failures.is_empty() {
            return RunStatus::Failed;
        }
        let Some(stage) = self.current_stage() else {
            return RunStatus::Running;
        };
        if self.stop.is_some() {
            return RunStatus::Stopped;
        }
        let gate = &self.stages[stage as usize];
        if self.plan.stages[stage as usize].gate.is_none() || gate.passed {
            return RunStatus::Running;
        }
        if gate.evidence.is_none() || gate.stale || gate.decision.is_some() {
            RunStatus::Preflight
        } else {
            RunStatus::Waiting
        }
    }
}
