//! Text to take along: commands, keys, fingerprints.

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::icon::{Glyph, Icon};
use crate::browser;
use crate::state::app;

/// Milliseconds the button says that it worked.
const DONE_MS: u64 = 1_600;

/// Puts text on the clipboard.
#[component]
pub(crate) fn CopyButton(
    #[prop(into)] text: Signal<String>,
    #[prop(into)] label: String,
) -> impl IntoView {
    let app = app();
    let done = RwSignal::new(false);
    let copy = move |_| {
        let text = text.get_untracked();
        spawn_local(async move {
            if browser::copy(&text).await {
                done.try_set(true);
                set_timeout(
                    move || {
                        done.try_set(false);
                    },
                    std::time::Duration::from_millis(DONE_MS),
                );
            } else {
                app.toast_bad(
                    "The browser did not allow copying. Select the text and copy it by hand.",
                );
            }
        });
    };
    view! {
        <button
            class="btn btn-icon copy"
            type="button"
            title=label.clone()
            aria-label=move || if done.get() { "Copied".to_owned() } else { label.clone() }
            on:click=copy
        >
            <Glyph icon=Signal::derive(move || if done.get() { Icon::Check } else { Icon::Copy })/>
        </button>
    }
    .into_any()
}

/// Monospaced text with a copy button.
#[component]
pub(crate) fn Code(
    #[prop(into)] text: String,
    /// What the button copies, for people who cannot see it.
    #[prop(into)]
    label: String,
    #[prop(optional, into)] testid: String,
) -> impl IntoView {
    let copied = text.clone();
    view! {
        <div class="code">
            <pre tabindex="0" data-testid=testid><code>{text}</code></pre>
            <CopyButton text=copied label=label/>
        </div>
    }
    .into_any()
}
