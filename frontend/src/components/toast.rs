//! Short messages in the corner, spoken by screen readers.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};
use crate::state::app;

/// All toasts of the page.
#[component]
pub(crate) fn Toasts() -> impl IntoView {
    let toasts = app().toasts;
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || toasts.get() key=|toast| toast.id let:toast>
                <div class="toast" class:toast-bad=toast.bad>
                    <Glyph icon=if toast.bad { Icon::Warn } else { Icon::Check }/>
                    <span>{toast.text.clone()}</span>
                    <button
                        class="btn btn-icon"
                        type="button"
                        aria-label="Dismiss"
                        on:click=move |_| toasts.update(|all| all.retain(|t| t.id != toast.id))
                    >
                        <Glyph icon=Icon::Close/>
                    </button>
                </div>
            </For>
        </div>
    }
    .into_any()
}
