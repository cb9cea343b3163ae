//! Title, state, progress, and the commands that steer a healthy run.

use coxswain_wire::{CommandKind, RunCommand, RunStatus, RunView};
use leptos::prelude::*;

use super::Run;
use super::late::late;
use crate::api;
use crate::components::badge::{Badge, Meter};
use crate::components::button::{Button, Look};
use crate::components::time::{Ago, Elapsed};
use crate::components::when::when;
use crate::paths;
use crate::words::{self, CommandWords};

/// True where the notice panel offers the ways out instead of the head.
pub(super) fn wants_decision(status: RunStatus) -> bool {
    match status {
        RunStatus::Stopped | RunStatus::Failed | RunStatus::Parked => true,
        RunStatus::Preflight
        | RunStatus::Waiting
        | RunStatus::Running
        | RunStatus::Paused
        | RunStatus::Unwinding
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned => false,
    }
}

/// Whether there is a report to download: only drills have one.
fn is_reported(run: &RunView) -> bool {
    let made = || run.steps.iter().any(|step| !step.report.is_empty());
    run.plan.workflow == "failover_drill" && (late(run).is_some() || made())
}

#[component]
pub(super) fn Head(run: Run) -> impl IntoView {
    let view = run.view;
    let status = Memo::new(move |_| view.with(|v| v.summary.status));
    let look = Signal::derive(move || words::run_status(status.get()));
    let state = Signal::derive(move || words::run_status_key(status.get()));
    let steps = Memo::new(move |_| view.with(|v| (v.summary.steps_done, v.summary.steps_total)));
    let created = Signal::derive(move || view.with(|v| Some(v.summary.created_at)));
    let finished = Signal::derive(move || view.with(|v| v.summary.finished_at));
    let summary = view.with_untracked(|v| v.summary.clone());
    let cluster = view.with_untracked(|v| (v.plan.cluster, v.plan.cluster_name.clone()));
    let reported = Memo::new(move |_| view.with(is_reported));
    let stopping = Memo::new(move |_| view.with(|v| v.stopping));
    view! {
        <header class="page-head run-head">
            <div>
                <div class="title-row">
                    <h1>{summary.title.clone()}</h1>
                    <Badge look state testid="run-status"/>
                    {when(move || stopping.get(), move || view! { <span class="badge tone-warn">"Stopping after the running steps"</span> }.into_any())}
                </div>
                <p class="page-intro run-meta">
                    <span class="num">{format!("#{}", run.id)}</span>
                    {cluster.0.map(|id| view! { <span class="dot-before"><a href=paths::cluster(id) class="link">{cluster.1}</a></span> }.into_any())}
                    <span class="dot-before">"started by "{summary.created_by.clone()}" "<Ago at=Signal::stored(summary.created_at)/></span>
                    <span class="dot-before"><Elapsed from=created to=finished/></span>
                </p>
            </div>
            <div class="page-actions">
                {when(move || reported.get(), move || view! {
                    <a class="btn" href=api::report_url(run.id) target="_blank" rel="external noopener" data-testid="run-report">"Report to print"</a>
                    <a class="btn" href=api::report_json_url(run.id) target="_blank" rel="external noopener" data-testid="run-report-json">"Report as JSON"</a>
                }.into_any())}
                <Steer run kind=CommandKind::Pause/>
                <Steer run kind=CommandKind::Resume/>
                <Steer run kind=CommandKind::Stop/>
                <Steer run kind=CommandKind::Kill/>
                {move || (!wants_decision(status.get())).then(|| view! {
                    <Steer run kind=CommandKind::Retry/>
                    <Steer run kind=CommandKind::Unwind/>
                    <Steer run kind=CommandKind::Abandon/>
                }.into_any())}
            </div>
        </header>
        <div class="run-progress">
            <Meter parts=steps tone=Signal::derive(move || look.get().1) label="Steps done"/>
            <span class="num">{move || format!("{} of {} steps", steps.get().0, steps.get().1)}</span>
        </div>
    }.into_any()
}

/// A command's button, there only while the command is.
#[component]
pub(super) fn Steer(run: Run, kind: CommandKind) -> impl IntoView {
    let offered = Memo::new(move |_| run.offers(kind));
    let CommandWords {
        key,
        name,
        icon,
        help,
    } = words::command(kind);
    let look = match kind {
        CommandKind::Resume | CommandKind::Retry | CommandKind::Approve => Look::Primary,
        CommandKind::Kill | CommandKind::Abandon => Look::Danger,
        CommandKind::Reject
        | CommandKind::Refresh
        | CommandKind::Pause
        | CommandKind::Stop
        | CommandKind::Unwind => Look::Plain,
    };
    let press = move |_| match kind {
        CommandKind::Pause => run.command(RunCommand::Pause),
        CommandKind::Resume => run.command(RunCommand::Resume),
        CommandKind::Retry => run.command(RunCommand::Retry),
        CommandKind::Refresh => run.command(RunCommand::Refresh),
        CommandKind::Stop
        | CommandKind::Kill
        | CommandKind::Unwind
        | CommandKind::Abandon
        | CommandKind::Approve
        | CommandKind::Reject => run.asking.set(Some(kind)),
    };
    let testid = if kind == CommandKind::Refresh {
        "gate-refresh".to_owned()
    } else {
        format!("run-{key}")
    };
    view! {
        {when(move || offered.get(), move || view! { <Button look icon testid=testid.clone() title=help on_click=press>{name}</Button> }.into_any())}
    }.into_any()
}
