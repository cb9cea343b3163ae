//! The pages, one file or folder each.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod cluster;
pub(crate) mod cluster_form;
pub(crate) mod clusters;
pub(crate) mod hosts;
pub(crate) mod new_run;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod settings;
pub(crate) mod setup;
pub(crate) mod sign_in;

use leptos::prelude::*;

use crate::components::button::{LinkButton, Look};
use crate::components::empty::Empty;
use crate::components::icon::{Icon, Mark};
use crate::paths;
use crate::state::app;

/// The frame of the pages before the shell.
#[component]
pub(crate) fn Outside(#[prop(into)] title: String, children: Children) -> impl IntoView {
    crate::browser::set_title(&format!("{title} · Coxswain"));
    view! {
        <main class="outside">
            <div class="outside-card">
                <div class="outside-brand"><Mark/><span>"Coxswain"</span></div>
                <h1>{title}</h1>
                {children()}
            </div>
        </main>
    }
    .into_any()
}

/// No such page, or nothing of that number.
#[component]
pub(crate) fn NotFound() -> impl IntoView {
    app().at(vec![("Not found".into(), None)]);
    view! {
        <Empty icon=Icon::Question title="There is nothing here">
            <p>"The address may be mistyped, or what it named is gone."</p>
            <LinkButton look=Look::Primary href=paths::CLUSTERS>"Clusters"</LinkButton>
        </Empty>
    }
    .into_any()
}
