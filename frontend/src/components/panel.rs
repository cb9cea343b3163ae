//! Frames around content: the head of a page, and panels.

use leptos::prelude::*;

/// Heading of a page with what can be done there.
#[component]
pub(crate) fn PageHead(
    #[prop(into)] title: String,
    #[prop(optional, into)] intro: String,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    view! {
        <header class="page-head">
            <div>
                <h1>{title}</h1>
                {(!intro.is_empty()).then(|| view! { <p class="page-intro">{intro}</p> }.into_any())}
            </div>
            <div class="page-actions">{children.map(|children| children())}</div>
        </header>
    }.into_any()
}

/// A framed part of a page.
#[component]
pub(crate) fn Panel(
    #[prop(into)] title: String,
    #[prop(optional, into)] hint: Signal<String>,
    /// Content without inner margin, e.g. a table.
    #[prop(optional)]
    flush: bool,
    #[prop(optional, into)] testid: String,
    children: Children,
) -> impl IntoView {
    view! {
        <section class="panel" class:panel-flush=flush data-testid=testid>
            <header class="panel-head">
                <h2>{title}</h2>
                <span class="panel-hint">{hint}</span>
            </header>
            <div class="panel-body">{children()}</div>
        </section>
    }
    .into_any()
}
