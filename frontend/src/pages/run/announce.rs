//! Tells screen readers what changed: the run's state and its steps, never the log.

use leptos::prelude::*;

use super::Run;
use crate::words;

/// An invisible status line.
#[component]
pub(super) fn Announcer(run: Run) -> impl IntoView {
    let states = Memo::new(move |_| {
        run.view.with(|v| {
            (
                v.summary.status,
                v.steps.iter().map(|s| s.status).collect::<Vec<_>>(),
            )
        })
    });
    let said = RwSignal::new(String::new());
    Effect::new(
        move |before: Option<(coxswain_wire::RunStatus, Vec<coxswain_wire::StepStatus>)>| {
            let now = states.get();
            let Some(before) = before else { return now };
            let mut news = Vec::new();
            if before.0 != now.0 {
                news.push(format!("Run: {}", words::run_status(now.0).0));
            }
            run.view.with_untracked(|v| {
                let steps = v.plan.stages.iter().flat_map(|s| &s.steps);
                for (step, (was, is)) in steps.zip(before.1.iter().zip(&now.1)) {
                    if was != is {
                        news.push(format!(
                            "{} on {}: {}",
                            step.title,
                            step.target,
                            words::step_status(*is).0
                        ));
                    }
                }
            });
            if !news.is_empty() {
                said.set(news.join(". "));
            }
            now
        },
    );
    view! { <p class="visually-hidden" role="status">{said}</p> }.into_any()
}
