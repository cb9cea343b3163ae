//! One run: where it stands, what people must decide, its steps and its live output.
//!
//! The address is the state: `/runs/42?step=7#L120` shows line 120 of step 7, `?tab=plan` the plan.

mod announce;
mod ask;
mod collecting;
mod drawn;
mod earlier;
mod gate;
mod gate_state;
mod head;
mod history;
mod late;
mod log_row;
mod log_view;
mod notice;
mod report;
mod steps;
mod taken;
mod timeline;
mod viewport;

use std::rc::Rc;

use coxswain_wire::{
    CommandKind, OUTPUT_EVENT, OutputChunk, OutputTail, Permission, RUN_EVENT, RunCommand, RunId,
    RunView, StepIndex,
};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_query_map};

use super::new_run::plan;
use crate::api;
use crate::live::{Receiver, Stream};
use crate::load::load;
use crate::log::Log;
use crate::paths;
use crate::state::{App, app};

/// What the parts of the page work on.
#[derive(Clone, Copy)]
struct Run {
    app: App,
    id: RunId,
    /// Latest view; older ones never replace it.
    view: RwSignal<RunView>,
    log: StoredValue<Log>,
    /// Dropped, and thereby closed, with the page.
    stream: StoredValue<Option<Stream>, LocalStorage>,
    /// Rises once a frame while output comes.
    log_turn: RwSignal<u64>,
    /// The step whose output is shown; none: all.
    step: Memo<Option<StepIndex>>,
    /// The command a dialog asks about.
    asking: RwSignal<Option<CommandKind>>,
}

impl Run {
    /// Takes a view unless a newer one is there.
    fn take(self, view: RunView) {
        self.view.try_update(|now| {
            if view.seq >= now.seq {
                *now = view;
            }
        });
    }

    /// Whether a command makes sense now and the signed-in user has the right to it.
    fn offers(self, kind: CommandKind) -> bool {
        let may = match kind {
            CommandKind::Approve | CommandKind::Reject => self.app.may(Permission::Approve),
            CommandKind::Refresh => {
                self.app.may(Permission::Approve) || self.app.may(Permission::Operate)
            }
            CommandKind::Pause
            | CommandKind::Resume
            | CommandKind::Stop
            | CommandKind::Kill
            | CommandKind::Retry
            | CommandKind::Unwind
            | CommandKind::Abandon => self.app.may(Permission::Operate),
        };
        may && self.view.with(|v| v.commands.contains(&kind))
    }

    /// Gives a command that needs no words; what is wrong comes as a toast.
    fn command(self, command: RunCommand) {
        let api = self.app.api();
        spawn_local(async move {
            match api.command(self.id, &command).await {
                Ok(view) => self.take(view),
                Err(failure) => self.app.toast_bad(failure.message),
            }
        });
    }
}

/// The run's page.
#[component]
pub(crate) fn RunPage(id: RunId) -> impl IntoView {
    let app = app();
    app.at(vec![
        ("Runs".into(), Some(paths::RUNS.into())),
        (format!("#{id}"), None),
    ]);
    let (query, hash) = (use_query_map(), use_location().hash);
    let first = load(move || {
        let api = app.api();
        let step = query.with_untracked(|q| q.get_str("step").and_then(paths::step_of));
        let line = hash
            .with_untracked(|h| paths::lines_of(h))
            .map(|(line, _)| line);
        async move {
            let view = api.run(id).await?;
            // After the view: what the run has printed until then is in it or comes over the stream.
            Ok((view, api.tail(id, step, line).await?))
        }
    });
    first.view(move |(view, tail)| page(app, id, view, tail))
}

fn page(app: App, id: RunId, view: RunView, tail: OutputTail) -> AnyView {
    let query = use_query_map();
    let run = Run {
        app,
        id,
        view: RwSignal::new(view),
        log: StoredValue::new(Log::from(tail)),
        stream: StoredValue::new_local(None),
        log_turn: RwSignal::new(0),
        step: Memo::new(move |_| query.with(|q| q.get_str("step").and_then(paths::step_of))),
        asking: RwSignal::new(None),
    };
    run.stream.set_value(Some(follow(run)));
    let title = run.view.with_untracked(|v| v.summary.title.clone());
    app.at(vec![
        ("Runs".into(), Some(paths::RUNS.into())),
        (format!("#{id} {title}"), None),
    ]);
    let tab = Memo::new(move |_| {
        query
            .with(|q| q.get("tab"))
            .unwrap_or_else(|| "progress".into())
    });
    view! {
        <announce::Announcer run/>
        <head::Head run/>
        <notice::NoticePanel run/>
        <collecting::Collecting run/>
        <taken::Taken run/>
        <gate::Gate run/>
        <Tabs run tab/>
        {move || match tab.get().as_str() {
            "plan" => {
                let step = run.step.get_untracked();
                let gate = move |stage| gate_state::gate_state(run, stage);
                run.view.with_untracked(|v| plan::draw(&v.plan, step, &gate))
            }
            "history" => view! { <history::History run/> }.into_any(),
            "timeline" => view! { <timeline::Timeline run/> }.into_any(),
            _ => view! {
                <report::Reports run/>
                <late::Late run/>
                <div class="run-split">
                    <steps::Steps run/>
                    <log_view::LogView run/>
                </div>
            }
            .into_any(),
        }}
        <ask::Ask run/>
    }
    .into_any()
}

/// Opens the run's stream, with the output that comes after what is here.
fn follow(run: Run) -> Stream {
    let scheduled = StoredValue::new(false);
    let on_run = move |data: &str| {
        // What cannot be read belongs to another version; the next load of the page mends it.
        if let Ok(view) = serde_json::from_str::<RunView>(data) {
            run.take(view);
        }
    };
    let on_output = move |data: &str| {
        let Ok(chunk) = serde_json::from_str::<OutputChunk>(data) else {
            return;
        };
        let new = run.log.try_update_value(|log| log.push(chunk)) == Some(true);
        // One redraw a frame, however fast output comes.
        if new && scheduled.try_get_value() == Some(false) {
            scheduled.set_value(true);
            request_animation_frame(move || {
                scheduled.try_update_value(|s| *s = false);
                run.log_turn.try_update(|n| *n += 1);
            });
        }
    };
    let receivers: Vec<Receiver> = vec![
        (RUN_EVENT, Rc::new(on_run)),
        (OUTPUT_EVENT, Rc::new(on_output)),
    ];
    let after = run.log.with_value(Log::last_chunk);
    Stream::open(run.app, api::run_stream_url(run.id, after), receivers)
}

/// The four ways to look at a run.
#[component]
fn Tabs(run: Run, tab: Memo<String>) -> impl IntoView {
    let navigate = use_navigate();
    let go = StoredValue::new_local(move |key: &str| {
        let path = match key {
            "progress" => paths::run(run.id),
            key => format!("{}?tab={key}", paths::run(run.id)),
        };
        navigate(
            &path,
            NavigateOptions {
                scroll: false,
                replace: true,
                ..NavigateOptions::default()
            },
        );
    });
    let entries = [
        ("progress", "Progress"),
        ("timeline", "Timeline"),
        ("plan", "Plan"),
        ("history", "History"),
    ];
    let buttons = entries
        .map(|(key, name)| {
            let here = move || tab.with(|t| t == key);
            view! {
                <button
                    class="tab"
                    class:tab-here=here
                    type="button"
                    aria-current=move || here().then_some("page")
                    data-testid=format!("tab-{key}")
                    on:click=move |_| go.with_value(|go| go(key))
                >
                    {name}
                </button>
            }
            .into_any()
        })
        .collect_view();
    view! { <nav class="tabs" aria-label="Views of this run">{buttons}</nav> }.into_any()
}
