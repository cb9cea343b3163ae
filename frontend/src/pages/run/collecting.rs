//! Says that the hosts are being looked at before the run goes on, or before people are asked.

use coxswain_wire::RunView;
use leptos::prelude::*;

use super::Run;
use crate::components::icon::{Glyph, Icon};

/// The gate's title, whether there was evidence before, and whether it was approved.
fn of_gate(view: &RunView) -> Option<(String, bool, bool)> {
    let stage = usize::try_from(view.collecting?).ok()?;
    let gate = view.plan.stages.get(stage)?.gate.as_ref()?;
    let progress = view.stages.get(stage)?;
    let approved = progress.decision.as_ref().is_some_and(|d| d.approved);
    Some((gate.title.clone(), progress.evidence.is_some(), approved))
}

/// Stands there only meanwhile.
#[component]
pub(super) fn Collecting(run: Run) -> impl IntoView {
    let now = Memo::new(move |_| run.view.with(of_gate));
    move || {
        now.get().map(|(title, again, approved)| {
            let what = if again {
                "Collecting the evidence again"
            } else {
                "Collecting the evidence"
            };
            let why = if approved {
                "the run goes on if it still holds"
            } else {
                "nothing is changed by that"
            };
            view! {
                <p class="run-collecting" role="status" data-testid="run-collecting">
                    <Glyph icon=Icon::Spinner/>
                    <span><strong>{what}</strong>{format!(" for \u{201c}{title}\u{201d}: {why}.")}</span>
                </p>
            }
            .into_any()
        })
    }
}
