//! Following the log of k3s: a run without a gate that shows what comes, until its time is over or it is stopped.

use coxswain_wire::{ClusterId, FieldValue, Host, MemberRole, RunSummary};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use super::looks::start;
use super::{Seen, host_name};
use crate::components::button::{Button, Look};
use crate::components::field::{Entry, SelectField};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::Icon;
use crate::paths;
use crate::state::app;

/// Lines to begin with, as the input `lines`.
const LINES: [&str; 4] = ["20", "100", "500", "2000"];
/// For how long, as the input `follow_s` and in words.
const TIMES: [(&str, &str); 4] = [
    ("60", "1 minute"),
    ("180", "3 minutes"),
    ("300", "5 minutes"),
    ("600", "10 minutes"),
];

/// Where, from which line, for how long; each has a default, so one click is enough.
#[component]
pub(super) fn Follow(id: ClusterId, seen: Seen, hosts: Signal<Vec<Host>>) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let navigate = StoredValue::new_local(use_navigate());
    let host = RwSignal::new(String::new());
    let lines = RwSignal::new("100".to_owned());
    let time = RwSignal::new("300".to_owned());
    let nodes = Signal::derive(move || {
        let members = seen.with(|c| c.as_ref().map_or_else(Vec::new, |c| c.members.clone()));
        let all: Entry = (String::new(), "All nodes, side by side".to_owned(), true);
        let with_k3s = members
            .into_iter()
            .filter(|member| match member.role {
                MemberRole::Server | MemberRole::Agent => true,
                MemberRole::LoadBalancer => false,
            })
            .map(|member| {
                let name = hosts.with(|hosts| host_name(hosts, member.host));
                (member.host.to_string(), name, true)
            });
        std::iter::once(all).chain(with_k3s).collect::<Vec<Entry>>()
    });
    let follow = move |event: SubmitEvent| {
        event.prevent_default();
        let text = |value: RwSignal<String>| FieldValue::Text(value.get_untracked());
        let mut more = vec![("lines", text(lines)), ("follow_s", text(time))];
        if let Ok(host) = host.with_untracked(|h| h.parse()) {
            more.push(("hosts", FieldValue::Ids(vec![host])));
        }
        let api = app.api();
        form.submit(
            async move { start(&api, id, "log", more).await },
            move |run: RunSummary| {
                navigate.with_value(|go| go(&paths::run(run.id), NavigateOptions::default()));
            },
        );
    };
    let lines_of = LINES.map(|n| (n.to_owned(), format!("Last {n}"), true));
    let times = TIMES.map(|(value, words)| (value.to_owned(), words.to_owned(), true));
    view! {
        <form class="form look-follow" novalidate on:submit=follow aria-label="Follow the log of k3s">
            <SelectField form name="hosts" label="Log of k3s on" value=host entries=nodes/>
            <div class="look-follow-pair">
                <SelectField form name="lines" label="Lines" value=lines entries=Signal::stored(lines_of.to_vec())/>
                <SelectField form name="follow_s" label="For" value=time entries=Signal::stored(times.to_vec())/>
            </div>
            <FormFailure form/>
            <div class="form-actions">
                <Button look=Look::Plain submit=true icon=Icon::Play busy=form.busy testid="look-follow">"Follow the log"</Button>
                <span class="field-note">"It ends by itself, or when you stop the run."</span>
            </div>
        </form>
    }
    .into_any()
}
