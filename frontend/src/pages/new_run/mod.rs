//! Starting a run: choose a workflow, fill in its form, read the plan, start.
//!
//! The address holds the workflow and may fill in inputs: `/runs/new?workflow=join&cluster=3`.

mod draft;
mod inputs;
pub(crate) mod plan;

use coxswain_wire::{Cluster, Host, NewRun, Permission, PlanView, WorkflowInfo};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::browser;
use crate::components::button::{Button, LinkButton, Look};
use crate::components::empty::Empty;
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::PageHead;
use crate::load::load;
use crate::paths;
use crate::state::{App, app};
use draft::Draft;

/// What the form offers to choose from.
#[derive(Clone)]
struct Stock {
    workflows: Vec<WorkflowInfo>,
    hosts: Vec<Host>,
    clusters: Vec<Cluster>,
}

/// The page.
#[component]
pub(crate) fn NewRunPage() -> impl IntoView {
    let app = app();
    app.at(vec![
        ("Runs".into(), Some(paths::RUNS.into())),
        ("New run".into(), None),
    ]);
    let query = use_query_map();
    let chosen = Memo::new(move |_| query.with(|q| q.get_str("workflow").map(str::to_owned)));
    let stock = load(move || {
        let api = app.api();
        async move {
            Ok(Stock {
                workflows: api.workflows().await?,
                hosts: api.hosts().await?,
                clusters: api.clusters().await?,
            })
        }
    });
    if !untrack(|| app.may(Permission::Operate)) {
        return view! {
            <Empty icon=Icon::Lock title="Runs are started by operators">
                <p>"Your role may look at runs, and an approver decides at their gates."</p>
                <LinkButton href=paths::RUNS>"Runs"</LinkButton>
            </Empty>
        }
        .into_any();
    }
    stock.view(move |stock| {
        let stock = StoredValue::new(stock);
        move || match chosen.get() {
            None => stock.with_value(choose),
            Some(name) => {
                match stock.with_value(|s| s.workflows.iter().find(|w| w.name == name).cloned()) {
                    Some(workflow) => view! { <Prepare workflow stock/> }.into_any(),
                    None => stock.with_value(choose),
                }
            }
        }
    })
}

/// The workflows as cards.
fn choose(stock: &Stock) -> AnyView {
    let cards = stock
        .workflows
        .iter()
        .map(|w| {
            // Owned: children are drawn later.
            let (title, summary, name) = (w.title.clone(), w.summary.clone(), w.name.clone());
            let href = paths::new_run(&w.name, None);
            let testid = format!("workflow-{}", w.name);
            view! {
                <a href=href class="workflow-card" data-row="" data-testid=testid>
                    <span class="workflow-title">{title}</span>
                    <span class="workflow-summary">{summary}</span>
                    <span class="workflow-name mono">{name}</span>
                </a>
            }
            .into_any()
        })
        .collect_view();
    view! {
        <PageHead title="New run" intro="Choose a procedure. You see its exact plan before anything starts."/>
        <div class="workflow-grid">{cards}</div>
    }
    .into_any()
}

/// The form and, once asked for, the plan.
#[component]
fn Prepare(workflow: WorkflowInfo, stock: StoredValue<Stock>) -> impl IntoView {
    let app = app();
    let plan = RwSignal::new(None::<PlanView>);
    let form = Form::new();
    let query = use_query_map();
    let draft = untrack(|| query.with(|q| Draft::new(&workflow.fields, |name| q.get(name))));
    let title = workflow.title.clone();
    app.at(vec![
        ("Runs".into(), Some(paths::RUNS.into())),
        ("New run".into(), Some(paths::NEW_RUN.into())),
        (title.clone(), None),
    ]);
    let info = StoredValue::new(workflow);
    let show_plan = move |event: SubmitEvent| {
        event.prevent_default();
        let body = wish(info, draft, None);
        let api = app.api();
        form.submit(
            async move { api.plan(&body).await },
            move |view: PlanView| {
                plan.set(Some(view));
                browser::window().scroll_to_with_x_and_y(0.0, 0.0);
            },
        );
    };
    let on_plan = Memo::new(move |_| plan.with(Option::is_some));
    view! {
        <PageHead title=title intro=info.with_value(|w| w.summary.clone())/>
        <ol class="stepper" aria-label="Starting a run">
            <li class="stepper-done"><a href=paths::NEW_RUN>"Procedure"</a></li>
            <li class:stepper-now=move || !on_plan.get() class:stepper-done=move || on_plan.get()>"Inputs"</li>
            <li class:stepper-now=move || on_plan.get()>"Plan"</li>
        </ol>
        // Kept while the plan is read, so that going back loses nothing.
        <div class="prepare" hidden=move || on_plan.get()>
            <form class="form" novalidate on:submit=show_plan>
                <section class="panel"><div class="panel-body">{inputs::draw(form, info, draft, stock)}</div></section>
                <FormFailure form/>
                <div class="form-actions">
                    <Button look=Look::Primary submit=true busy=form.busy testid="plan-show">"Show plan"</Button>
                    <LinkButton href=paths::NEW_RUN>"Back"</LinkButton>
                </div>
            </form>
            {help(info)}
        </div>
        {move || plan.get().map(|view| read_plan(app, info, draft, plan, form, view))}
    }.into_any()
}

fn wish(info: StoredValue<WorkflowInfo>, draft: Draft, hash: Option<String>) -> NewRun {
    info.with_value(|w| NewRun {
        workflow: w.name.clone(),
        inputs: draft.inputs(&w.fields),
        plan_sha256: hash,
    })
}

fn help(info: StoredValue<WorkflowInfo>) -> AnyView {
    let paragraphs = info.with_value(|w| {
        w.help
            .iter()
            .map(|p| view! { <p>{p.clone()}</p> }.into_any())
            .collect_view()
    });
    view! {
        <aside class="help-panel" aria-label="About this procedure">
            <h2><Glyph icon=Icon::Info/>"About this procedure"</h2>
            {paragraphs}
        </aside>
    }
    .into_any()
}

/// The plan with the button that starts exactly it.
fn read_plan(
    app: App,
    info: StoredValue<WorkflowInfo>,
    draft: Draft,
    plan: RwSignal<Option<PlanView>>,
    form: Form,
    view: PlanView,
) -> AnyView {
    let hash = view.sha256.clone();
    let navigate = use_navigate();
    let start = move |_| {
        let body = wish(info, draft, Some(hash.clone()));
        let api = app.api();
        let navigate = navigate.clone();
        form.submit(async move { api.start_run(&body).await }, move |run| {
            navigate(&paths::run(run.id), NavigateOptions::default());
        });
    };
    let gates = view.stages.iter().any(|s| s.gate.is_some());
    let note = if gates {
        "Starting looks at the hosts, then waits for approval. Nothing is changed before that."
    } else {
        "This plan has no gate: it starts working at once."
    };
    view! {
        {plan::draw(&view, None, &|_| view! { <span class="quiet">"waits for approval"</span> }.into_any())}
        <div class="plan-foot">
            <p class="plan-foot-note"><Glyph icon=Icon::Info/><span>{note}</span></p>
            <FormFailure form/>
            <div class="form-actions">
                <Button on_click=move |_| {
                    form.failure.set(None);
                    plan.set(None);
                }>"Change inputs"</Button>
                <Button look=Look::Primary icon=Icon::Play busy=form.busy testid="run-start" on_click=start>"Start run"</Button>
            </div>
        </div>
    }
    .into_any()
}
