//! What can be done with a cluster: its workflows, and taking it out of the inventory.

use coxswain_wire::{ClusterId, ClusterPhase, Host, Permission, WorkflowInfo};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::Seen;
use super::looks::Looks;
use crate::components::button::{Button, Look};
use crate::components::dialog::Dialog;
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::panel::Panel;
use crate::components::when::when;
use crate::load::load;
use crate::paths;
use crate::state::app;

#[component]
pub(super) fn Actions(id: ClusterId, seen: Seen, hosts: Signal<Vec<Host>>) -> impl IntoView {
    let app = app();
    let workflows = load(move || {
        let api = app.api();
        async move { api.workflows().await }
    });
    let planned = Memo::new(move |_| {
        seen.with(|c| c.as_ref().is_some_and(|c| c.phase == ClusterPhase::Planned))
    });
    let deleting = RwSignal::new(false);
    let body = workflows.view(move |workflows| {
        // A cluster that runs is bootstrapped last of all.
        let (first, rest): (Vec<_>, Vec<_>) = workflows
            .into_iter()
            .partition(|w| (w.name == "bootstrap") == untrack(|| planned.get()));
        first
            .into_iter()
            .chain(rest)
            .map(|w| action(id, w, planned))
            .collect_view()
    });
    view! {
        <aside class="cluster-side" aria-label="Procedures">
            {when(move || app.may(Permission::Operate) && !planned.get(), move || view! { <Looks id seen hosts/> }.into_any())}
            <Panel title="Procedures" flush=true>
                {when(move || !app.may(Permission::Operate), || view! {
                    <p class="panel-empty">"An operator may start procedures on this cluster."</p>
                }.into_any())}
                <div class="action-list" class:action-list-off=move || !app.may(Permission::Operate)>{body}</div>
            </Panel>
            {when(move || app.may(Permission::Operate), move || view! { <div class="side-foot">
                    <Button look=Look::Ghost icon=Icon::Trash testid="cluster-delete" on_click=move |_| deleting.set(true)>
                        "Remove from the inventory"
                    </Button>
                </div> }.into_any())}
            <Remove id seen open=deleting/>
        </aside>
    }.into_any()
}

/// A workflow; the one that fits the phase is marked.
fn action(id: ClusterId, workflow: WorkflowInfo, planned: Memo<bool>) -> AnyView {
    let bootstrap = workflow.name == "bootstrap";
    let href = paths::new_run(&workflow.name, Some(id));
    let next = move || bootstrap && planned.get();
    view! {
        <a
            href=href
            class=move || if next() { "action action-next" } else { "action" }
            data-testid=format!("cluster-action-{}", workflow.name)
        >
            <span class="action-text">
                <span class="action-title">{workflow.title}</span>
                <span class="action-summary">{workflow.summary}</span>
            </span>
            <Glyph icon=Icon::Arrow/>
        </a>
    }
    .into_any()
}

#[component]
fn Remove(id: ClusterId, seen: Seen, open: RwSignal<bool>) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let navigate = use_navigate();
    let remove = move |_| {
        let api = app.api();
        let navigate = navigate.clone();
        form.submit(async move { api.delete_cluster(id).await }, move |()| {
            open.set(false);
            app.toast("The cluster is out of the inventory.");
            navigate(paths::CLUSTERS, NavigateOptions::default());
        });
    };
    let remove = StoredValue::new_local(remove);
    view! {
        <Dialog open title="Remove this cluster from the inventory?">
            <p>
                "The panel forgets "<strong>{move || seen.with(|c| c.as_ref().map(|c| c.name.clone()))}</strong>
                ". Nothing changes on its hosts: k3s stays installed and goes on running. To take k3s off, run Uninstall first."
            </p>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| open.set(false)>"Cancel"</Button>
                <Button look=Look::Danger busy=form.busy testid="dialog-confirm"
                    on_click=move |event| remove.with_value(|remove| remove(event))>"Remove"</Button>
            </div>
        </Dialog>
    }.into_any()
}
