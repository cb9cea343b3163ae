//! The undo plan: which steps are undone, in which order, and where it must stop. A failed step is undone
//! too: it may have failed half-way.

use coxswain_wire::{StepIndex, UnwindStep, UnwindView};
use sha2::{Digest, Sha256};

use crate::plan::hex;
use crate::state::RunState;

/// What unwinding would do from here.
#[must_use]
pub fn plan(state: &RunState) -> UnwindView {
    let (steps, stops_at) = steps(state);
    let json = serde_json::to_vec(&(&steps, stops_at)).expect("plain data");
    let outage = state.plan.undo_outage.clone();
    UnwindView {
        steps,
        stops_at,
        confirm: outage.is_some().then(|| state.plan.cluster_name.clone()),
        outage,
        sha256: hex(&Sha256::digest(json)),
    }
}

/// Whether unwinding would do anything.
#[must_use]
pub fn is_empty(state: &RunState) -> bool {
    steps(state).0.is_empty()
}

/// The step to undo next, if any.
#[must_use]
pub fn next(state: &RunState) -> Option<StepIndex> {
    steps(state).0.first().map(|s| s.index)
}

/// The steps to undo in their order, and the step where undoing must stop.
fn steps(state: &RunState) -> (Vec<UnwindStep>, Option<StepIndex>) {
    let mut steps = Vec::new();
    let mut stops_at = None;
    let taken = state.taken();
    for (index, _, step) in state.plan.steps().rev() {
        let undo = if let Some(compensation) = &step.compensation {
            // What is only for the run is given back even where unwinding stops before it.
            taken.contains(&index).then_some(compensation)
        } else if stops_at.is_some() || !state.steps[index as usize].ours {
            None
        } else if step.irreversible {
            stops_at = Some(index);
            None
        } else {
            step.undo.as_ref()
        };
        steps.extend(undo.map(|undo| UnwindStep {
            index,
            undo: undo.clone(),
        }));
    }
    (steps, stops_at)
}
