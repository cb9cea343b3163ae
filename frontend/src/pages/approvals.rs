//! Runs that wait for people.

use coxswain_wire::{Permission, RunStatus, RunSummary};
use leptos::prelude::*;

use crate::components::button::{LinkButton, Look};
use crate::components::empty::Empty;
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::PageHead;
use crate::components::time::Ago;
use crate::load::Skeleton;
use crate::paths;
use crate::state::{App, app};

/// The approvals page.
#[component]
pub(crate) fn Approvals() -> impl IntoView {
    let app = app();
    app.at(vec![("Approvals".into(), None)]);
    let waiting = Memo::new(move |_| {
        let runs = app.overview.with(|o| o.as_ref().map(|o| o.runs.clone()));
        runs.map(|runs| {
            runs.into_iter()
                .filter(|r| r.status == RunStatus::Waiting)
                .collect::<Vec<_>>()
        })
    });
    let body = move || {
        match waiting.get() {
        None => view! { <Skeleton/> }.into_any(),
        Some(runs) if runs.is_empty() => view! {
            <Empty icon=Icon::Approvals title="Nothing waits for you">
                <p>"A run that reaches a gate stops and appears here, with the evidence you need to decide."</p>
            </Empty>
        }
        .into_any(),
        Some(runs) => view! {
            <ul class="approval-list">{runs.into_iter().map(|run| row(app, run)).collect_view()}</ul>
        }
        .into_any(),
    }
    };
    view! {
        <PageHead title="Approvals" intro="Runs that stand at a gate. Nothing behind it changes until somebody decides."/>
        {body}
    }.into_any()
}

fn row(app: App, run: RunSummary) -> AnyView {
    let mine = run.created_by == app.user_name();
    let cluster = run.cluster.and_then(|id| app.cluster_name(id));
    let action = if app.may(Permission::Approve) {
        "Review"
    } else {
        "Look"
    };
    view! {
        <li class="approval" data-testid=format!("approval-{}", run.id)>
            <span class="approval-icon tone-warn"><Glyph icon=Icon::Approvals/></span>
            <div class="approval-text">
                <h2><a href=paths::run(run.id) data-row="" class="approval-link">{run.title.clone()}</a></h2>
                <p>
                    <span class="num">{format!("#{}", run.id)}</span>
                    {cluster.map(|name| view! { <span class="dot-before">{name}</span> }.into_any())}
                    <span class="dot-before">"started by "{run.created_by.clone()}{mine.then_some(" (you)")}</span>
                    <span class="dot-before"><Ago at=Signal::stored(run.created_at)/></span>
                </p>
            </div>
            <LinkButton look=Look::Primary href=paths::run(run.id)>{action}</LinkButton>
        </li>
    }
    .into_any()
}
