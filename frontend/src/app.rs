//! The root: what is shown before anybody has signed in. Everything after is fetched then: see [`crate::inside`].

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{self, Failure};
use crate::browser;
use crate::components::button::{Button, Look};
use crate::components::icon::Icon;
use crate::components::toast::Toasts;
use crate::inside::{self, Inside};
use crate::pages;
use crate::state::App;
use crate::storage;

/// What stands between opening the page and working with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Door {
    /// The panel has not answered yet.
    Opening,
    Failed(Failure),
    Setup,
    SignIn,
    Open,
}

/// The whole page.
#[component]
pub(crate) fn Root() -> impl IntoView {
    let app = App::new();
    provide_context(app);
    let failure = RwSignal::new(None::<Failure>);
    let booted = RwSignal::new(false);
    let boot = move || {
        failure.set(None);
        spawn_local(async move {
            match api::boot().await {
                Ok(boot) => {
                    app.booted(boot);
                    booted.set(true);
                }
                Err(problem) => failure.set(Some(problem)),
            }
        });
    };
    // Whoever was signed in last time most likely is: fetched side by side with the answer.
    if storage::get(storage::SIGNED_IN).is_some() {
        inside::prefetch();
    }
    boot();
    Effect::new(move |_| {
        if booted.get() {
            let signed_in = app.session.with(Option::is_some);
            storage::set(storage::SIGNED_IN, signed_in.then_some("yes"));
        }
    });
    let tick =
        set_interval_with_handle(move || app.now.set(browser::now()), Duration::from_secs(1));
    if let Ok(tick) = tick {
        on_cleanup(move || tick.clear());
    }
    let door = Memo::new(move |_| match (failure.get(), booted.get()) {
        (Some(failure), _) => Door::Failed(failure),
        (None, false) => Door::Opening,
        (None, true) if app.setup_needed.get() => Door::Setup,
        (None, true) if app.session.with(Option::is_none) => Door::SignIn,
        (None, true) => Door::Open,
    });
    view! {
        {move || match door.get() {
            Door::Opening => ().into_any(),
            Door::Failed(failure) => view! {
                <pages::Outside title="The panel does not answer">
                    <p class="outside-text">{failure.message}</p>
                    <Button look=Look::Primary icon=Icon::Retry on_click=move |_| boot()>"Try again"</Button>
                </pages::Outside>
            }
            .into_any(),
            Door::Setup => view! { <pages::setup::Setup/> }.into_any(),
            Door::SignIn => view! { <pages::sign_in::SignIn/> }.into_any(),
            Door::Open => view! { <Behind/> }.into_any(),
        }}
        <Toasts/>
    }.into_any()
}

/// What is behind the sign-in, once it has been fetched.
#[component]
fn Behind() -> impl IntoView {
    let fetched = RwSignal::new(None::<Result<Inside, ()>>);
    let fetch = move || {
        fetched.set(None);
        spawn_local(async move {
            let inside = inside::fetch().await;
            fetched.try_set(Some(inside.map_err(drop)));
        });
    };
    fetch();
    move || {
        match fetched.get() {
        None => view! { <main class="outside" aria-busy="true"></main> }.into_any(),
        Some(Ok(inside)) => inside(),
        Some(Err(())) => view! {
            <pages::Outside title="The page could not be fetched">
                <p class="outside-text">
                    "The panel does not answer, or it was updated since this page was opened. If trying again does not help, reload."
                </p>
                <div class="form-actions">
                    <Button look=Look::Primary icon=Icon::Retry on_click=move |_| fetch()>"Try again"</Button>
                    <a class="btn" href="">"Reload"</a>
                </div>
            </pages::Outside>
        }
        .into_any(),
    }
    }
}
