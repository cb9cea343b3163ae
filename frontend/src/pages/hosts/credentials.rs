//! The list of key pairs under the hosts.

use coxswain_wire::{Credential, CredentialId, Permission};
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::Data;
use super::credential::public_key;
use crate::components::button::IconButton;
use crate::components::icon::Icon;
use crate::components::panel::Panel;
use crate::components::time::Ago;
use crate::components::when::when;
use crate::format;

/// All key pairs; one that no host uses can go.
#[component]
pub(super) fn Credentials(data: Data) -> impl IntoView {
    let all = move || data.credentials.value().unwrap_or_default();
    view! {
        {when(move || !all().is_empty(), move || view! { <Panel title="Key pairs" flush=true hint="private keys stay in the vault">
                <ul class="credential-list">
                    {move || all().into_iter().map(|c| row(data, c)).collect_view()}
                </ul>
            </Panel> }.into_any())}
    }.into_any()
}

fn row(data: Data, credential: Credential) -> AnyView {
    let app = data.app;
    let id = credential.id;
    let used = move || {
        data.hosts
            .value()
            .unwrap_or_default()
            .iter()
            .filter(|h| h.credential == id)
            .count()
    };
    let name = credential.name.clone();
    view! {
        <li class="credential-row">
            <details class="more">
                <summary>
                    <span class="strong">{credential.name.clone()}</span>
                    <span class="quiet">{move || format!("used by {}", format::count(used(), "host"))}</span>
                    <span class="quiet">"made "<Ago at=Signal::stored(credential.created_at)/></span>
                </summary>
                {public_key(&credential, "", "listed-credential")}
            </details>
            {move || (used() == 0 && app.may(Permission::Operate)).then(|| view! {
                <IconButton icon=Icon::Trash label=format!("Delete {name}") on_click=move |_| delete(data, id)/>
            }.into_any())}
        </li>
    }
    .into_any()
}

fn delete(data: Data, id: CredentialId) {
    let app = data.app;
    let api = app.api();
    spawn_local(async move {
        match api.delete_credential(id).await {
            Ok(()) => data.credentials.update(|all| all.retain(|c| c.id != id)),
            Err(failure) => app.toast_bad(failure.message),
        }
    });
}
