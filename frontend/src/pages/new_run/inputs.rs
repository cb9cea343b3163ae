//! A workflow's fields as inputs. Knows kinds of fields, no workflow.

use coxswain_wire::{ClusterId, Field, FieldKind, Host, Snapshot, WorkflowInfo};
use leptos::prelude::*;

use super::Stock;
use super::draft::{Cell, Draft};
use crate::components::badge::Tag;
use crate::components::field::{Entry, SelectField, Switch, TextArea, TextField, framed};
use crate::components::form::Form;
use crate::components::icon::{Glyph, Icon};
use crate::format;
use crate::load::load;
use crate::pages::hosts::test_look;
use crate::state::app;

/// All fields of a workflow, those with a condition only while it holds.
pub(super) fn draw(
    form: Form,
    info: StoredValue<WorkflowInfo>,
    draft: Draft,
    stock: StoredValue<Stock>,
) -> AnyView {
    info.with_value(|w| w.fields.clone())
        .into_iter()
        .map(|field| {
            let condition = field.only_if.clone();
            let shown = Memo::new(move |_| draft.holds(condition.as_ref()));
            let field = StoredValue::new(field);
            move || {
                shown
                    .get()
                    .then(|| field.with_value(|field| input(form, field, draft, stock)))
            }
        })
        .collect_view()
        .into_any()
}

fn input(form: Form, field: &Field, draft: Draft, stock: StoredValue<Stock>) -> AnyView {
    let Some(cell) = draft.cell(&field.name) else {
        return ().into_any();
    };
    let (name, label, help) = (field.name.clone(), field.label.clone(), field.help.clone());
    let optional = !field.required;
    match (&field.kind, cell) {
        (FieldKind::Bool, Cell::Switch(value)) => view! { <Switch name label value help/> }.into_any(),
        (FieldKind::Hosts, Cell::Ids(_)) => hosts(form, field, cell, stock),
        (FieldKind::Text { placeholder }, Cell::Text(value)) => {
            view! { <TextField form name label value help optional placeholder=placeholder.clone() mono=true/> }.into_any()
        }
        (FieldKind::TextList { placeholder }, Cell::Text(value)) => {
            let help = if help.is_empty() { "One a line.".to_owned() } else { format!("{help} One a line.") };
            view! { <TextArea form name label value help optional placeholder=placeholder.clone() mono=true/> }.into_any()
        }
        (FieldKind::Choice { choices }, Cell::Text(value)) => {
            let choices: Vec<Entry> = choices.iter().map(|c| (c.value.clone(), c.label.clone(), true)).collect();
            select(form, field, value, optional, choices)
        }
        (FieldKind::Cluster, Cell::Text(value)) => {
            let entries = stock.with_value(|s| s.clusters.iter().map(|c| (c.id.to_string(), c.name.clone(), true)).collect());
            select(form, field, value, true, entries)
        }
        (FieldKind::Host, Cell::Text(value)) => {
            let entries = stock.with_value(|s| s.hosts.iter().map(|h| host_entry(h, s)).collect());
            select(form, field, value, true, entries)
        }
        (FieldKind::Snapshot, Cell::Text(value)) => snapshots(form, field, value, draft),
        // A draft gives each kind its cell.
        (
            FieldKind::Bool
            | FieldKind::Hosts
            | FieldKind::Text { .. }
            | FieldKind::TextList { .. }
            | FieldKind::Choice { .. }
            | FieldKind::Cluster
            | FieldKind::Host
            | FieldKind::Snapshot,
            Cell::Text(_) | Cell::Switch(_) | Cell::Ids(_),
        ) => ().into_any(),
    }
}

fn select(
    form: Form,
    field: &Field,
    value: RwSignal<String>,
    may_be_empty: bool,
    choices: Vec<Entry>,
) -> AnyView {
    let mut entries: Vec<Entry> = Vec::new();
    let known = untrack(|| choices.iter().any(|(key, _, _)| *key == value.get()));
    if may_be_empty || !known {
        let label = if field.required { "Choose" } else { "None" };
        entries.push((String::new(), label.into(), true));
    }
    entries.extend(choices);
    view! {
        <SelectField form
            name=field.name.clone()
            label=field.label.clone()
            help=field.help.clone()
            optional=!field.required
            value=value
            entries=Signal::stored(entries)
        />
    }
    .into_any()
}

/// The snapshots of the cluster that is chosen, newest first.
fn snapshots(form: Form, field: &Field, value: RwSignal<String>, draft: Draft) -> AnyView {
    let app = app();
    let cluster = draft.cell("cluster");
    let taken = load(move || {
        let api = app.api();
        let cluster = match cluster {
            Some(Cell::Text(text)) => text.get().parse().ok().map(ClusterId),
            Some(Cell::Switch(_) | Cell::Ids(_)) | None => None,
        };
        async move {
            match cluster {
                Some(id) => api.snapshots(id).await.map(Some),
                None => Ok(None),
            }
        }
    });
    let field = StoredValue::new(field.clone());
    let none = move |text: &'static str| {
        let (name, label) = field.with_value(|f| (f.name.clone(), f.label.clone()));
        framed(form, &name, label, String::new(), false, move |ids| {
            view! { <p class="panel-empty" id=ids.input>{text}</p> }.into_any()
        })
    };
    taken.view(move |taken| match taken {
        None => none("Choose a cluster first."),
        Some(taken) if taken.is_empty() => none(
            "The panel has taken no snapshot of this cluster. Choose a file on a server instead.",
        ),
        Some(taken) => {
            let choices: Vec<Entry> = taken.iter().map(snapshot_entry).collect();
            // One of another cluster is not sent unseen.
            if untrack(|| choices.iter().all(|(name, _, _)| *name != value.get())) {
                value.set(String::new());
            }
            field.with_value(|field| select(form, field, value, true, choices))
        }
    })
}

fn snapshot_entry(snapshot: &Snapshot) -> Entry {
    let name = snapshot.name().to_owned();
    let label = format!(
        "{} on {}, {} ({name})",
        format::utc(snapshot.taken_at),
        snapshot.server,
        format::bytes(snapshot.size)
    );
    (name, label, true)
}

fn where_is(host: &Host, stock: &Stock) -> Option<String> {
    let id = host.cluster?;
    Some(
        stock
            .clusters
            .iter()
            .find(|c| c.id == id)
            .map_or_else(|| format!("cluster {id}"), |c| c.name.clone()),
    )
}

fn host_entry(host: &Host, stock: &Stock) -> Entry {
    let place = where_is(host, stock)
        .map(|name| format!(" (in {name})"))
        .unwrap_or_default();
    (host.id.to_string(), format!("{}{place}", host.name), true)
}

/// Several hosts as a list to tick.
fn hosts(form: Form, field: &Field, cell: Cell, stock: StoredValue<Stock>) -> AnyView {
    let Cell::Ids(chosen) = cell else {
        return ().into_any();
    };
    let error = form.field(&field.name);
    let note = format!("field-{}-note", field.name);
    let note_id = note.clone();
    let name = field.name.clone();
    let rows = stock.with_value(|stock| {
        stock
            .hosts
            .iter()
            .map(|host| {
                let id = host.id.0;
                let look = test_look(host);
                let place = where_is(host, stock);
                view! {
                    <label class="tick-row">
                        <input
                            type="checkbox"
                            data-testid=format!("choice-{name}-{}", host.name)
                            prop:checked=move || chosen.with(|c| c.contains(&id))
                            on:change:target=move |event| {
                                let on = event.target().checked();
                                chosen.update(|c| {
                                    c.retain(|known| *known != id);
                                    if on {
                                        c.push(id);
                                    }
                                });
                            }
                        />
                        <span class="strong">{host.name.clone()}</span>
                        <span class="quiet mono">{host.node_address.clone()}</span>
                        {place.map(|name| view! { <Tag text=name/> }.into_any())}
                        <span class=format!("toned tick-state tone-{}", look.1.class())><Glyph icon=look.2/>{look.0}</span>
                    </label>
                }.into_any()
            })
            .collect_view()
    });
    let help = field.help.clone();
    let none = stock.with_value(|s| s.hosts.is_empty());
    view! {
        <fieldset class="field fieldset-plain" aria-describedby=note data-testid=format!("field-{}", field.name)>
            <legend class="field-label">
                {field.label.clone()}
                {(!field.required).then(|| view! { <span class="field-optional">"optional"</span> }.into_any())}
            </legend>
            <div class="tick-list">
                {rows}
                {none.then(|| view! { <p class="panel-empty">"No host is enrolled yet."</p> }.into_any())}
            </div>
            <div class="field-note" id=note_id>
                {move || match error.get() {
                    Some(error) => view! { <span class="field-error" role="alert"><Glyph icon=Icon::Warn/><span>{error}</span></span> }.into_any(),
                    None => help.clone().into_any(),
                }}
            </div>
        </fieldset>
    }
    .into_any()
}
