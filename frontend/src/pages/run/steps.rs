//! Stages and their steps with state, attempt and time; choosing one shows its output.

use coxswain_wire::{RunStatus, RunView, StageView, StepIndex, StepProgress, StepStatus, StepView};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::Run;
use super::gate_state::gate_state;
use crate::components::badge::StatusIcon;
use crate::components::button::IconButton;
use crate::components::icon::{Glyph, Icon};
use crate::components::time::Elapsed;
use crate::components::when::when;
use crate::paths;
use crate::words::{self, is_done, is_moving, is_trouble};

/// The list of stages.
#[component]
pub(super) fn Steps(run: Run) -> impl IntoView {
    let stages = run.view.with_untracked(|v| v.plan.stages.clone());
    let navigate = use_navigate();
    let jump = StoredValue::new_local(move |forward: bool| {
        if let Some(step) = next_trouble(run, forward) {
            let path = paths::run_step(run.id, step);
            navigate(
                &path,
                NavigateOptions {
                    scroll: false,
                    ..NavigateOptions::default()
                },
            );
        }
    });
    let trouble = Memo::new(move |_| {
        run.view
            .with(|v| v.steps.iter().any(|s| is_trouble(s.status)))
    });
    view! {
        <section class="steps" aria-label="Steps">
            <header class="steps-head">
                <h2>"Steps"</h2>
                {when(move || trouble.get(), move || view! {
                    <IconButton icon=Icon::Up label="Previous step in trouble" key="["
                        on_click=move |_| jump.with_value(|j| j(false))/>
                    <IconButton icon=Icon::Down label="Next step in trouble" key="]"
                        on_click=move |_| jump.with_value(|j| j(true))/>
                }.into_any())}
            </header>
            <ol class="stage-list">
                {stages.into_iter().enumerate().map(|(n, s)| stage(run, n, s)).collect_view()}
            </ol>
        </section>
    }
    .into_any()
}

/// The step in trouble after or before the chosen one, going round.
fn next_trouble(run: Run, forward: bool) -> Option<StepIndex> {
    let bad: Vec<StepIndex> = run.view.with_untracked(|v| {
        (0u32..)
            .zip(&v.steps)
            .filter(|(_, s)| is_trouble(s.status))
            .map(|(i, _)| i)
            .collect()
    });
    let at = run.step.get_untracked();
    match (forward, at) {
        (true, Some(at)) => bad.iter().find(|i| **i > at).or(bad.first()).copied(),
        (false, Some(at)) => bad.iter().rev().find(|i| **i < at).or(bad.last()).copied(),
        (_, None) => bad.first().copied(),
    }
}

fn stage(run: Run, n: usize, stage: StageView) -> AnyView {
    let has_gate = stage.gate.is_some();
    // The one step says what the stage is.
    let single = stage.steps.len() == 1;
    let gate = has_gate.then(|| gate_state(run, n));
    let first = stage.steps.first().map_or(0, |s| s.index);
    let current = Memo::new(move |_| run.view.with(|v| is_current(v, first)));
    let rows = stage
        .steps
        .into_iter()
        .map(|s| step_row(run, s, current))
        .collect_view();
    view! {
        <li class="stage" class:stage-single=single data-testid=format!("stage-{n}")>
            {(!single).then(|| view! { <h3 class="stage-title">{stage.title}</h3> }.into_any())}
            {gate}
            <ol class="step-list">{rows}</ol>
        </li>
    }
    .into_any()
}

/// True if the run works on the stage that begins with this step.
fn is_current(run: &RunView, first: StepIndex) -> bool {
    let before = usize::try_from(first).unwrap_or(usize::MAX);
    run.summary.status == RunStatus::Running
        && run.collecting.is_none()
        && !run.stopping
        && run.steps.iter().take(before).all(|s| is_done(s.status))
}

const IDLE: StepProgress = StepProgress {
    status: StepStatus::Pending,
    attempt: 0,
    started_at: None,
    finished_at: None,
    observed: None,
    report: Vec::new(),
    timelines: Vec::new(),
    next: Vec::new(),
    error: None,
};

/// `current`: see [`is_current`].
fn step_row(run: Run, step: StepView, current: Memo<bool>) -> AnyView {
    let index = step.index;
    let at = usize::try_from(index).unwrap_or(usize::MAX);
    let progress = Memo::new(move |_| run.view.with(|v| v.steps.get(at).cloned().unwrap_or(IDLE)));
    let status = Signal::derive(move || progress.with(|p| p.status));
    // Nothing is recorded before it is known whether there is anything to do, and knowing may take half a minute.
    let checked = Memo::new(move |_| status.get() == StepStatus::Pending && current.get());
    let look = Signal::derive(move || {
        if checked.get() {
            words::STEP_CHECKED
        } else {
            words::step_status(status.get())
        }
    });
    let started = Signal::derive(move || progress.with(|p| p.started_at));
    let finished = Signal::derive(move || {
        progress.with(|p| {
            p.finished_at.or_else(|| {
                if is_moving(p.status) {
                    None
                } else {
                    p.started_at
                }
            })
        })
    });
    let timed = Memo::new(move |_| progress.with(|p| p.started_at.is_some()));
    let attempt = Memo::new(move |_| progress.with(|p| p.attempt));
    let chosen = Memo::new(move |_| run.step.get() == Some(index));
    let href = move || {
        if chosen.get() {
            paths::run(run.id)
        } else {
            paths::run_step(run.id, index)
        }
    };
    view! {
        <li class="step" class:step-chosen=chosen data-testid=format!("step-{index}") data-state=move || words::step_status_key(status.get())>
            <a href=href data-noscroll="" class="step-row" data-row="" aria-current=move || chosen.get().then_some("true")>
                <StatusIcon look/>
                <span class="step-title">{step.title}</span>
                <span class="step-target mono">{step.target}</span>
                <span class="step-time">
                    {move || (attempt.get() > 1).then(|| view! { <span class="tag tone-warn" title="Attempt">{format!("try {}", attempt.get())}</span> }.into_any())}
                    {when(move || checked.get(), move || view! { <span title="Whether it is so already">"checking"</span> }.into_any())}
                    {when(move || timed.get() && !checked.get(), move || view! { <Elapsed from=started to=finished/> }.into_any())}
                </span>
            </a>
            {move || detail(progress.get(), chosen.get())}
        </li>
    }
    .into_any()
}

/// Errors are always open: the cause must be on screen without a click.
fn detail(progress: StepProgress, chosen: bool) -> Option<AnyView> {
    if let Some(error) = progress.error {
        let causes = error
            .causes
            .into_iter()
            .map(|c| view! { <li class="mono">{c}</li> }.into_any())
            .collect_view();
        return Some(
            view! {
                <div class="step-error">
                    <p class="step-error-message">{error.message}</p>
                    <ul class="step-causes">{causes}</ul>
                    {error.advice.map(|a| view! { <p class="step-advice">{a}</p> }.into_any())}
                </div>
            }
            .into_any(),
        );
    }
    let observed = progress.observed.filter(|_| chosen)?;
    Some(view! { <p class="step-observed"><Glyph icon=Icon::Check/>{observed}</p> }.into_any())
}
