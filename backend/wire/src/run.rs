//! Runs: their state and the commands people give them.

use serde::{Deserialize, Serialize};

use crate::{
    ClusterId, Evidence, HostId, NextRun, PlanView, RunId, StageIndex, StepIndex, Table, Timeline,
    Timestamp,
};

/// Where a run stands. The variants with `is_final` never change again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Looks at the hosts for the next gate.
    Preflight,
    /// Waits for people at a gate.
    Waiting,
    /// Steps are being done.
    Running,
    /// A person paused it; nothing new starts.
    Paused,
    /// A person stopped it; retry (go on), unwind or abandon.
    Stopped,
    /// A step failed; retry, unwind or abandon.
    Failed,
    /// The engine cannot know what is safe; a person decides.
    Parked,
    /// Steps are being undone.
    Unwinding,
    /// Everything was observed done.
    Completed,
    /// Undone as far as the plan allows.
    Unwound,
    /// Turned down at a gate.
    Rejected,
    /// Given up by a person, with a comment.
    Abandoned,
}

impl RunStatus {
    /// True if the run is over and holds no lock.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            RunStatus::Completed
            | RunStatus::Unwound
            | RunStatus::Rejected
            | RunStatus::Abandoned => true,
            RunStatus::Preflight
            | RunStatus::Waiting
            | RunStatus::Running
            | RunStatus::Paused
            | RunStatus::Stopped
            | RunStatus::Failed
            | RunStatus::Parked
            | RunStatus::Unwinding => false,
        }
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Not started.
    Pending,
    /// Intent is recorded, the effect may be under way.
    Running,
    /// Was so before the run came; never undone.
    AlreadySatisfied,
    /// Observed done.
    Succeeded,
    /// Not observed done in time, or a fatal sign was seen.
    Failed,
    /// The engine cannot tell.
    Unsure,
    /// Being undone.
    Undoing,
    /// Observed undone.
    Undone,
    /// The undo was not observed.
    UndoFailed,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunSummary {
    /// Identifier.
    pub id: RunId,
    /// Stored name of the workflow.
    pub workflow: String,
    /// e.g. `Bootstrap cluster prod`.
    pub title: String,
    /// The cluster it works on.
    pub cluster: Option<ClusterId>,
    /// Where it stands.
    pub status: RunStatus,
    /// Sign-in name of who started it.
    pub created_by: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Steps done (succeeded or already satisfied).
    pub steps_done: u32,
    /// Steps in all.
    pub steps_total: u32,
}

/// A run in full. A pure fold of its event log up to `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunView {
    /// What lists show.
    pub summary: RunSummary,
    /// Number of the latest event.
    pub seq: u64,
    /// What it does.
    pub plan: PlanView,
    /// One for each stage of the plan.
    pub stages: Vec<StageProgress>,
    /// One for each step of the plan, by index.
    pub steps: Vec<StepProgress>,
    /// The stage whose gate is open now, if any.
    pub open_gate: Option<StageIndex>,
    /// The stage for whose gate evidence is being collected, for the first time or again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collecting: Option<StageIndex>,
    /// Why it failed or is parked, and what to do next.
    pub notice: Option<Notice>,
    /// Steps whose effect, meant only for the run's duration, stands at this moment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<StepIndex>,
    /// A stop was asked for; running steps finish first.
    pub stopping: bool,
    /// Commands that make sense now (whoever asks); the server checks rights when one comes.
    pub commands: Vec<CommandKind>,
    /// Events in order, in words, for the timeline and the auditor.
    pub history: Vec<HistoryEntry>,
}

/// Something a person should read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notice {
    /// What happened.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryEntry {
    /// Event number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Sign-in name, or none for the engine.
    pub actor: Option<String>,
    /// What happened.
    pub text: String,
}

/// Where a stage stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageProgress {
    /// Latest evidence of its gate.
    pub evidence: Option<Evidence>,
    /// What changed since the evidence before, when the gate reopened.
    pub changes: Vec<String>,
    /// The decision, once made.
    pub decision: Option<Decision>,
}

/// What people decided at a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// Approved or rejected.
    pub approved: bool,
    /// Sign-in name.
    pub actor: String,
    /// When.
    pub at: Timestamp,
    /// Their comment.
    pub comment: String,
    /// The person who started the run approved it.
    pub self_approved: bool,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepProgress {
    /// Where it stands.
    pub status: StepStatus,
    /// Number of the latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Start of the latest attempt.
    pub started_at: Option<Timestamp>,
    /// End of the latest attempt.
    pub finished_at: Option<Timestamp>,
    /// What was observed, in words.
    pub observed: Option<String>,
    /// What it found, for people: on the page and in downloads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<Table>,
    /// The same drawn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timelines: Vec<Timeline>,
    /// What may be wanted next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<NextRun>,
    /// Why it failed.
    pub error: Option<StepError>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepError {
    /// The cause, one line.
    pub message: String,
    /// Deeper causes, outermost first; journal lines.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// `POST /runs/{id}/commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum RunCommand {
    /// Go on past the open gate.
    Approve {
        /// The plan that was read.
        plan_sha256: String,
        /// The evidence that was read.
        evidence_sha256: String,
        /// For the audit.
        comment: String,
        /// The cluster's name, typed; needed when the gate asks for it or when approving one's own run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<String>,
    },
    /// Turn the run down at the open gate.
    Reject {
        /// For the audit; must not be empty.
        comment: String,
    },
    /// Collect the open gate's evidence again.
    Refresh,
    /// Start nothing new until resumed.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Stop when the running steps have finished.
    Stop,
    /// End interruptible running steps now, then stop.
    Kill,
    /// Go on: failed, unsure and stopped steps get a new attempt.
    Retry,
    /// Undo what was done, in reverse order.
    Unwind {
        /// Hash of the undo plan that was read (`GET /runs/{id}/unwind`).
        plan_sha256: String,
        /// The cluster's name, typed; needed when the plan says that undoing it is an outage.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm: Option<String>,
    },
    /// Give the run up and free its locks.
    Abandon {
        /// For the audit; must not be empty.
        comment: String,
        /// Hosts that a person declares dead, so that no job of ours can be alive there.
        #[serde(default)]
        dead_hosts: Vec<HostId>,
    },
}

/// [`RunCommand`] without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "see RunCommand")]
pub enum CommandKind {
    Approve,
    Reject,
    Refresh,
    Pause,
    Resume,
    Stop,
    Kill,
    Retry,
    Unwind,
    Abandon,
}

impl RunCommand {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> CommandKind {
        match self {
            RunCommand::Approve { .. } => CommandKind::Approve,
            RunCommand::Reject { .. } => CommandKind::Reject,
            RunCommand::Refresh => CommandKind::Refresh,
            RunCommand::Pause => CommandKind::Pause,
            RunCommand::Resume => CommandKind::Resume,
            RunCommand::Stop => CommandKind::Stop,
            RunCommand::Kill => CommandKind::Kill,
            RunCommand::Retry => CommandKind::Retry,
            RunCommand::Unwind { .. } => CommandKind::Unwind,
            RunCommand::Abandon { .. } => CommandKind::Abandon,
        }
    }
}

/// `GET /runs/{id}/unwind`: what unwinding would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnwindView {
    /// Steps in the order they would be undone.
    pub steps: Vec<UnwindStep>,
    /// The irreversible step at which unwinding stops, if any.
    pub stops_at: Option<StepIndex>,
    /// Undoing it takes the cluster away from whoever uses it by now: in what way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// What must be typed for it: the cluster's name, where there is an outage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
    /// Over the steps and where they stop; hex.
    pub sha256: String,
}

/// One step to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnwindStep {
    /// The step.
    pub index: StepIndex,
    /// How it is undone.
    pub undo: String,
}
