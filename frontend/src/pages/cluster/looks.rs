//! Looks at the cluster that one click starts: runs without a gate, which change nothing.

use coxswain_wire::{ClusterId, FieldValue, Host, NewRun, RunSummary};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::Seen;
use super::follow::Follow;
use crate::api::{Answer, Api};
use crate::components::button::{Button, Look};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::Icon;
use crate::components::panel::Panel;
use crate::paths;
use crate::state::app;

/// The workflow that looks.
const WORKFLOW: &str = "command";

/// What can be looked at: the input `what`, and words.
const LOOKS: [(&str, &str); 5] = [
    ("nodes", "Nodes"),
    ("pods", "Pods"),
    ("snapshots", "Snapshots"),
    ("log", "Log of k3s"),
    ("certificates", "Certificate dates"),
];

#[component]
pub(super) fn Looks(id: ClusterId, seen: Seen, hosts: Signal<Vec<Host>>) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let navigate = StoredValue::new_local(use_navigate());
    let look = move |what: &'static str| {
        let api = app.api();
        form.submit(
            async move { start(&api, id, what, Vec::new()).await },
            move |run: RunSummary| {
                navigate.with_value(|go| go(&paths::run(run.id), NavigateOptions::default()));
            },
        );
    };
    let buttons = LOOKS
        .map(|(what, words)| {
            view! {
                <Button look=Look::Plain icon=Icon::Search busy=form.busy testid=format!("look-{what}")
                    on_click=move |_| look(what)>{words}</Button>
            }
            .into_any()
        })
        .into_iter()
        .collect_view();
    view! {
        <Panel title="Look now" hint="read at once, nothing is changed; the output stands in the run">
            <div class="look-list">{buttons}</div>
            <FormFailure form/>
            <Follow id seen hosts/>
        </Panel>
    }
    .into_any()
}

/// Plans and starts: without a gate there is nothing to read first.
pub(super) async fn start(
    api: &Api,
    cluster: ClusterId,
    what: &'static str,
    more: Vec<(&'static str, FieldValue)>,
) -> Answer<RunSummary> {
    let asked = [
        ("cluster", FieldValue::Id(cluster.0)),
        ("what", FieldValue::Text(what.to_owned())),
    ];
    let inputs = asked.into_iter().chain(more);
    let mut wish = NewRun {
        workflow: WORKFLOW.to_owned(),
        inputs: inputs
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        plan_sha256: None,
    };
    let plan = api.plan(&wish).await?;
    wish.plan_sha256 = Some(plan.sha256);
    api.start_run(&wish).await
}
