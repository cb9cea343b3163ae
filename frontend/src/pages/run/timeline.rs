//! When each step ran, one lane a target. The list of steps says the same in words.

use coxswain_wire::{RunView, StepIndex};
use leptos::prelude::*;

use super::Run;
use crate::components::axis::axis;
use crate::components::panel::Panel;
use crate::format;
use crate::paths;
use crate::words;

/// Width of the drawing in its own units.
const WIDTH: i64 = 1_000;

#[derive(Clone, Debug, PartialEq)]
struct Bar {
    index: StepIndex,
    x: i64,
    width: i64,
    tone: &'static str,
    title: String,
}

#[derive(Clone, Debug, PartialEq)]
struct Lane {
    target: String,
    bars: Vec<Bar>,
}

/// First start, last end, and the lanes in the order of the plan.
fn lanes(view: &RunView, now: i64) -> Option<(i64, i64, Vec<Lane>)> {
    let from = view
        .steps
        .iter()
        .filter_map(|s| s.started_at)
        .map(|t| t.0)
        .min()?;
    let ended = |s: &coxswain_wire::StepProgress| s.finished_at.map_or(now, |t| t.0);
    let to = view
        .steps
        .iter()
        .filter(|s| s.started_at.is_some())
        .map(ended)
        .max()?
        .max(from + 1_000);
    let span = to - from;
    let mut lanes: Vec<Lane> = Vec::new();
    for (step, progress) in view
        .plan
        .stages
        .iter()
        .flat_map(|s| &s.steps)
        .zip(&view.steps)
    {
        let Some(started) = progress.started_at else {
            continue;
        };
        let length = ended(progress) - started.0;
        let look = words::step_status(progress.status);
        let bar = Bar {
            index: step.index,
            x: (started.0 - from) * WIDTH / span,
            // Short steps stay visible.
            width: (length * WIDTH / span).max(4),
            tone: look.1.class(),
            title: format!("{}: {}, {}", step.title, look.0, format::duration(length)),
        };
        match lanes.iter_mut().find(|l| l.target == step.target) {
            Some(lane) => lane.bars.push(bar),
            None => lanes.push(Lane {
                target: step.target.clone(),
                bars: vec![bar],
            }),
        }
    }
    Some((from, to, lanes))
}

#[component]
pub(super) fn Timeline(run: Run) -> impl IntoView {
    let drawn = Memo::new(move |_| run.view.with(|v| lanes(v, run.app.now.get())));
    let body = move || match drawn.get() {
        None => view! { <p class="panel-empty">"No step has started yet."</p> }.into_any(),
        Some((from, to, lanes)) => view! {
            <div class="timeline">
                <div class="timeline-axis">{axis(to - from)}</div>
                {lanes.into_iter().map(|lane| lane_view(run, lane)).collect_view()}
            </div>
        }
        .into_any(),
    };
    view! { <Panel title="Timeline" hint="when each step ran, by host">{body}</Panel> }.into_any()
}

fn lane_view(run: Run, lane: Lane) -> AnyView {
    let bars = lane
        .bars
        .iter()
        .map(|bar| {
            view! {
                <rect class=format!("timeline-bar tone-{}", bar.tone) x=bar.x.to_string() y="4" width=bar.width.to_string() height="16" rx="2">
                    <title>{bar.title.clone()}</title>
                </rect>
            }.into_any()
        })
        .collect_view();
    let links = lane
        .bars
        .into_iter()
        .map(|bar| {
            view! { <li><a href=paths::run_step(run.id, bar.index)>{bar.title}</a></li> }.into_any()
        })
        .collect_view();
    view! {
        <div class="timeline-lane">
            <span class="timeline-target mono">{lane.target}</span>
            <svg class="timeline-track" viewBox=format!("0 0 {WIDTH} 24") preserveAspectRatio="none" aria-hidden="true">{bars}</svg>
            <ul class="visually-hidden">{links}</ul>
        </div>
    }
    .into_any()
}
