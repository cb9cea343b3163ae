//! Short messages in the corner, spoken by screen readers.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};
use super::keyed::{Entry, keyed};
use crate::state::{Toast, app};

/// All toasts of the page.
#[component]
pub(crate) fn Toasts() -> impl IntoView {
    let toasts = app().toasts;
    let entries = move || {
        let all = toasts.get();
        all.into_iter()
            .map(|toast| Entry::new(u64::from(toast.id), move || one(toasts, toast)))
            .collect()
    };
    view! { <div class="toasts" role="status" aria-live="polite">{keyed(entries)}</div> }.into_any()
}

fn one(toasts: RwSignal<Vec<Toast>>, toast: Toast) -> AnyView {
    let id = toast.id;
    view! {
        <div class="toast" class:toast-bad=toast.bad>
            <Glyph icon=if toast.bad { Icon::Warn } else { Icon::Check }/>
            <span>{toast.text}</span>
            <button
                class="btn btn-icon"
                type="button"
                aria-label="Dismiss"
                on:click=move |_| toasts.update(|all| all.retain(|t| t.id != id))
            >
                <Glyph icon=Icon::Close/>
            </button>
        </div>
    }
    .into_any()
}
