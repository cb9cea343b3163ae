//! Choosing a key pair inside the host form: one that is there, a new one, or a pasted one.

use coxswain_wire::{Credential, CredentialId, NewCredential};
use leptos::prelude::*;

use super::Data;
use crate::components::button::{Button, Look};
use crate::components::code::Code;
use crate::components::field::{Segments, SelectField, TextArea, TextField};
use crate::components::form::{Form, FormFailure};
use crate::components::icon::Icon;
use crate::state::app;

/// The picker. A new pair is made at once, so that its public key can be put on the host before the host is saved.
#[component]
pub(super) fn CredentialPicker(
    form: Form,
    data: Data,
    chosen: RwSignal<Option<CredentialId>>,
    user: RwSignal<String>,
) -> impl IntoView {
    let first = untrack(|| data.credentials.value())
        .unwrap_or_default()
        .is_empty();
    let mode = RwSignal::new(if first {
        "generate".to_owned()
    } else {
        "existing".to_owned()
    });
    let modes = vec![
        ("existing", "Existing"),
        ("generate", "Generate new"),
        ("paste", "Paste private key"),
    ];
    // The form around asks for this field even while a new pair is being made.
    let error = form.field("credential");
    view! {
        <fieldset class="fieldset">
            <legend>"Key pair"</legend>
            <Segments label="Where the key pair comes from" name="credential-mode" entries=modes value=mode/>
            {move || match mode.get().as_str() {
                "existing" => view! { <Existing form data chosen user/> }.into_any(),
                paste => view! { <Make data chosen mode paste=paste == "paste"/> }.into_any(),
            }}
            {move || error.get().map(|error| view! { <p class="field-error" role="alert">{error}</p> }.into_any())}
        </fieldset>
    }.into_any()
}

#[component]
fn Existing(
    form: Form,
    data: Data,
    chosen: RwSignal<Option<CredentialId>>,
    user: RwSignal<String>,
) -> impl IntoView {
    let value = RwSignal::new(
        chosen
            .get_untracked()
            .map(|id| id.to_string())
            .unwrap_or_default(),
    );
    Effect::new(move |_| chosen.set(value.get().parse().ok().map(CredentialId)));
    let credentials = Signal::derive(move || data.credentials.value().unwrap_or_default());
    let entries = Signal::derive(move || {
        let mut entries = vec![(String::new(), "Choose a key pair".to_owned(), true)];
        entries.extend(
            credentials
                .get()
                .into_iter()
                .map(|c| (c.id.to_string(), c.name, true)),
        );
        entries
    });
    let picked = move || {
        chosen
            .get()
            .and_then(|id| credentials.get().into_iter().find(|c| c.id == id))
    };
    view! {
        <SelectField form name="credential" label="Use" value=value entries=entries/>
        {move || picked().map(|c| public_key(&c, &user.get(), "credential"))}
    }
    .into_any()
}

/// The public half, ready to be put on the host. The test ids are `<testid>-command` and `<testid>-public-key`.
pub(super) fn public_key(credential: &Credential, user: &str, testid: &str) -> AnyView {
    let key = credential.public_key.trim().to_owned();
    let user = if user.is_empty() { "root" } else { user };
    view! {
        <div class="public-key">
            <p class="hint">"The host must accept this key. Run there, as "<code>{user.to_owned()}</code>":"</p>
            <Code text=install_command(&key) label="Copy the command" testid=format!("{testid}-command")/>
            <details class="more">
                <summary>"Public key only"</summary>
                <Code text=key label="Copy the public key" testid=format!("{testid}-public-key")/>
            </details>
        </div>
    }
    .into_any()
}

/// Puts a public key into `authorized_keys` with the modes sshd insists on.
fn install_command(key: &str) -> String {
    // The key comes from the panel, but a quote in its comment must not end the text.
    let quoted = key.replace('\'', "'\\''");
    format!("umask 077; mkdir -p ~/.ssh && echo '{quoted}' >> ~/.ssh/authorized_keys")
}

#[component]
fn Make(
    data: Data,
    chosen: RwSignal<Option<CredentialId>>,
    mode: RwSignal<String>,
    paste: bool,
) -> impl IntoView {
    let app = app();
    let name = RwSignal::new(untrack(|| {
        free_name(&data.credentials.value().unwrap_or_default())
    }));
    let private = RwSignal::new(String::new());
    // A form of its own: its failures are about the key pair, not about the host.
    let form = Form::new();
    let make = move |_| {
        let body = NewCredential {
            name: name.get_untracked().trim().to_owned(),
            private_key: paste.then(|| private.get_untracked()),
        };
        let api = app.api();
        form.submit(
            async move { api.add_credential(&body).await },
            move |credential: Credential| {
                private.set(String::new());
                chosen.set(Some(credential.id));
                data.credentials.update(|all| all.push(credential));
                mode.set("existing".into());
            },
        );
    };
    view! {
        <div class="form">
            <TextField form name="credential-name" label="Name" value=name mono=true
                help=if paste { "People choose it by this name." } else { "An Ed25519 pair. The private key stays in the panel's vault and has no way out." }/>
            {paste.then(|| view! {
                <TextArea form name="private_key" label="Private key" value=private mono=true rows=5
                    placeholder="-----BEGIN OPENSSH PRIVATE KEY-----"
                    help="OpenSSH format, without a passphrase. It goes straight into the vault."/>
            }.into_any())}
            <FormFailure form/>
            <div>
                <Button look=Look::Plain icon=Icon::Key busy=form.busy testid="credential-create" on_click=make>
                    {if paste { "Keep this key" } else { "Generate" }}
                </Button>
            </div>
        </div>
    }.into_any()
}

/// `coxswain`, then `coxswain-2`, and so on.
fn free_name(all: &[Credential]) -> String {
    let taken = |name: &str| all.iter().any(|c| c.name == name);
    if !taken("coxswain") {
        return "coxswain".into();
    }
    (2..)
        .map(|n| format!("coxswain-{n}"))
        .find(|name| !taken(name))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_key_stays_text() {
        assert!(install_command("ssh-ed25519 AAAA it's").contains(r"'ssh-ed25519 AAAA it'\''s'"));
    }

    #[test]
    fn names_count_up() {
        let credential = |name: &str| Credential {
            id: CredentialId(1),
            name: name.into(),
            public_key: String::new(),
            created_at: coxswain_wire::Timestamp(0),
        };
        assert_eq!(free_name(&[]), "coxswain");
        assert_eq!(
            free_name(&[credential("coxswain"), credential("coxswain-2")]),
            "coxswain-3"
        );
    }
}
