//! What a person wants, turned into an event or a refusal. Pure.

use coxswain_wire::{CommandKind, HostId, RunCommand, RunStatus, StepStatus, Verdict};
use thiserror::Error;

use crate::event::{Actor, Event};
use crate::state::RunState;
use crate::unwind;

/// Why a command is refused. Nothing was changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The command makes no sense in this state.
    #[error("{kind:?} is not possible while the run is {status:?}")]
    NotNow {
        /// What was asked.
        kind: CommandKind,
        /// Where the run stands.
        status: RunStatus,
    },
    /// The plan or evidence that was read is not the one that holds now.
    #[error("{what} has changed since it was shown. Read it again, then decide.")]
    Outdated {
        /// `The plan`, `The evidence`, `The undo plan`.
        what: &'static str,
    },
    /// Facts stand in the way.
    #[error("{count} finding(s) stand in the way; the first: {first}")]
    Blocked {
        /// How many.
        count: usize,
        /// The first one, in words.
        first: String,
    },
    /// The name that the gate or the undo asks for must be typed.
    #[error("type the name {expected} to confirm")]
    ConfirmationMissing {
        /// What must be typed.
        expected: String,
    },
    /// A comment is needed for the audit.
    #[error("say why, in a comment")]
    CommentMissing,
    /// A job of ours may still be alive there.
    #[error(
        "a job of this run may still be alive on {hosts}; declare the host dead if it is, or retry"
    )]
    JobMayBeAlive {
        /// Names of the hosts.
        hosts: String,
    },
    /// Nothing was done that could be undone.
    #[error("there is nothing to undo; abandon the run instead")]
    NothingToUndo,
}

/// Commands that make sense now.
#[must_use]
pub fn allowed(state: &RunState) -> Vec<CommandKind> {
    use CommandKind as C;
    let unwindable = !unwind::is_empty(state) && !state.any(StepStatus::Running);
    let mut commands = match state.status() {
        RunStatus::Completed | RunStatus::Unwound | RunStatus::Rejected | RunStatus::Abandoned => {
            vec![]
        }
        RunStatus::Preflight => vec![C::Pause, C::Abandon],
        RunStatus::Waiting => vec![C::Approve, C::Reject, C::Refresh, C::Abandon],
        RunStatus::Running
            if state.abandon.is_some() || state.is_leaving() && !state.any(StepStatus::Running) =>
        {
            vec![]
        }
        RunStatus::Running if state.stop.is_some() => vec![C::Kill],
        RunStatus::Running => vec![C::Pause, C::Stop, C::Kill],
        RunStatus::Unwinding => vec![C::Pause],
        RunStatus::Paused => vec![C::Resume, C::Stop, C::Kill],
        RunStatus::Stopped => vec![C::Retry, C::Abandon],
        RunStatus::Failed | RunStatus::Parked => vec![C::Retry, C::Abandon],
    };
    let may_unwind = match state.status() {
        RunStatus::Waiting | RunStatus::Stopped | RunStatus::Failed => true,
        RunStatus::Parked => !state.unwinding,
        RunStatus::Preflight
        | RunStatus::Running
        | RunStatus::Paused
        | RunStatus::Unwinding
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned => false,
    };
    if may_unwind && unwindable {
        commands.push(C::Unwind);
    }
    commands
}

/// The event that a command makes.
///
/// # Errors
/// A refusal, in words.
pub fn handle(state: &RunState, command: &RunCommand, by: &Actor) -> Result<Event, Refusal> {
    let kind = command.kind();
    if !allowed(state).contains(&kind) {
        let nothing_to_undo = kind == CommandKind::Unwind && unwind::is_empty(state);
        return Err(if nothing_to_undo {
            Refusal::NothingToUndo
        } else {
            Refusal::NotNow {
                kind,
                status: state.status(),
            }
        });
    }
    let by = by.clone();
    let not_now = Refusal::NotNow {
        kind,
        status: state.status(),
    };
    match command {
        RunCommand::Approve {
            plan_sha256,
            evidence_sha256,
            comment,
            confirm,
        } => approve(
            state,
            plan_sha256,
            evidence_sha256,
            comment,
            confirm.as_deref(),
            by,
        ),
        RunCommand::Reject { comment } => {
            let stage = state.current_stage().ok_or(not_now)?;
            Ok(Event::GateRejected {
                stage,
                by,
                comment: said(comment)?,
            })
        }
        RunCommand::Refresh => Ok(Event::RefreshAsked {
            stage: state.current_stage().ok_or(not_now)?,
            by,
        }),
        RunCommand::Pause => Ok(Event::Paused { by }),
        RunCommand::Resume => Ok(Event::Resumed { by }),
        RunCommand::Stop => Ok(Event::StopAsked { by, kill: false }),
        RunCommand::Kill => Ok(Event::StopAsked { by, kill: true }),
        RunCommand::Retry => Ok(Event::RetryAsked { by }),
        RunCommand::Unwind {
            plan_sha256,
            confirm,
        } => {
            let undo = unwind::plan(state);
            if undo.sha256 != *plan_sha256 {
                return Err(Refusal::Outdated {
                    what: "The undo plan",
                });
            }
            if let Some(expected) = undo.confirm
                && confirm.as_ref() != Some(&expected)
            {
                return Err(Refusal::ConfirmationMissing { expected });
            }
            Ok(Event::UnwindAsked {
                by,
                plan_sha256: plan_sha256.clone(),
            })
        }
        RunCommand::Abandon {
            comment,
            dead_hosts,
        } => {
            let hosts = maybe_alive(state, dead_hosts);
            if !hosts.is_empty() {
                return Err(Refusal::JobMayBeAlive {
                    hosts: hosts.join(", "),
                });
            }
            let (comment, dead_hosts) = (said(comment)?, dead_hosts.clone());
            Ok(if state.owed(&dead_hosts).is_empty() {
                Event::Abandoned {
                    by,
                    comment,
                    dead_hosts,
                }
            } else {
                Event::AbandonAsked {
                    by,
                    comment,
                    dead_hosts,
                }
            })
        }
    }
}

fn approve(
    state: &RunState,
    plan_sha256: &str,
    evidence_sha256: &str,
    comment: &str,
    confirm: Option<&str>,
    by: Actor,
) -> Result<Event, Refusal> {
    let not_now = || Refusal::NotNow {
        kind: CommandKind::Approve,
        status: state.status(),
    };
    let stage = state.current_stage().ok_or_else(not_now)?;
    let gate = state.plan.stages[stage as usize]
        .gate
        .as_ref()
        .ok_or_else(not_now)?;
    let evidence = state.stages[stage as usize]
        .evidence
        .as_ref()
        .ok_or_else(not_now)?;
    if state.plan.sha256() != plan_sha256 {
        return Err(Refusal::Outdated { what: "The plan" });
    }
    if evidence.sha256 != evidence_sha256 {
        return Err(Refusal::Outdated {
            what: "The evidence",
        });
    }
    let blocking: Vec<_> = evidence
        .facts
        .iter()
        .filter(|f| f.verdict == Verdict::Fail)
        .collect();
    if let Some(first) = blocking.first() {
        let first = format!("{}, {}: {}", first.subject, first.name, first.value);
        return Err(Refusal::Blocked {
            count: blocking.len(),
            first,
        });
    }
    let self_approved = state.created_by.as_ref().is_some_and(|c| c.id == by.id);
    let expected = state
        .plan
        .confirmation(gate)
        .or(self_approved.then_some(&state.plan.cluster_name));
    if let Some(expected) = expected
        && confirm != Some(expected.as_str())
    {
        return Err(Refusal::ConfirmationMissing {
            expected: expected.clone(),
        });
    }
    Ok(Event::GateApproved {
        stage,
        by,
        evidence_sha256: evidence_sha256.to_owned(),
        comment: comment.trim().to_owned(),
        self_approved,
    })
}

fn said(comment: &str) -> Result<String, Refusal> {
    let comment = comment.trim();
    if comment.is_empty() {
        Err(Refusal::CommentMissing)
    } else {
        Ok(comment.to_owned())
    }
}

/// Names of hosts on which a job of this run may be alive, besides those declared dead.
fn maybe_alive(state: &RunState, dead: &[HostId]) -> Vec<String> {
    let mut names: Vec<String> = state
        .plan
        .steps()
        .filter(|(index, _, _)| {
            matches!(
                state.steps[*index as usize].status,
                StepStatus::Running
                    | StepStatus::Unsure
                    | StepStatus::Undoing
                    | StepStatus::UndoFailed
            )
        })
        .filter(|(_, _, step)| step.host.is_some_and(|h| !dead.contains(&h)))
        .map(|(_, _, step)| step.target.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
