//! First start: the one-time secret makes the first admin.

use coxswain_wire::SetupRequest;
use leptos::ev::SubmitEvent;
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::Outside;
use crate::api;
use crate::browser;
use crate::components::button::{Button, Look};
use crate::components::field::TextField;
use crate::components::form::{Form, FormFailure};
use crate::inside;
use crate::paths;
use crate::state::app;

/// Shortest password the panel takes, in characters.
pub(crate) const MIN_PASSWORD: usize = 12;

/// Takes the secret out of the address, so that it stays neither on screen nor in the history.
fn secret_from_address() -> String {
    let window = browser::window();
    let hash = window.location().hash().unwrap_or_default();
    let secret = hash.trim_start_matches('#').to_owned();
    if !secret.is_empty()
        && let Ok(history) = window.history()
    {
        // Fails only for an address of another origin.
        drop(history.replace_state_with_url(&JsValue::NULL, "", Some(paths::SETUP)));
    }
    secret
}

/// The set-up page.
#[component]
pub(crate) fn Setup() -> impl IntoView {
    let app = app();
    let form = Form::new();
    let secret = RwSignal::new(secret_from_address());
    let given = secret.with_untracked(|s| !s.is_empty());
    let name = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let repeat = RwSignal::new(String::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        if password.with_untracked(|p| p.chars().count()) < MIN_PASSWORD {
            form.refuse("password", &format!("At least {MIN_PASSWORD} characters."));
            return;
        }
        if password.get_untracked() != repeat.get_untracked() {
            form.refuse("repeat", "The two passwords differ.");
            return;
        }
        inside::prefetch();
        let request = SetupRequest {
            secret: secret.get_untracked().trim().to_owned(),
            name: name.get_untracked(),
            password: password.get_untracked(),
        };
        form.submit(async move { api::setup(&request).await }, move |session| {
            app.session.set(Some(session));
            app.setup_needed.set(false);
        });
    };
    view! {
        <Outside title="Set up the panel">
            <p class="outside-text">
                "Make the first administrator. This page works once, with the secret that the panel printed when it started."
            </p>
            <form class="form" data-testid="setup-form" on:submit=submit>
                <TextField form
                    name="secret"
                    label="Set-up secret"
                    value=secret
                    mono=true
                    autofocus=!given
                    help=if given { "Taken from the link." } else { "In the panel's output, after the # of the set-up link." }
                />
                <TextField form name="name" label="Name" value=name autocomplete="username" autofocus=given
                    help="You sign in with it. Letters, digits, . - _"/>
                <TextField form name="password" label="Password" value=password kind="password" autocomplete="new-password"
                    help="At least 12 characters."/>
                <TextField form name="repeat" label="Password again" value=repeat kind="password" autocomplete="new-password"/>
                <FormFailure form/>
                <Button look=Look::Primary submit=true busy=form.busy testid="setup-submit">"Create administrator"</Button>
            </form>
        </Outside>
    }.into_any()
}
