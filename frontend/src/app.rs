//! The root: what is shown before anybody has signed in, and the routes after.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::components::Router;
use leptos_router::hooks::{use_location, use_navigate};

use crate::api::{self, Failure};
use crate::browser;
use crate::components::button::{Button, Look};
use crate::components::icon::Icon;
use crate::components::toast::Toasts;
use crate::pages;
use crate::paths::{self, Page};
use crate::shell::Shell;
use crate::state::App;

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
    boot();
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
        <Router>
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
                Door::Open => view! { <Shell><Pages/></Shell> }.into_any(),
            }}
            <Toasts/>
        </Router>
    }.into_any()
}

/// The page that the path names. A plain match, so that it is checked for completeness.
#[component]
fn Pages() -> impl IntoView {
    let path = use_location().pathname;
    let page = Memo::new(move |_| path.with(|path| Page::of(path)));
    let navigate = use_navigate();
    Effect::new(move |_| {
        if page.get() == Page::Start {
            navigate(
                paths::CLUSTERS,
                NavigateOptions {
                    replace: true,
                    ..NavigateOptions::default()
                },
            );
        }
    });
    move || match page.get() {
        Page::Start => ().into_any(),
        Page::Clusters => view! { <pages::clusters::Clusters/> }.into_any(),
        Page::NewCluster => view! { <pages::cluster_form::ClusterForm id=None/> }.into_any(),
        Page::Cluster(id) => view! { <pages::cluster::ClusterPage id/> }.into_any(),
        Page::EditCluster(id) => {
            view! { <pages::cluster_form::ClusterForm id=Some(id)/> }.into_any()
        }
        Page::Runs => view! { <pages::runs::Runs/> }.into_any(),
        Page::NewRun => view! { <pages::new_run::NewRunPage/> }.into_any(),
        Page::Run(id) => view! { <pages::run::RunPage id/> }.into_any(),
        Page::Approvals => view! { <pages::approvals::Approvals/> }.into_any(),
        Page::Hosts => view! { <pages::hosts::Hosts/> }.into_any(),
        Page::Audit => view! { <pages::audit::Audit/> }.into_any(),
        Page::Settings => view! { <pages::settings::Settings/> }.into_any(),
        Page::Unknown => view! { <pages::NotFound/> }.into_any(),
    }
}
