//! What comes next. Serves the first start and recovery alike.

use coxswain_wire::{RunStatus, StageIndex, StepIndex, StepStatus};

use crate::event::Event;
use crate::state::RunState;
use crate::unwind;

/// Work that the state asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Collect evidence and open the gate.
    OpenGate(StageIndex),
    /// Approved: collect evidence again, take the locks, go on.
    PassGate(StageIndex),
    /// After a pause, a retry, or a long time without a panel: check the evidence of what is still to be done.
    Recheck(StageIndex),
    /// Do a step.
    Drive(StepIndex),
    /// Undo a step.
    Undo(StepIndex),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This work; empty means that people decide.
    Work(Vec<Activity>),
    /// The run is over: append this.
    End(Event),
}

impl Next {
    /// True if nothing happens until a person decides.
    #[must_use]
    pub fn waits_for_people(&self) -> bool {
        match self {
            Next::Work(wanted) => wanted.is_empty(),
            Next::End(_) => false,
        }
    }
}

/// What comes next. Work already under way is named again, so that a restarted panel takes it up.
#[must_use]
pub fn decide(state: &RunState) -> Next {
    match state.status() {
        RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned
        | RunStatus::Waiting
        | RunStatus::Stopped => Next::Work(Vec::new()),
        // Nothing new starts, but what runs is seen to its end.
        RunStatus::Parked | RunStatus::Paused | RunStatus::Failed => Next::Work(under_way(state)),
        RunStatus::Preflight => {
            let Some(stage) = state.current_stage() else {
                return Next::Work(Vec::new());
            };
            let approved = state.stages[stage as usize]
                .decision
                .as_ref()
                .is_some_and(|d| d.approved);
            Next::Work(vec![if approved {
                Activity::PassGate(stage)
            } else {
                Activity::OpenGate(stage)
            }])
        }
        RunStatus::Running => running(state),
        RunStatus::Unwinding => unwinding(state),
    }
}

fn running(state: &RunState) -> Next {
    let mut work = under_way(state);
    if state.is_leaving() {
        return leaving(state, work);
    }
    let Some(stage) = state.current_stage() else {
        return Next::Work(work);
    };
    if let (true, Some(gate)) = (state.recheck, state.governing_gate()) {
        // What is under way would read as a change.
        if work.is_empty() {
            work.push(Activity::Recheck(gate));
        }
        return Next::Work(work);
    }
    for step in state.plan.steps_of(stage) {
        if state.steps[step as usize].status == StepStatus::Pending {
            work.push(Activity::Drive(step));
        }
    }
    Next::Work(work)
}

/// What runs is seen to its end, then what was taken away is given back, one after the other.
fn leaving(state: &RunState, work: Vec<Activity>) -> Next {
    if !work.is_empty() {
        return Next::Work(work);
    }
    if let Some(step) = state.giving_back() {
        return Next::Work(vec![Activity::Undo(step)]);
    }
    match &state.abandon {
        Some(abandon) => Next::End(Event::Abandoned {
            by: abandon.by.clone(),
            comment: abandon.comment.clone(),
            dead_hosts: abandon.dead_hosts.clone(),
        }),
        None if state.current_stage().is_none() => Next::End(Event::Completed),
        None => Next::Work(Vec::new()),
    }
}

fn unwinding(state: &RunState) -> Next {
    let work = under_way(state);
    if !work.is_empty() {
        return Next::Work(work);
    }
    match unwind::next(state) {
        Some(step) => Next::Work(vec![Activity::Undo(step)]),
        None => Next::End(Event::Unwound),
    }
}

fn under_way(state: &RunState) -> Vec<Activity> {
    (0..)
        .zip(&state.steps)
        .filter_map(|(index, step)| match step.status {
            StepStatus::Running => Some(Activity::Drive(index)),
            StepStatus::Undoing => Some(Activity::Undo(index)),
            StepStatus::Pending
            | StepStatus::AlreadySatisfied
            | StepStatus::Succeeded
            | StepStatus::Failed
            | StepStatus::Unsure
            | StepStatus::Undone
            | StepStatus::UndoFailed => None,
        })
        .collect()
}
