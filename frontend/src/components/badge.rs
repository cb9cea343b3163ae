//! States as people see them at a glance: icon, words and colour together.

use leptos::prelude::*;

use super::icon::Glyph;
use crate::words::{Look, Tone};

/// A state in a pill.
#[component]
pub(crate) fn Badge(
    #[prop(into)] look: Signal<Look>,
    #[prop(optional, into)] testid: String,
    /// Stored word of the state, for tests.
    #[prop(optional, into)]
    state: Signal<&'static str>,
) -> impl IntoView {
    view! {
        <span class=move || format!("badge tone-{}", look.get().1.class()) data-testid=testid data-state=state>
            <Glyph icon=Signal::derive(move || look.get().2)/>
            <span>{move || look.get().0}</span>
        </span>
    }.into_any()
}

/// A round icon for lists; the words are spoken and shown on hover.
#[component]
pub(crate) fn StatusIcon(#[prop(into)] look: Signal<Look>) -> impl IntoView {
    view! {
        <span
            class=move || format!("status-icon tone-{}", look.get().1.class())
            title=move || look.get().0
            role="img"
            aria-label=move || look.get().0
        >
            <Glyph icon=Signal::derive(move || look.get().2)/>
        </span>
    }
    .into_any()
}

/// A quiet label without a state.
#[component]
pub(crate) fn Tag(#[prop(into)] text: String, #[prop(optional)] tone: Tone) -> impl IntoView {
    view! { <span class=format!("tag tone-{}", tone.class())>{text}</span> }.into_any()
}

/// A share of parts that are well.
#[component]
pub(crate) fn Meter(
    #[prop(into)] parts: Signal<(u32, u32)>,
    #[prop(into)] tone: Signal<Tone>,
    #[prop(into)] label: String,
) -> impl IntoView {
    // An SVG, because the page's policy forbids style attributes.
    view! {
        <svg
            class=move || format!("meter tone-{}", tone.get().class())
            viewBox="0 0 100 4"
            preserveAspectRatio="none"
            role="img"
            aria-label=move || format!("{label}: {} of {}", parts.get().0, parts.get().1)
        >
            <rect class="meter-track" width="100" height="4"/>
            <rect
                class="meter-fill"
                height="4"
                width=move || {
                    let (well, all) = parts.get();
                    (well.min(all) * 100).checked_div(all).unwrap_or(0).to_string()
                }
            />
        </svg>
    }
    .into_any()
}
