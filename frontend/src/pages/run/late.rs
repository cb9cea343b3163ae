//! The report of a drill that came to rest before it made one: of what had been seen by then.

use coxswain_wire::{Permission, RunStatus, RunView, StepIndex};
use leptos::prelude::*;

use super::Run;
use super::head::wants_decision;
use super::report;
use crate::components::callout::callout;
use crate::components::icon::Icon;
use crate::load::load;
use crate::words::Tone;

const SAID: &str = "The run came to rest before it made its report. This one is made of what had been seen by then.";

/// The step that would have made it, if there is something to report.
pub(super) fn late(run: &RunView) -> Option<StepIndex> {
    let status = run.summary.status;
    let rests =
        wants_decision(status) || matches!(status, RunStatus::Unwound | RunStatus::Abandoned);
    let steps = || run.plan.stages.iter().flat_map(|stage| &stage.steps);
    let makes = steps().find(|step| step.kind == "report_drill")?;
    let mut both = steps().zip(&run.steps);
    let watched = both.any(|(step, now)| step.kind == "observe_drill" && now.attempt > 0);
    let made = run.steps.iter().any(|step| !step.report.is_empty());
    (rests && watched && !made).then_some(makes.index)
}

/// The report; nothing if the run has made one, or goes on.
#[component]
pub(super) fn Late(run: Run) -> impl IntoView {
    // A retry goes on and sees more.
    let at = Memo::new(move |_| {
        run.view
            .with(|v| late(v).map(|step| (step, v.summary.status)))
    });
    let may = run.app.may(Permission::Operate);
    move || {
        let all = run.step.get().is_none();
        let (step, _) = at.get().filter(|_| all)?;
        let fetched = load(move || {
            let api = run.app.api();
            async move { api.report_page(run.id).await }
        });
        let drawn = fetched.view(move |found| {
            view! {
                <div class="report" data-testid="report-late">{callout(Tone::Quiet, Icon::Info, SAID)}</div>
                {report::parts(step, found, may)}
            }
            .into_any()
        });
        Some(drawn)
    }
}
