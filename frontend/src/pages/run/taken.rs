//! What the run has taken away for its duration, as long as it has.

use coxswain_wire::RunView;
use leptos::prelude::*;

use super::Run;
use crate::components::icon::{Glyph, Icon};

/// What is taken away and how it comes back, in words.
fn words(view: &RunView) -> Vec<String> {
    let steps = || view.plan.stages.iter().flat_map(|s| &s.steps);
    view.taken
        .iter()
        .filter_map(|index| steps().find(|s| s.index == *index))
        .map(|step| {
            let back = step.compensation.as_deref().unwrap_or_default();
            let (title, target) = (&step.title, &step.target);
            let place = if title.contains(target.as_str()) {
                String::new()
            } else {
                format!(" on {target}")
            };
            format!("{title}{place} \u{2013} given back: {back}")
        })
        .collect()
}

/// Stands there only while something is taken away.
#[component]
pub(super) fn Taken(run: Run) -> impl IntoView {
    let taken = Memo::new(move |_| run.view.with(words));
    move || {
        let taken = taken.get();
        (!taken.is_empty()).then(|| {
            view! {
                <section class="callout tone-warn run-taken" data-testid="run-taken">
                    <Glyph icon=Icon::Warn/>
                    <div>
                        <strong>"In force now, only for this run"</strong>
                        <ul>{taken.into_iter().map(|t| view! { <li>{t}</li> }.into_any()).collect_view()}</ul>
                    </div>
                </section>
            }.into_any()
        })
    }
}
