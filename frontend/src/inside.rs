//! What is behind the sign-in: a program file of its own, which the build splits off and the browser fetches when
//! somebody signs in. Whatever only this part calls is not in the first load.

use leptos::prelude::*;
use leptos::wasm_split::{SplitLoaderError, wasm_split};
use leptos_router::NavigateOptions;
use leptos_router::components::Router;
use leptos_router::hooks::{use_location, use_navigate};

use crate::pages;
use crate::paths::{self, Page};
use crate::shell::Shell;

/// Draws the signed-in page.
pub(crate) type Inside = fn() -> AnyView;

/// Fetches the file unless it is there. A failure is not kept: the next call tries again.
#[wasm_split(inside, wasm_split_path = ::leptos::wasm_split, fallible)]
pub(crate) fn fetch() -> Result<Inside, SplitLoaderError> {
    Ok(draw)
}

/// Begins to fetch while something else is waited for.
pub(crate) fn prefetch() {
    leptos::task::spawn_local(async {
        // Whoever needs the file asks again, and says so when it cannot be had.
        fetch().await.ok();
    });
}

fn draw() -> AnyView {
    view! { <Router><Shell><Pages/></Shell></Router> }.into_any()
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
