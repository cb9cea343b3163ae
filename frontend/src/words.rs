//! How states are called, coloured and drawn. No two states share colour and icon both.

use coxswain_wire::{
    ClusterPhase, CommandKind, ConnectionStage, MemberRole, Role, RunStatus, StepStatus, Verdict,
};

use crate::components::icon::Icon;

/// What a colour means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Tone {
    /// Nothing to see.
    #[default]
    Quiet,
    /// Something is under way.
    Active,
    /// As it should be.
    Good,
    /// A person should look.
    Warn,
    /// Broken.
    Bad,
}

impl Tone {
    /// Name in the style sheets.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Tone::Quiet => "quiet",
            Tone::Active => "active",
            Tone::Good => "good",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
        }
    }
}

/// Label, tone and icon of a state.
pub(crate) type Look = (&'static str, Tone, Icon);

pub(crate) fn run_status(status: RunStatus) -> Look {
    match status {
        RunStatus::Preflight => ("Preflight", Tone::Active, Icon::Spinner),
        RunStatus::Waiting => ("Waiting for approval", Tone::Warn, Icon::Approvals),
        RunStatus::Running => ("Running", Tone::Active, Icon::Spinner),
        RunStatus::Paused => ("Paused", Tone::Warn, Icon::Pause),
        RunStatus::Stopped => ("Stopped", Tone::Warn, Icon::Stop),
        RunStatus::Failed => ("Failed", Tone::Bad, Icon::Cross),
        RunStatus::Parked => ("Parked", Tone::Bad, Icon::Question),
        RunStatus::Unwinding => ("Unwinding", Tone::Active, Icon::Undo),
        RunStatus::Completed => ("Completed", Tone::Good, Icon::Check),
        RunStatus::Unwound => ("Unwound", Tone::Quiet, Icon::Undo),
        RunStatus::Rejected => ("Rejected", Tone::Quiet, Icon::Cross),
        RunStatus::Abandoned => ("Abandoned", Tone::Quiet, Icon::Flag),
    }
}

/// Every run status, in the order of the filter.
pub(crate) const RUN_STATUSES: [RunStatus; 12] = [
    RunStatus::Preflight,
    RunStatus::Waiting,
    RunStatus::Running,
    RunStatus::Paused,
    RunStatus::Stopped,
    RunStatus::Failed,
    RunStatus::Parked,
    RunStatus::Unwinding,
    RunStatus::Completed,
    RunStatus::Unwound,
    RunStatus::Rejected,
    RunStatus::Abandoned,
];

/// Stored word of a status, for addresses and for tests.
pub(crate) fn run_status_key(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Preflight => "preflight",
        RunStatus::Waiting => "waiting",
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::Stopped => "stopped",
        RunStatus::Failed => "failed",
        RunStatus::Parked => "parked",
        RunStatus::Unwinding => "unwinding",
        RunStatus::Completed => "completed",
        RunStatus::Unwound => "unwound",
        RunStatus::Rejected => "rejected",
        RunStatus::Abandoned => "abandoned",
    }
}

/// A step that may be done already is looked at before it begins.
pub(crate) const STEP_CHECKED: Look = ("Checking", Tone::Active, Icon::Spinner);

pub(crate) fn step_status(status: StepStatus) -> Look {
    match status {
        StepStatus::Pending => ("Pending", Tone::Quiet, Icon::Circle),
        StepStatus::Running => ("Running", Tone::Active, Icon::Spinner),
        StepStatus::AlreadySatisfied => ("Already satisfied", Tone::Good, Icon::Skip),
        StepStatus::Succeeded => ("Succeeded", Tone::Good, Icon::Check),
        StepStatus::Failed => ("Failed", Tone::Bad, Icon::Cross),
        StepStatus::Unsure => ("Unsure", Tone::Warn, Icon::Question),
        StepStatus::Undoing => ("Undoing", Tone::Active, Icon::Undo),
        StepStatus::Undone => ("Undone", Tone::Quiet, Icon::Undo),
        StepStatus::UndoFailed => ("Undo failed", Tone::Bad, Icon::Warn),
    }
}

/// Stored word of a step's status, for tests.
pub(crate) fn step_status_key(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "pending",
        StepStatus::Running => "running",
        StepStatus::AlreadySatisfied => "already_satisfied",
        StepStatus::Succeeded => "succeeded",
        StepStatus::Failed => "failed",
        StepStatus::Unsure => "unsure",
        StepStatus::Undoing => "undoing",
        StepStatus::Undone => "undone",
        StepStatus::UndoFailed => "undo_failed",
    }
}

/// True while time on the step still runs.
pub(crate) fn is_moving(status: StepStatus) -> bool {
    match status {
        StepStatus::Running | StepStatus::Undoing => true,
        StepStatus::Pending
        | StepStatus::AlreadySatisfied
        | StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Unsure
        | StepStatus::Undone
        | StepStatus::UndoFailed => false,
    }
}

/// True if the run goes on past the step.
pub(crate) fn is_done(status: StepStatus) -> bool {
    match status {
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

/// True if a person should look at the step.
pub(crate) fn is_trouble(status: StepStatus) -> bool {
    match status {
        StepStatus::Failed | StepStatus::Unsure | StepStatus::UndoFailed => true,
        StepStatus::Pending
        | StepStatus::Running
        | StepStatus::AlreadySatisfied
        | StepStatus::Succeeded
        | StepStatus::Undoing
        | StepStatus::Undone => false,
    }
}

pub(crate) fn verdict(verdict: Verdict) -> Look {
    match verdict {
        Verdict::Pass => ("Pass", Tone::Good, Icon::Check),
        Verdict::Warn => ("Warning", Tone::Warn, Icon::Warn),
        Verdict::Fail => ("Stands in the way", Tone::Bad, Icon::Cross),
    }
}

pub(crate) fn phase(phase: ClusterPhase) -> Look {
    match phase {
        ClusterPhase::Planned => ("Planned", Tone::Quiet, Icon::Circle),
        ClusterPhase::Running => ("Running", Tone::Good, Icon::Check),
    }
}

pub(crate) fn member_role(role: MemberRole) -> &'static str {
    match role {
        MemberRole::Server => "Server",
        MemberRole::Agent => "Agent",
        MemberRole::LoadBalancer => "Load balancer",
    }
}

pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Viewer",
        Role::Operator => "Operator",
        Role::Approver => "Approver",
        Role::Admin => "Admin",
    }
}

/// What a role may do, in one line.
pub(crate) fn role_help(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Looks at everything that is not secret.",
        Role::Operator => "Keeps the inventory, starts and steers runs.",
        Role::Approver => "Decides at gates.",
        Role::Admin => "Everything, users included.",
    }
}

/// Stored word of a connection check, its label, and what it tries.
pub(crate) fn connection_stage(
    stage: ConnectionStage,
) -> (&'static str, &'static str, &'static str) {
    match stage {
        ConnectionStage::Resolve => ("resolve", "Name", "The name resolves to an address"),
        ConnectionStage::Connect => ("connect", "Connect", "TCP to sshd opens"),
        ConnectionStage::HostKey => ("host_key", "Host key", "sshd shows a pinned key"),
        ConnectionStage::Authenticate => ("authenticate", "Sign in", "The user's key is accepted"),
        ConnectionStage::Sudo => (
            "sudo",
            "Root",
            "The user is root, or sudo needs no password",
        ),
    }
}

/// The connection checks in order.
pub(crate) const CONNECTION_STAGES: [ConnectionStage; 5] = [
    ConnectionStage::Resolve,
    ConnectionStage::Connect,
    ConnectionStage::HostKey,
    ConnectionStage::Authenticate,
    ConnectionStage::Sudo,
];

/// How a command is shown.
pub(crate) struct CommandWords {
    /// Stored word, for tests.
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) icon: Icon,
    /// What it does and what it leaves behind.
    pub(crate) help: &'static str,
}

pub(crate) fn command(kind: CommandKind) -> CommandWords {
    let words = |key, name, icon, help| CommandWords {
        key,
        name,
        icon,
        help,
    };
    match kind {
        CommandKind::Approve => words("approve", "Approve", Icon::Check, "Go on past the gate"),
        CommandKind::Reject => words(
            "reject",
            "Reject",
            Icon::Cross,
            "Turn the run down; it ends",
        ),
        CommandKind::Refresh => words(
            "refresh",
            "Collect again",
            Icon::Retry,
            "Look at the hosts again; nothing is changed",
        ),
        CommandKind::Pause => words(
            "pause",
            "Pause",
            Icon::Pause,
            "Start nothing new; running steps finish, locks stay",
        ),
        CommandKind::Resume => words(
            "resume",
            "Resume",
            Icon::Play,
            "Go on, after the evidence was checked again",
        ),
        CommandKind::Stop => words(
            "stop",
            "Stop",
            Icon::Stop,
            "Stop when the running steps have finished",
        ),
        CommandKind::Kill => words(
            "kill",
            "Kill now",
            Icon::Bolt,
            "End running steps at once; they may be left half-done",
        ),
        CommandKind::Retry => words(
            "retry",
            "Retry",
            Icon::Retry,
            "Go on: what failed or stopped gets a new attempt",
        ),
        CommandKind::Unwind => words(
            "unwind",
            "Unwind",
            Icon::Undo,
            "Undo what was done, in reverse order, after a look at the plan",
        ),
        CommandKind::Abandon => words(
            "abandon",
            "Abandon",
            Icon::Flag,
            "Give back what was taken for the run, leave the rest as it is, free the locks",
        ),
    }
}
