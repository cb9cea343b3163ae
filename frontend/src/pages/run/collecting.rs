//! Says that the hosts are being looked at before the run goes on, or before people are asked.

use coxswain_wire::RunView;
use leptos::prelude::*;

use super::Run;
use crate::components::icon::{Glyph, Icon};

/// The gate's title, and whether there was evidence before.
fn of_gate(view: &RunView) -> Option<(String, bool)> {
    let stage = usize::try_from(view.collecting?).ok()?;
    let gate = view.plan.stages.get(stage)?.gate.as_ref()?;
    Some((
        gate.title.clone(),
        view.stages.get(stage)?.evidence.is_some(),
    ))
}

/// Stands there only meanwhile.
#[component]
pub(super) fn Collecting(run: Run) -> impl IntoView {
    let now = Memo::new(move |_| run.view.with(of_gate));
    move || {
        now.get().map(|(title, again)| {
            let (what, why) = if again {
                ("Collecting the evidence again", "the run goes on if it still holds")
            } else {
                ("Collecting the evidence", "nothing is changed by that")
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
