//! A plan as people read it: stages, gates, steps with exact commands, what cannot be undone.

use coxswain_wire::{GateView, PlanView, StageView, StepIndex, StepView, step_number};
use leptos::prelude::*;

use crate::components::callout::callout;
use crate::components::code::{Code, CopyButton};
use crate::components::icon::{Glyph, Icon};
use crate::format;
use crate::words::Tone;

/// Says where the gate of a stage stands.
pub(crate) type GateWords<'a> = &'a dyn Fn(usize) -> AnyView;

/// Draws a plan; with a step that one is open.
pub(crate) fn draw(plan: &PlanView, open: Option<StepIndex>, words: GateWords<'_>) -> AnyView {
    let steps: usize = plan.stages.iter().map(|s| s.steps.len()).sum();
    let irreversible = plan
        .stages
        .iter()
        .flat_map(|s| &s.steps)
        .filter(|s| s.irreversible)
        .count();
    let gates = plan.stages.iter().filter(|s| s.gate.is_some()).count();
    let fact = |number: usize, what: &'static str, tone: &'static str| {
        view! { <div class=format!("plan-fact {tone}")><span class="num">{number}</span><span>{what}</span></div> }.into_any()
    };
    let warnings = plan
        .warnings
        .iter()
        .map(|w| callout(Tone::Warn, Icon::Warn, w))
        .collect_view();
    view! {
        <div class="plan" data-testid="plan-view">
            <div class="plan-head">
                <div class="plan-facts">
                    {fact(steps, if steps == 1 { "step" } else { "steps" }, "")}
                    {fact(plan.stages.len(), if plan.stages.len() == 1 { "stage" } else { "stages" }, "")}
                    {fact(gates, if gates == 1 { "approval" } else { "approvals" }, "")}
                    {fact(irreversible, "cannot be undone", if irreversible > 0 { "tone-bad" } else { "" })}
                </div>
                <div class="plan-hash">
                    <span class="quiet">"SHA-256"</span>
                    <code class="ellipsis" data-testid="plan-sha256" title=plan.sha256.clone()>{plan.sha256.clone()}</code>
                    <CopyButton text=plan.sha256.clone() label="Copy the plan's hash"/>
                </div>
            </div>
            {plan.outage.as_ref().map(|o| callout(Tone::Bad, Icon::Warn, format!("Intended outage: {o}")))}
            {plan.undo_outage.as_ref().map(|o| callout(Tone::Warn, Icon::Undo, format!("If it is undone: {o}")))}
            {warnings}
            <ol class="plan-stages">
                {plan.stages.iter().enumerate().map(|(n, s)| stage(n, s, open, words)).collect_view()}
            </ol>
        </div>
    }
    .into_any()
}

fn stage(n: usize, stage: &StageView, open: Option<StepIndex>, words: GateWords<'_>) -> AnyView {
    view! {
        <li class="plan-stage">
            {stage.gate.as_ref().map(|g| gate(g, words(n)))}
            <h2 class="plan-stage-title">
                <span class="plan-stage-number">{n + 1}</span>
                {stage.title.clone()}
                <span class="quiet">{format::count(stage.steps.len(), "step")}</span>
            </h2>
            <ul class="plan-steps">{stage.steps.iter().map(|s| step(s, open)).collect_view()}</ul>
        </li>
    }
    .into_any()
}

fn gate(gate: &GateView, words: AnyView) -> AnyView {
    let list = gate
        .irreversible
        .iter()
        .map(|t| view! { <li>{t.clone()}</li> }.into_any())
        .collect_view();
    let irreversible = !gate.irreversible.is_empty();
    view! {
        <div class="plan-gate">
            <Glyph icon=Icon::Approvals/>
            <div>
                <strong>{gate.title.clone()}</strong>
                {words}
                {irreversible.then(|| view! {
                    <div class="plan-gate-more"><span class="toned tone-bad">"Cannot be undone:"</span><ul>{list}</ul></div>
                }.into_any())}
            </div>
        </div>
    }
    .into_any()
}

fn step(step: &StepView, open: Option<StepIndex>) -> AnyView {
    let commands = step
        .commands
        .iter()
        .map(|c| view! { <Code text=c.clone() label="Copy the command"/> }.into_any())
        .collect_view();
    let compensation = step
        .compensation
        .as_ref()
        .map(|c| format!("Only for the run, given back however it ends: {c}"));
    let undo = match (step.undo.as_ref().or(compensation.as_ref()), step.irreversible) {
        (Some(undo), false) => view! { <p class="plan-undo"><Glyph icon=Icon::Undo/><span>{undo.clone()}</span></p> }.into_any(),
        (Some(_) | None, true) => {
            view! { <p class="plan-undo tone-bad toned"><Glyph icon=Icon::Warn/><span>"This step cannot be undone."</span></p> }.into_any()
        }
        (None, false) => view! { <p class="plan-undo"><Glyph icon=Icon::Info/><span>"Changes nothing."</span></p> }.into_any(),
    };
    view! {
        <li>
            <details class="plan-step" open=open == Some(step.index)>
                <summary>
                    <Glyph icon=Icon::ChevronRight/>
                    <span class="plan-step-index num">{step_number(step.index)}</span>
                    <span class="plan-step-title">{step.title.clone()}</span>
                    <span class="plan-step-marks">
                        {step.irreversible.then(|| view! { <span class="tag tone-bad">"irreversible"</span> }.into_any())}
                        {step.compensation.is_some().then(|| view! { <span class="tag tone-quiet">"for the run only"</span> }.into_any())}
                        {step.forecast.is_some().then(|| view! { <span class="tag tone-warn">"quorum"</span> }.into_any())}
                    </span>
                    <span class="plan-step-target mono">{step.target.clone()}</span>
                </summary>
                <div class="plan-step-body">
                    {step.forecast.clone().map(|f| callout(Tone::Warn, Icon::Warn, f))}
                    {commands}
                    {undo}
                    <p class="plan-meta">
                        <span class="mono">{step.kind.clone()}</span>
                        <span class="dot-before">{format!("deadline {}", format::ticking(i64::from(step.deadline_s) * 1_000))}</span>
                    </p>
                </div>
            </details>
        </li>
    }
    .into_any()
}
