//! Where a gate stands, in words; the steps and the plan say the same.

use coxswain_wire::{Decision, RunView};
use leptos::prelude::*;

use super::Run;
use crate::components::icon::{Glyph, Icon};
use crate::components::time::Ago;

/// Where a gate stands.
#[derive(Clone, PartialEq)]
enum GateState {
    /// People decided.
    Decided(Decision),
    /// Its evidence is being collected.
    Collecting { again: bool },
    /// People decide now.
    Open,
    /// The run has not come to it.
    Ahead,
    /// The run is over and never came to it.
    Unreached,
}

fn state(view: &RunView, stage: usize) -> GateState {
    let decision = view.stages.get(stage).and_then(|s| s.decision.clone());
    let here = view.open_gate.and_then(|open| usize::try_from(open).ok());
    let collected = view.collecting.and_then(|at| usize::try_from(at).ok());
    if collected == Some(stage) {
        let again = view.stages.get(stage).is_some_and(|s| s.evidence.is_some());
        return GateState::Collecting { again };
    }
    match decision {
        Some(decision) => GateState::Decided(decision),
        None if here == Some(stage) => GateState::Open,
        None if view.summary.status.is_final() => GateState::Unreached,
        None => GateState::Ahead,
    }
}

/// A line about the gate of a stage; changes as the run does.
pub(super) fn gate_state(run: Run, stage: usize) -> AnyView {
    let now = Memo::new(move |_| run.view.with(|v| state(v, stage)));
    (move || match now.get() {
        GateState::Decided(decision) => decided(decision),
        GateState::Collecting { again } => collecting(again),
        GateState::Open => undecided("tone-warn", "Waits for approval now"),
        GateState::Ahead => undecided("", "Will wait for approval"),
        GateState::Unreached => undecided("", "Was not reached"),
    })
    .into_any()
}

fn undecided(tone: &'static str, words: &'static str) -> AnyView {
    view! { <div class=format!("stage-gate {tone}")><Glyph icon=Icon::Approvals/><span>{words}</span></div> }
        .into_any()
}

fn collecting(again: bool) -> AnyView {
    let words = if again {
        "Collecting the evidence again"
    } else {
        "Collecting the evidence"
    };
    view! { <div class="stage-gate stage-collecting tone-active" data-testid="gate-collecting"><Glyph icon=Icon::Spinner/><span>{words}</span></div> }
        .into_any()
}

fn decided(decision: Decision) -> AnyView {
    let (tone, icon, words) = if decision.approved {
        ("good", Icon::Check, "Approved by")
    } else {
        ("bad", Icon::Cross, "Rejected by")
    };
    let comment = (!decision.comment.is_empty())
        .then(|| view! { <q class="stage-comment">{decision.comment}</q> }.into_any());
    view! {
        <div class=format!("stage-gate tone-{tone}")>
            <Glyph icon/>
            <span>
                {words}" "<strong>{decision.actor}</strong>" "<Ago at=Signal::stored(decision.at)/>
                {decision.self_approved.then_some(", self-approved")}
            </span>
            {comment}
        </div>
    }
    .into_any()
}
