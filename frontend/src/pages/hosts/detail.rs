//! One host: what is known, its pinned keys, the latest test, and removing it.

use coxswain_wire::{Enrolment, Host, HostId, Permission};
use leptos::prelude::*;

use super::enrol::checks;
use super::{Data, Open};
use crate::components::button::{Button, Look};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::{Glyph, Icon};
use crate::components::time::Ago;
use crate::load::Skeleton;
use crate::state::app;

/// What is known of a host.
#[component]
pub(super) fn Detail(data: Data, id: HostId) -> impl IntoView {
    move || match data.host(id) {
        Some(host) => shown(data, host),
        None => view! { <Skeleton/> }.into_any(),
    }
}

fn shown(data: Data, host: Host) -> AnyView {
    let app = app();
    let id = host.id;
    let form = Form::new();
    let test = move |_| {
        let api = app.api();
        form.submit(async move { api.test_host(id).await }, move |test| {
            data.hosts.update(|hosts| {
                if let Some(host) = hosts.iter_mut().find(|h| h.id == id) {
                    host.last_test = Some(test);
                }
            });
        });
    };
    let keys = match host.enrolment {
        Enrolment::Unconfirmed => view! { <span class="tone-warn toned">"not confirmed"</span> }.into_any(),
        Enrolment::Pinned { keys, confirmed_at } => view! {
            <ul class="plain-list">
                {keys.into_iter().map(|k| view! { <li class="mono small">{format!("{} {}", k.algorithm, k.fingerprint)}</li> }.into_any()).collect_view()}
            </ul>
            <span class="quiet">"confirmed "<Ago at=Signal::stored(confirmed_at)/></span>
        }
        .into_any(),
    };
    let credential = untrack(|| data.credentials.value())
        .and_then(|all| all.into_iter().find(|c| c.id == host.credential))
        .map(|c| c.name);
    let power = host.power.as_ref().map(|control| {
        let via = data
            .host(control.via)
            .map_or_else(|| format!("host {}", control.via), |h| h.name);
        format!("{} (on {via})", control.on.join(" "))
    });
    let tested = host.last_test.clone();
    let in_cluster = host.cluster.is_some();
    let unclean = host.unclean.map(|mark| {
        let cluster = app
            .cluster_name(mark.from)
            .unwrap_or_else(|| format!("cluster {}", mark.from));
        view! {
            <div class="callout tone-warn" role="note" data-testid="host-unclean">
                <Glyph icon=Icon::Warn/>
                <p>
                    <strong>"Clean before reuse. "</strong>
                    {format!("{cluster} gave it up while it was lost: with its old data it would come up as what it was. Uninstall k3s of {cluster} on it, or install the machine anew and join it.")}
                    " "<span class="quiet">"Since "<Ago at=Signal::stored(mark.since)/></span>
                </p>
            </div>
        }
        .into_any()
    });
    view! {
        {unclean}
        <dl class="facts">
            <div><dt>"SSH"</dt><dd class="mono">{format!("{}@{}:{}", host.ssh_user, host.ssh_address, host.ssh_port)}</dd></div>
            <div><dt>"Node address"</dt><dd class="mono">{host.node_address}</dd></div>
            <div><dt>"Key pair"</dt><dd>{credential}</dd></div>
            <div><dt>"Cluster"</dt><dd>{host.cluster.map_or_else(|| "none".to_owned(), |id| app.cluster_name(id).unwrap_or_else(|| format!("cluster {id}")))}</dd></div>
            <div><dt>"Host keys"</dt><dd>{keys}</dd></div>
            {power.map(|power| view! { <div><dt>"Power"</dt><dd class="mono">{power}</dd></div> }.into_any())}
        </dl>
        {tested.map(|test| view! {
            <h3 class="sub">"Connection, tested "<Ago at=Signal::stored(test.at)/></h3>
            {checks(Some(&test))}
        }.into_any())}
        <FormFailure form/>
        <div class="dialog-actions">
            {move || app.may(Permission::Operate).then(|| view! {
                <Button look=Look::Ghost icon=Icon::Trash testid="host-delete" disabled=in_cluster
                    title=if in_cluster { "It belongs to a cluster" } else { "Remove from the inventory" }
                    on_click=move |_| data.open.set(Open::Delete(id))>"Remove"</Button>
                <span class="spacer"></span>
                <Button icon=Icon::Edit testid="host-edit" on_click=move |_| data.open.set(Open::Edit(id))>"Edit"</Button>
                <Button icon=Icon::Key on_click=move |_| data.open.set(Open::Enrol(id))>"Scan keys"</Button>
                <Button look=Look::Primary icon=Icon::Retry testid="host-test" busy=form.busy on_click=test>"Test connection"</Button>
            }.into_any())}
        </div>
    }
    .into_any()
}

/// Asks before a host goes.
#[component]
pub(super) fn Delete(data: Data, id: HostId) -> impl IntoView {
    let app = app();
    let form = Form::new();
    let remove = move |_| {
        let api = app.api();
        form.submit(async move { api.delete_host(id).await }, move |()| {
            data.hosts.update(|hosts| hosts.retain(|h| h.id != id));
            data.open.set(Open::Nothing);
            app.toast("The host is out of the inventory.");
        });
    };
    view! {
        <p>"The panel forgets its address, its pinned keys and its test. Nothing changes on the host itself."</p>
        <FormFailure form/>
        <div class="dialog-actions">
            <Button on_click=move |_| data.open.set(Open::Detail(id))>"Cancel"</Button>
            <Button look=Look::Danger busy=form.busy testid="host-delete-confirm" on_click=remove>"Remove"</Button>
        </div>
    }.into_any()
}
