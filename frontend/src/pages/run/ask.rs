//! The dialogs before commands that leave something behind: stop, kill, unwind, abandon.

use coxswain_wire::{CommandKind, HostId, RunCommand, RunView, StepIndex, UnwindView, step_number};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::Run;
use crate::components::button::{Button, Look};
use crate::components::callout::callout;
use crate::components::dialog::Dialog;
use crate::components::field::{TextArea, TextField};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::Icon;
use crate::load::load;
use crate::words::{self, Tone, is_moving};

#[component]
pub(super) fn Ask(run: Run) -> impl IntoView {
    let open = RwSignal::new(false);
    Effect::new(move |_| open.set(run.asking.with(Option::is_some)));
    Effect::new(move |_| {
        if !open.get() && run.asking.with_untracked(Option::is_some) {
            run.asking.set(None);
        }
    });
    let title = Signal::derive(move || match run.asking.get() {
        Some(CommandKind::Stop) => "Stop after the running steps?".to_owned(),
        Some(CommandKind::Kill) => "Kill now?".into(),
        Some(CommandKind::Unwind) => "Undo what was done?".into(),
        Some(CommandKind::Abandon) => "Give this run up?".into(),
        Some(kind) => words::command(kind).name.into(),
        None => String::new(),
    });
    view! {
        <Dialog open title testid="run-dialog" wide=true>
            {move || match run.asking.get() {
                Some(CommandKind::Unwind) => view! { <Unwind run/> }.into_any(),
                Some(CommandKind::Abandon) => view! { <Abandon run/> }.into_any(),
                Some(CommandKind::Kill) => view! { <StopOrKill run kill=true/> }.into_any(),
                Some(CommandKind::Stop) => view! { <StopOrKill run kill=false/> }.into_any(),
                Some(
                    CommandKind::Approve
                    | CommandKind::Reject
                    | CommandKind::Refresh
                    | CommandKind::Pause
                    | CommandKind::Resume
                    | CommandKind::Retry,
                )
                | None => ().into_any(),
            }}
        </Dialog>
    }
    .into_any()
}

/// Gives the command and closes the dialog when it was taken.
fn give(run: Run, form: Form, command: RunCommand) {
    let api = run.app.api();
    form.submit(
        async move { api.command(run.id, &command).await },
        move |view: RunView| {
            run.take(view);
            run.asking.set(None);
        },
    );
}

/// Titles of the steps under way.
fn moving(view: &RunView) -> Vec<String> {
    let steps = view.plan.stages.iter().flat_map(|s| &s.steps);
    steps
        .zip(&view.steps)
        .filter(|(_, progress)| is_moving(progress.status))
        .map(|(step, _)| format!("{} on {}", step.title, step.target))
        .collect()
}

#[component]
fn StopOrKill(run: Run, kill: bool) -> impl IntoView {
    let form = Form::new();
    let steps = Memo::new(move |_| run.view.with(moving));
    let text = if kill {
        "Running steps that allow it are ended at once and may be left half-done. Steps that must not be interrupted finish first. What was taken away only for the run is then given back."
    } else {
        "Running steps finish, except those that only watch, which end at once; then nothing more starts. What was taken away only for the run is given back, what else is done stays; the run keeps its locks until you retry, unwind or abandon it."
    };
    let left = if kill {
        "Left half-done, if it may be interrupted:"
    } else {
        "Still finishing:"
    };
    view! {
        <p>{text}</p>
        {move || {
            let steps = steps.get();
            (!steps.is_empty()).then(|| view! {
                <div class="left-behind">
                    <p class="hint">{left}</p>
                    <ul>{steps.into_iter().map(|s| view! { <li>{s}</li> }.into_any()).collect_view()}</ul>
                </div>
            }.into_any())
        }}
        <FormFailure form/>
        <div class="dialog-actions">
            <Button on_click=move |_| run.asking.set(None)>"Cancel"</Button>
            <Button
                look=if kill { Look::Danger } else { Look::Primary }
                busy=form.busy
                testid="run-confirm"
                on_click=move |_| give(run, form, if kill { RunCommand::Kill } else { RunCommand::Stop })
            >
                {if kill { "Kill now" } else { "Stop" }}
            </Button>
        </div>
    }.into_any()
}

#[component]
fn Unwind(run: Run) -> impl IntoView {
    let form = Form::new();
    let plan = load(move || {
        let api = run.app.api();
        async move { api.unwind_plan(run.id).await }
    });
    plan.view(move |plan: UnwindView| {
        let title = move |index: StepIndex| {
            run.view.with_untracked(|v| {
                let mut steps = v.plan.stages.iter().flat_map(|s| &s.steps);
                steps.find(|s| s.index == index).map(|s| (s.title.clone(), s.target.clone())).unwrap_or_default()
            })
        };
        let empty = plan.steps.is_empty();
        let rows = plan
            .steps
            .iter()
            .map(|step| {
                let (name, target) = title(step.index);
                view! {
                    <li class="unwind-step">
                        <span class="num quiet">{step_number(step.index)}</span>
                        <span class="stack">
                            <span class="strong">{step.undo.clone()}</span>
                            <span class="quiet">{format!("undoes: {name}")}</span>
                        </span>
                        <span class="mono quiet">{target}</span>
                    </li>
                }.into_any()
            })
            .collect_view();
        let stop = plan.stops_at.map(|index| {
            let (name, target) = title(index);
            callout(Tone::Warn, Icon::Warn, format!("Stops at step {}, {name} on {target}: it cannot be undone. Everything before it stays.", step_number(index)))
        });
        let hash = plan.sha256.clone();
        let outage = plan.outage.clone().map(|words| callout(Tone::Bad, Icon::Warn, words));
        let wanted = plan.confirm.clone();
        let typed = RwSignal::new(String::new());
        let field = wanted.clone().map(|name| view! {
            <TextField form name="confirm" label=format!("Type {name} to undo it") value=typed mono=true placeholder=name/>
        }.into_any());
        let unwind = move || {
            let confirm = wanted.clone().map(|_| typed.get_untracked().trim().to_owned());
            if wanted.is_some() && confirm != wanted {
                form.refuse("confirm", "Type the name as it is shown.");
                return;
            }
            give(run, form, RunCommand::Unwind { plan_sha256: hash.clone(), confirm });
        };
        view! {
            {outage}
            <p>"Steps are undone in reverse order, each observed before the next. What was already so before the run is left alone."</p>
            {if empty {
                view! { <p class="panel-empty">"Nothing was done that could be undone."</p> }.into_any()
            } else {
                view! { <ol class="unwind-list">{rows}</ol> }.into_any()
            }}
            {stop}
            {field}
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| run.asking.set(None)>"Cancel"</Button>
                <Button look=Look::Danger icon=Icon::Undo busy=form.busy testid="run-confirm"
                    on_click=move |_| unwind()>"Unwind"</Button>
            </div>
        }
        .into_any()
    })
}

#[component]
fn Abandon(run: Run) -> impl IntoView {
    let form = Form::new();
    let comment = RwSignal::new(String::new());
    let mut hosts: Vec<(HostId, String)> = Vec::new();
    run.view.with_untracked(|v| {
        for step in v.plan.stages.iter().flat_map(|s| &s.steps) {
            if let Some(id) = step
                .host
                .filter(|id| !hosts.iter().any(|(known, _)| known == id))
            {
                hosts.push((id, step.target.clone()));
            }
        }
    });
    let dead = RwSignal::new(Vec::<HostId>::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let comment = comment.get_untracked().trim().to_owned();
        if comment.is_empty() {
            form.refuse("comment", "Say why; it is kept in the audit.");
            return;
        }
        give(
            run,
            form,
            RunCommand::Abandon {
                comment,
                dead_hosts: dead.get_untracked(),
            },
        );
    };
    let ticks = hosts
        .into_iter()
        .map(|(id, name)| {
            view! {
                <label class="tick-row">
                    <input
                        type="checkbox"
                        data-testid=format!("dead-{name}")
                        on:change:target=move |event| {
                            let on = event.target().checked();
                            dead.update(|dead| {
                                dead.retain(|d| *d != id);
                                if on {
                                    dead.push(id);
                                }
                            });
                        }
                    />
                    <span class="strong">{name}</span>
                </label>
            }
            .into_any()
        })
        .collect_view();
    view! {
        <form class="form" novalidate on:submit=submit>
            <p>
                "What was taken away only for the run is given back; everything else stays as it is now, and the locks are
                freed. The panel refuses while a job of this run may still be alive on a host."
            </p>
            <TextArea form name="comment" label="Why" value=comment autofocus=true/>
            <details class="more">
                <summary>"A host is dead and cannot be asked"</summary>
                <p class="hint">"Tick a host only if you know that it is off: no job of this run can be alive there, and nothing is given back on it."</p>
                <div class="tick-list">{ticks}</div>
            </details>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| run.asking.set(None)>"Cancel"</Button>
                <Button look=Look::Danger submit=true busy=form.busy testid="run-confirm">"Abandon run"</Button>
            </div>
        </form>
    }.into_any()
}
