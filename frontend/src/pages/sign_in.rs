//! Sign-in. The address stays, so that people land where they wanted to go.

use coxswain_wire::SignInRequest;
use leptos::ev::SubmitEvent;
use leptos::prelude::*;

use super::Outside;
use crate::api;
use crate::components::button::{Button, Look};
use crate::components::field::TextField;
use crate::components::form::{Form, FormFailure};
use crate::inside;
use crate::state::app;

/// The sign-in page.
#[component]
pub(crate) fn SignIn() -> impl IntoView {
    let app = app();
    let form = Form::new();
    let name = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        inside::prefetch();
        let request = SignInRequest {
            name: name.get_untracked(),
            password: password.get_untracked(),
        };
        form.submit(
            async move { api::sign_in(&request).await },
            move |session| app.session.set(Some(session)),
        );
    };
    view! {
        <Outside title="Sign in">
            <form class="form" data-testid="sign-in-form" on:submit=submit>
                <TextField form name="name" label="Name" value=name autocomplete="username" autofocus=true/>
                <TextField form name="password" label="Password" value=password kind="password" autocomplete="current-password"/>
                <FormFailure form/>
                <Button look=Look::Primary submit=true busy=form.busy testid="sign-in-submit">"Sign in"</Button>
            </form>
            <p class="outside-foot">{move || format!("Coxswain {}", app.version.get())}</p>
        </Outside>
    }.into_any()
}
