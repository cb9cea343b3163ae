//! The undo plan: which steps are undone, in which order, and where it must stop.

use coxswain_wire::{StepIndex, StepStatus, UnwindStep, UnwindView};
use sha2::{Digest, Sha256};

use crate::plan::hex;
use crate::state::RunState;

/// What unwinding would do from here.
#[must_use]
pub fn plan(state: &RunState) -> UnwindView {
    let mut steps = Vec::new();
    let mut stops_at = None;
    for (index, _, step) in state.plan.steps().rev() {
        if !has_effect(state, index) {
            continue;
        }
        if step.irreversible {
            stops_at = Some(index);
            break;
        }
        if let Some(undo) = &step.undo {
            steps.push(UnwindStep {
                index,
                undo: undo.clone(),
            });
        }
    }
    let json = serde_json::to_vec(&(&steps, stops_at)).expect("plain data");
    UnwindView {
        steps,
        stops_at,
        sha256: hex(&Sha256::digest(json)),
    }
}

/// The step to undo next, if any.
#[must_use]
pub fn next(state: &RunState) -> Option<StepIndex> {
    plan(state).steps.first().map(|s| s.index)
}

/// True if the step's effect is ours and not yet undone. A failed step counts: it may have failed half-way.
fn has_effect(state: &RunState, index: StepIndex) -> bool {
    let step = &state.steps[index as usize];
    let standing = match step.status {
        StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Unsure
        | StepStatus::Pending
        | StepStatus::Running
        | StepStatus::Undoing
        | StepStatus::UndoFailed => true,
        StepStatus::AlreadySatisfied | StepStatus::Undone => false,
    };
    standing && step.attempt > 0
}
