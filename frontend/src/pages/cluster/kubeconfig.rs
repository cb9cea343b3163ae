//! Downloading kubeconfigs: of this cluster, of several, or merged into one that is pasted.

use std::collections::BTreeSet;

use coxswain_wire::{Cluster, ClusterId, ClusterPhase, KubeconfigRequest};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::Seen;
use crate::browser;
use crate::components::button::{Button, Look};
use crate::components::callout::callout;
use crate::components::dialog::Dialog;
use crate::components::field::{Segments, TextArea};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::when::when;
use crate::state::app;
use crate::words::Tone;

/// The dialog.
#[component]
pub(super) fn Download(id: ClusterId, seen: Seen, open: RwSignal<bool>) -> impl IntoView {
    view! {
        <Dialog open title="Download a kubeconfig" testid="kubeconfig-dialog">
            <Content id seen open/>
        </Dialog>
    }
    .into_any()
}

#[component]
fn Content(id: ClusterId, seen: Seen, open: RwSignal<bool>) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let mode = RwSignal::new("one".to_owned());
    let pasted = RwSignal::new(String::new());
    let chosen = RwSignal::new(BTreeSet::from([id.0]));
    // What the file says of itself in its first lines, once it is there.
    let notes = RwSignal::new(Vec::<String>::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        notes.set(Vec::new());
        let one = mode.with_untracked(|m| m == "one");
        let into = mode.with_untracked(|m| m == "into");
        let clusters = if one {
            vec![id]
        } else {
            chosen.with_untracked(|c| c.iter().map(|n| ClusterId(*n)).collect())
        };
        let body = KubeconfigRequest {
            clusters,
            into: into.then(|| pasted.get_untracked()),
        };
        let name = seen.with_untracked(|c| c.as_ref().map(|c| c.name.clone()));
        let file = match name {
            Some(name) if one => format!("{name}.yaml"),
            Some(_) | None => "kubeconfig.yaml".to_owned(),
        };
        let api = app.api();
        form.submit(async move { api.kubeconfig(&body).await }, move |text| {
            if !browser::save(&file, "application/yaml", &text) {
                app.toast_bad("This browser does not save files.");
                return;
            }
            pasted.set(String::new());
            notes.set(first_comments(&text));
            app.toast(format!("{file} was saved by the browser."));
        });
    };
    view! {
        <form class="form" novalidate on:submit=submit>
            {callout(Tone::Warn, Icon::Key, "Whoever has this file is admin of the cluster, without any gate of this panel, until the certificate in it ends. Each download is noted in the audit with your name.")}
            <Segments label="What to download" name="kubeconfig-mode" value=mode
                entries=vec![("one", "This cluster"), ("several", "Several clusters"), ("into", "Into a file of mine")]/>
            {when(move || mode.with(|m| m != "one"), move || clusters(form, id, chosen))}
            {when(move || mode.with(|m| m == "into"), move || view! {
                <TextArea form name="into" label="Your kubeconfig" value=pasted rows=8 mono=true
                    help="Everything in it stays, except comments. Names that are taken get a number. The panel does not store it."/>
            }.into_any())}
            <FormFailure form/>
            <div role="status" data-testid="kubeconfig-notes">
                {move || notes.get().into_iter().map(|note| callout(Tone::Good, Icon::Check, note)).collect_view()}
            </div>
            <div class="dialog-actions">
                <Button on_click=move |_| open.set(false)>"Close"</Button>
                <Button look=Look::Primary submit=true icon=Icon::Download busy=form.busy testid="kubeconfig-download">"Download"</Button>
            </div>
        </form>
    }
    .into_any()
}

/// Clusters that run, to tick.
fn clusters(form: Form, own: ClusterId, chosen: RwSignal<BTreeSet<i64>>) -> AnyView {
    let error = form.field("clusters");
    let all: Vec<Cluster> = untrack(|| app().clusters())
        .into_iter()
        .filter(|c| c.id == own || c.phase == ClusterPhase::Running)
        .collect();
    let rows = all
        .into_iter()
        .map(|cluster| {
            let id = cluster.id.0;
            view! {
                <label class="tick-row">
                    <input
                        type="checkbox"
                        data-testid=format!("kubeconfig-cluster-{}", cluster.name)
                        prop:checked=move || chosen.with(|c| c.contains(&id))
                        on:change:target=move |event| {
                            let on = event.target().checked();
                            chosen.update(|c| if on { c.insert(id); } else { c.remove(&id); });
                        }
                    />
                    <span class="strong">{cluster.name}</span>
                    <span class="quiet mono">{cluster.endpoint}</span>
                </label>
            }
            .into_any()
        })
        .collect_view();
    view! {
        <fieldset class="field fieldset-plain" aria-describedby="field-clusters-note">
            <legend class="field-label">"Clusters"</legend>
            <div class="tick-list">{rows}</div>
            <div class="field-note" id="field-clusters-note">
                {move || error.get().map(|error| view! {
                    <span class="field-error" role="alert"><Glyph icon=Icon::Warn/><span>{error}</span></span>
                }.into_any())}
            </div>
        </fieldset>
    }
    .into_any()
}

fn first_comments(text: &str) -> Vec<String> {
    text.lines()
        .map_while(|line| line.strip_prefix("# "))
        .map(str::to_owned)
        .collect()
}
