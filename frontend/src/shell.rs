//! What surrounds every page: the rail, the top bar, the stream, and what opens on top.

use std::rc::Rc;

use coxswain_wire::{OVERVIEW_EVENT, Overview};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::{use_location, use_navigate};

use crate::components::button::IconButton;
use crate::components::icon::{Glyph, Icon, Mark};
use crate::components::keys::{self, KeySheet};
use crate::components::palette::Palette;
use crate::components::theme::ThemeToggle;
use crate::components::when::when;
use crate::live::{Link, Stream};
use crate::paths::{self, Page};
use crate::state::{App, app};
use crate::{api, links, words};

/// The rail, in order: name, path, icon.
const NAV: [(&str, &str, Icon); 6] = [
    ("Clusters", paths::CLUSTERS, Icon::Clusters),
    ("Runs", paths::RUNS, Icon::Runs),
    ("Approvals", paths::APPROVALS, Icon::Approvals),
    ("Hosts", paths::HOSTS, Icon::Host),
    ("Audit", paths::AUDIT, Icon::Audit),
    ("Settings", paths::SETTINGS, Icon::Settings),
];

/// The frame of the signed-in page.
#[component]
pub(crate) fn Shell(children: Children) -> impl IntoView {
    let app = app();
    keys::listen(app);
    watch(app);
    let navigate = use_navigate();
    view! {
        <nav aria-label="Skip"><a class="skip-link" href="#main" rel="external">"Skip to content"</a></nav>
        <div class="shell" on:click=move |event| links::follow(&event, &navigate)>
            <Rail/>
            <div class="column">
                <TopBar/>
                <LinkBanner/>
                <main class="main" id="main" tabindex="-1">{children()}</main>
            </div>
        </div>
        <Palette/>
        <KeySheet/>
    }
    .into_any()
}

/// Keeps the overview stream open on every page but a run's, which has its own: one stream a page.
fn watch(app: App) {
    let path = use_location().pathname;
    let on_run = Memo::new(move |_| path.with(|path| matches!(Page::of(path), Page::Run(_))));
    let stream = StoredValue::new_local(None::<Stream>);
    Effect::new(move |_| {
        if on_run.get() {
            stream.set_value(None);
            return;
        }
        let receive = move |data: &str| {
            // An answer that cannot be read belongs to another version; the next load of the page mends it.
            if let Ok(overview) = serde_json::from_str::<Overview>(data) {
                app.overview.set(Some(overview));
            }
        };
        let receivers: Vec<crate::live::Receiver> = vec![(OVERVIEW_EVENT, Rc::new(receive))];
        stream.set_value(Some(Stream::open(
            app,
            api::overview_stream_url(),
            receivers,
        )));
    });
}

#[component]
fn Rail() -> impl IntoView {
    let app = app();
    let path = use_location().pathname;
    let items = NAV
        .into_iter()
        .map(|(name, href, icon)| {
            let here = move || path.with(|p| p == href || p.strip_prefix(href).is_some_and(|r| r.starts_with('/')));
            let count = move || if href == paths::APPROVALS { app.waiting() } else { 0 };
            view! {
                <a
                    href=href
                    class=move || if here() { "rail-item rail-here" } else { "rail-item" }
                    aria-current=move || here().then_some("page")
                    data-testid=format!("nav-{}", name.to_lowercase())
                >
                    <Glyph icon/>
                    <span class="rail-name">{name}</span>
                    {move || (count() > 0).then(|| view! {
                        <span class="rail-count" aria-label=format!("{} waiting", count())>{count()}</span>
                    }.into_any())}
                </a>
            }.into_any()
        })
        .collect_view();
    let sign_out = move |_| {
        let api = app.api();
        spawn_local(async move {
            match api.sign_out().await {
                Ok(()) => app.session.set(None),
                Err(failure) => app.toast_bad(failure.message),
            }
        });
    };
    view! {
        <aside class="rail" aria-label="Coxswain">
            <a href=paths::CLUSTERS class="brand" aria-label="Coxswain, clusters">
                <Mark/>
                <span class="brand-name">"Coxswain"</span>
            </a>
            <nav class="rail-nav" aria-label="Pages">{items}</nav>
            <div class="rail-user">
                <span class="avatar" aria-hidden="true">
                    {move || app.user_name().chars().next().map(|c| c.to_uppercase().to_string())}
                </span>
                <span class="rail-who">
                    <span class="rail-who-name">{move || app.user_name()}</span>
                    <span class="rail-who-role">
                        {move || app.session.with(|s| s.as_ref().map(|s| words::role(s.role)))}
                    </span>
                </span>
                <IconButton icon=Icon::SignOut label="Sign out" testid="sign-out" on_click=sign_out/>
            </div>
        </aside>
    }.into_any()
}

#[component]
fn TopBar() -> impl IntoView {
    let app = app();
    let crumbs = move || {
        let crumbs = app.crumbs.get();
        let last = crumbs.len().saturating_sub(1);
        crumbs
            .into_iter()
            .enumerate()
            .map(|(n, (text, href))| match href {
                Some(href) if n < last => view! { <li><a href=href>{text}</a></li> }.into_any(),
                _ => view! { <li aria-current="page">{text}</li> }.into_any(),
            })
            .collect_view()
    };
    view! {
        <header class="topbar">
            <nav class="crumbs" aria-label="Breadcrumb"><ol>{crumbs}</ol></nav>
            <div class="topbar-tools">
                <button
                    class="finder"
                    type="button"
                    data-testid="palette-open"
                    aria-label="Find anything"
                    aria-keyshortcuts="Control+K Meta+K"
                    on:click=move |_| app.palette_open.set(true)
                >
                    <Glyph icon=Icon::Search/>
                    <span class="finder-text">"Find anything"</span>
                    <kbd>"Ctrl K"</kbd>
                </button>
                <LinkState/>
                <IconButton icon=Icon::Question label="Keyboard shortcuts" on_click=move |_| app.keys_open.set(true)/>
                <ThemeToggle/>
            </div>
        </header>
    }.into_any()
}

#[component]
fn LinkState() -> impl IntoView {
    let link = app().link;
    let look = move || match link.get() {
        Link::Connecting => ("connecting", "Connecting"),
        Link::Live => ("live", "Live"),
        Link::Retrying(_) => ("retrying", "Offline"),
    };
    view! {
        <span
            class=move || format!("link-state link-{}", look().0)
            role="status"
            data-testid="link-state"
            data-state=move || look().0
            title="Whether this page shows changes as they happen"
        >
            <span class="link-dot" aria-hidden="true"></span>
            <span class="link-words">{move || look().1}</span>
        </span>
    }
    .into_any()
}

/// Shown while the stream is lost: what is on screen may be old.
#[component]
fn LinkBanner() -> impl IntoView {
    let link = app().link;
    let lost = Memo::new(move |_| matches!(link.get(), Link::Retrying(_)));
    let tries = move || match link.get() {
        Link::Retrying(n) => n,
        Link::Connecting | Link::Live => 0,
    };
    view! {
        {when(move || lost.get(), move || view! {
            <div class="link-banner" role="alert" data-testid="link-banner">
                <Glyph icon=Icon::Spinner/>
                <span>"Disconnected from the panel, retrying. "</span>
                <span class="link-tries">{move || format!("try {}", tries())}</span>
                <span class="link-note">"What you see may be out of date. Runs go on without this page."</span>
            </div>
        }.into_any())}
    }.into_any()
}
