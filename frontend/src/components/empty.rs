//! What stands where nothing is yet.

use leptos::prelude::*;

use super::icon::{Glyph, Icon};

/// Says what is missing and leads on.
#[component]
pub(crate) fn Empty(icon: Icon, #[prop(into)] title: String, children: Children) -> impl IntoView {
    view! {
        <div class="empty">
            <span class="empty-icon"><Glyph icon/></span>
            <h2>{title}</h2>
            <div class="empty-body">{children()}</div>
        </div>
    }
    .into_any()
}
