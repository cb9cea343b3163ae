//! Buttons, and links that look like buttons.

use leptos::ev::MouseEvent;
use leptos::prelude::*;

use super::icon::{Glyph, Icon};

/// How loud a button is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Look {
    /// The one thing to do here.
    Primary,
    /// Anything else.
    #[default]
    Plain,
    /// Within other content.
    Ghost,
    /// Takes something away.
    Danger,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Look::Primary => "btn btn-primary",
            Look::Plain => "btn",
            Look::Ghost => "btn btn-ghost",
            Look::Danger => "btn btn-danger",
        }
    }
}

/// A button with words.
#[component]
pub(crate) fn Button(
    #[prop(optional)] look: Look,
    #[prop(optional)] icon: Option<Icon>,
    #[prop(optional, into)] testid: String,
    /// Not now.
    #[prop(optional, into)]
    disabled: Signal<bool>,
    /// Under way: disabled, with a turning icon.
    #[prop(optional, into)]
    busy: Signal<bool>,
    /// Submits its form.
    #[prop(optional)]
    submit: bool,
    /// Presses it from anywhere on the page.
    #[prop(optional)]
    key: Option<&'static str>,
    #[prop(optional, into)] title: Option<String>,
    #[prop(optional, into)] on_click: Option<UnsyncCallback<MouseEvent>>,
    children: Children,
) -> impl IntoView {
    view! {
        <button
            class=look.class()
            type=if submit { "submit" } else { "button" }
            data-testid=testid
            data-key=key
            title=title
            disabled=move || disabled.get() || busy.get()
            aria-busy=move || busy.get().then_some("true")
            on:click=move |event| {
                if let Some(on_click) = &on_click {
                    on_click.run(event);
                }
            }
        >
            {move || match (busy.get(), icon) {
                (true, _) => Some(Icon::Spinner),
                (false, icon) => icon,
            }
            .map(|icon| view! { <Glyph icon/> }.into_any())}
            {children()}
        </button>
    }
    .into_any()
}

/// A button with an icon only; the label is spoken and shown on hover.
#[component]
pub(crate) fn IconButton(
    icon: Icon,
    #[prop(into)] label: String,
    #[prop(optional, into)] testid: String,
    #[prop(optional)] key: Option<&'static str>,
    /// Whether it is switched on, if it is a switch.
    #[prop(optional)]
    pressed: Option<Signal<bool>>,
    #[prop(into)] on_click: UnsyncCallback<MouseEvent>,
) -> impl IntoView {
    view! {
        <button
            class="btn btn-icon"
            type="button"
            data-testid=testid
            data-key=key
            title=label.clone()
            aria-label=label
            aria-pressed=move || pressed.map(|p| if p.get() { "true" } else { "false" })
            on:click=move |event| on_click.run(event)
        >
            <Glyph icon/>
        </button>
    }
    .into_any()
}

/// A link that looks like a button.
#[component]
pub(crate) fn LinkButton(
    #[prop(into)] href: String,
    #[prop(optional)] look: Look,
    #[prop(optional)] icon: Option<Icon>,
    #[prop(optional, into)] testid: String,
    children: Children,
) -> impl IntoView {
    view! {
        <a href=href class=look.class() data-testid=testid>
            {icon.map(|icon| view! { <Glyph icon/> }.into_any())}
            {children()}
        </a>
    }
    .into_any()
}
