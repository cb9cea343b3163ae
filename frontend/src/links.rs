//! Clicks on links of this page change the page without loading it anew.
//!
//! The router's own listener leaves the address bar to its route table; here a plain match takes that table's
//! place (see [`crate::paths::Page`]), so links are followed here.

use leptos::ev::MouseEvent;
use leptos_router::NavigateOptions;
use wasm_bindgen::JsCast;
use web_sys::HtmlAnchorElement;

/// Follows the link that was clicked, if it leads to a page of this program. Everything the browser does
/// better stays with it: other buttons and keys, other origins, downloads, `rel="external"`.
pub(crate) fn follow(event: &MouseEvent, navigate: impl Fn(&str, NavigateOptions)) {
    let plain = event.button() == 0
        && !(event.ctrl_key() || event.meta_key() || event.alt_key() || event.shift_key());
    if !plain || event.default_prevented() {
        return;
    }
    let Some(target) = event
        .target()
        .and_then(|t| t.dyn_into::<web_sys::Element>().ok())
    else {
        return;
    };
    let Ok(Some(link)) = target.closest("a[href]") else {
        return;
    };
    let Ok(link) = link.dyn_into::<HtmlAnchorElement>() else {
        return;
    };
    let other_origin = crate::browser::window()
        .location()
        .origin()
        .is_ok_and(|own| own != link.origin());
    if other_origin
        || link.has_attribute("download")
        || link.rel() == "external"
        || !link.target().is_empty()
    {
        return;
    }
    event.prevent_default();
    let path = format!("{}{}{}", link.pathname(), link.search(), link.hash());
    let scroll = !link.has_attribute("data-noscroll");
    navigate(
        &path,
        NavigateOptions {
            resolve: false,
            scroll,
            ..NavigateOptions::default()
        },
    );
}
