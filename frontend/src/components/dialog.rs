//! Dialogs: the browser's own `<dialog>`, which keeps the keyboard inside, closes on Esc and gives the
//! focus back.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::icon::{Glyph, Icon};
use super::when::when;

/// A modal dialog. Its content exists only while it is open.
#[component]
pub(crate) fn Dialog(
    open: RwSignal<bool>,
    #[prop(into)] title: Signal<String>,
    #[prop(optional, into)] testid: String,
    #[prop(optional)] wide: bool,
    children: ChildrenFn,
) -> impl IntoView {
    let node = NodeRef::<html::Dialog>::new();
    keep_in_step(node, open);
    let body = StoredValue::new(children);
    view! {
        <dialog
            class="dialog"
            class:dialog-wide=wide
            node_ref=node
            data-testid=testid
            aria-label=title
            on:close=move |_| open.set(false)
            on:click=move |event| {
                // The dialog itself is hit only beside its content: on the backdrop.
                let hit = event.target().and_then(|t| t.dyn_into::<web_sys::HtmlDialogElement>().ok());
                if hit.is_some() {
                    open.set(false);
                }
            }
        >
            {when(move || open.get(), move || view! {
                <div class="dialog-box">
                    <header class="dialog-head">
                        <h2>{title}</h2>
                        <button class="btn btn-icon" type="button" aria-label="Close" on:click=move |_| open.set(false)>
                            <Glyph icon=Icon::Close/>
                        </button>
                    </header>
                    <div class="dialog-body">{body.with_value(|children| children())}</div>
                </div>
            }.into_any())}
        </dialog>
    }.into_any()
}

/// Opens and closes the element as the signal says.
pub(crate) fn keep_in_step(node: NodeRef<html::Dialog>, open: RwSignal<bool>) {
    Effect::new(move |_| {
        let wanted = open.get();
        let Some(dialog) = node.get() else { return };
        if wanted && !dialog.open() {
            // One frame later the content stands, so that its first field gets the focus.
            request_animation_frame(move || {
                if open.try_get_untracked() == Some(true) && !dialog.open() {
                    // Fails only for an element that has left the page.
                    drop(dialog.show_modal());
                    focus_first(&dialog);
                }
            });
        } else if !wanted && dialog.open() {
            dialog.close();
        }
    });
}

/// The field marked `autofocus` gets the keyboard. Some browsers look for it only while they parse.
fn focus_first(dialog: &web_sys::HtmlDialogElement) {
    if let Ok(Some(field)) = dialog.query_selector("[autofocus]")
        && let Ok(field) = field.dyn_into::<web_sys::HtmlElement>()
    {
        drop(field.focus());
    }
}
