//! Adding and changing a host.

use coxswain_wire::{CredentialId, Host, HostId, NewHost};
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::credential::CredentialPicker;
use super::power::{PowerFields, PowerInput};
use super::{Data, Open};
use crate::components::button::{Button, Look};
use crate::components::callout::callout;
use crate::components::field::TextField;
use crate::components::form::{Form, FormFailure};
use crate::components::icon::Icon;
use crate::load::Skeleton;
use crate::state::app;
use crate::words::Tone;

/// Said when a pinned host is changed.
const ANOTHER_MACHINE: &str = "Another address or port may be another machine: its fingerprint must be confirmed again. Only while a run that was approved for this host is not over, its keys stay, and no other machine is let in.";

/// The form; leads on to the fingerprints.
#[component]
pub(super) fn HostForm(data: Data, id: Option<HostId>) -> impl IntoView {
    // The list may still be on its way when the address itself asked for the form.
    let ready =
        Memo::new(move |_| data.hosts.value().is_some() && data.credentials.value().is_some());
    move || {
        if ready.get() {
            fields(data, id)
        } else {
            view! { <Skeleton/> }.into_any()
        }
    }
}

fn fields(data: Data, id: Option<HostId>) -> AnyView {
    let app = app();
    let old = id.and_then(|id| untrack(|| data.host(id)));
    // The next host is usually like the one before.
    let like = old
        .clone()
        .or_else(|| untrack(|| data.hosts.value().and_then(|hosts| hosts.last().cloned())));
    let form = Form::new();
    let of = |f: fn(&Host) -> String| RwSignal::new(old.as_ref().map(f).unwrap_or_default());
    let name = of(|h| h.name.clone());
    let address = of(|h| h.ssh_address.clone());
    let node = of(|h| h.node_address.clone());
    let port = RwSignal::new(
        like.as_ref()
            .map_or_else(|| "22".to_owned(), |h| h.ssh_port.to_string()),
    );
    let user = RwSignal::new(
        like.as_ref()
            .map_or_else(|| "root".to_owned(), |h| h.ssh_user.clone()),
    );
    let credential = RwSignal::new(
        like.map(|h| h.credential)
            .or_else(|| untrack(|| data.credentials.value()?.first().map(|c| c.id))),
    );
    let power = PowerInput::of(old.as_ref().and_then(|h| h.power.as_ref()));
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let Ok(ssh_port) = port.get_untracked().trim().parse::<u16>() else {
            form.refuse("ssh_port", "A number from 1 to 65535.");
            return;
        };
        let Some(key): Option<CredentialId> = credential.get_untracked() else {
            form.refuse("credential", "Choose a key pair, or make one first.");
            return;
        };
        let wish = node.get_untracked().trim().to_owned();
        let body = NewHost {
            name: name.get_untracked().trim().to_owned(),
            ssh_address: address.get_untracked().trim().to_owned(),
            ssh_port,
            ssh_user: user.get_untracked().trim().to_owned(),
            node_address: (!wish.is_empty()).then_some(wish),
            credential: key,
            power: power.value(),
        };
        let api = app.api();
        let call = async move {
            match id {
                Some(id) => api.change_host(id, &body).await,
                None => api.add_host(&body).await,
            }
        };
        form.submit(call, move |host: Host| {
            let id = host.id;
            let confirmed = !matches!(host.enrolment, coxswain_wire::Enrolment::Unconfirmed);
            data.put(host);
            data.open.set(if confirmed {
                Open::Detail(id)
            } else {
                Open::Enrol(id)
            });
        });
    };
    let pinned = old.is_some_and(|h| !matches!(h.enrolment, coxswain_wire::Enrolment::Unconfirmed));
    view! {
        <form class="form" novalidate on:submit=submit>
            {pinned.then(|| callout(Tone::Warn, Icon::Info, ANOTHER_MACHINE))}
            <div class="form-grid">
                <TextField form name="name" label="Name" value=name autofocus=true mono=true placeholder="node1"
                    help="Host name; becomes the Kubernetes node name."/>
                <TextField form name="node_address" label="Node address" value=node mono=true optional=true placeholder="10.0.0.11"
                    help="IP address k3s uses between nodes. Left empty: the SSH address."/>
            </div>
            <div class="form-grid form-grid-ssh">
                <TextField form name="ssh_address" label="SSH address" value=address mono=true placeholder="10.0.0.11"
                    help="DNS name or IP address."/>
                <TextField form name="ssh_port" label="Port" value=port mono=true/>
                <TextField form name="ssh_user" label="User" value=user mono=true help="root, or one with sudo -n."/>
            </div>
            <CredentialPicker form data chosen=credential user/>
            <PowerFields form data input=power own=id/>
            <FormFailure form/>
            <div class="dialog-actions">
                <Button on_click=move |_| data.open.set(Open::Nothing)>"Cancel"</Button>
                <Button look=Look::Primary submit=true busy=form.busy testid="host-save">
                    {if id.is_some() { "Save" } else { "Add and scan" }}
                </Button>
            </div>
        </form>
    }
    .into_any()
}
