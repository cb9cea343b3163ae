//! A sentence that must not be overlooked.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};
use crate::words::Tone;

/// Icon and words in the colour of what they mean.
pub(crate) fn callout(tone: Tone, icon: Icon, text: impl Into<String>) -> AnyView {
    let text = text.into();
    view! {
        <p class=format!("callout tone-{}", tone.class())>
            <Glyph icon/>
            <span>{text}</span>
        </p>
    }
    .into_any()
}
