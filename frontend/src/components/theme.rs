//! Dark, light, or as the system likes.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};
use crate::{browser, storage};

/// Changes to the next theme: as the system, light, dark.
pub(crate) fn next() -> &'static str {
    let next = match storage::get(storage::THEME).as_deref() {
        None => Some("light"),
        Some("light") => Some("dark"),
        Some(_) => None,
    };
    choose(next);
    next.unwrap_or("system")
}

/// Takes a theme, or none for the system's.
pub(crate) fn choose(theme: Option<&str>) {
    storage::set(storage::THEME, theme);
    if let Some(root) = browser::window()
        .document()
        .and_then(|d| d.document_element())
    {
        let done = match theme {
            Some(theme) => root.set_attribute("data-theme", theme),
            None => root.remove_attribute("data-theme"),
        };
        // Fails only for names that are no attribute names.
        drop(done);
    }
}

/// The toggle in the top bar.
#[component]
pub(crate) fn ThemeToggle() -> impl IntoView {
    let now = RwSignal::new(storage::get(storage::THEME).unwrap_or_else(|| "system".into()));
    let label = move || format!("Theme: {}", now.get());
    view! {
        <button
            class="btn btn-icon"
            type="button"
            data-testid="theme-toggle"
            title=label
            aria-label=label
            on:click=move |_| now.set(next().into())
        >
            <Glyph icon=Signal::derive(move || match now.get().as_str() {
                "light" => Icon::Sun,
                "dark" => Icon::Moon,
                _ => Icon::Auto,
            })/>
        </button>
    }
    .into_any()
}
