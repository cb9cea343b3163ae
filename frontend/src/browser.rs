//! Small questions to the browser that several parts ask.

use leptos::prelude::{document, window as leptos_window};
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, Window};

/// The window this page lives in.
pub(crate) fn window() -> Window {
    leptos_window()
}

/// The browser's clock, Unix milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "milliseconds since 1970 fit in 53 bits"
)]
pub(crate) fn now() -> i64 {
    js_sys::Date::now() as i64
}

/// The window's title.
pub(crate) fn set_title(title: &str) {
    document().set_title(title);
}

/// The first element that matches.
pub(crate) fn find(selector: &str) -> Option<HtmlElement> {
    document().query_selector(selector).ok()??.dyn_into().ok()
}

/// All elements that match, in document order.
pub(crate) fn find_all(selector: &str) -> Vec<HtmlElement> {
    let Ok(list) = document().query_selector_all(selector) else {
        return Vec::new();
    };
    (0..list.length())
        .filter_map(|i| list.item(i)?.dyn_into().ok())
        .collect()
}

/// Puts the keyboard on the first element that matches, if there is one.
pub(crate) fn focus(selector: &str) {
    if let Some(element) = find(selector) {
        // Focus only fails on elements that are gone.
        drop(element.focus());
    }
}

/// The element that has the keyboard.
pub(crate) fn focused() -> Option<HtmlElement> {
    document().active_element()?.dyn_into().ok()
}

/// Lets the browser save text as a file; false if it refuses.
pub(crate) fn save(name: &str, kind: &str, text: &str) -> bool {
    try_save(name, kind, text).is_some()
}

fn try_save(name: &str, kind: &str, text: &str) -> Option<()> {
    let options = web_sys::BlobPropertyBag::new();
    options.set_type(kind);
    let parts = js_sys::Array::of1(&text.into());
    let blob = web_sys::Blob::new_with_str_sequence_and_options(&parts, &options).ok()?;
    let url = web_sys::Url::create_object_url_with_blob(&blob).ok()?;
    let link: web_sys::HtmlAnchorElement = document().create_element("a").ok()?.dyn_into().ok()?;
    link.set_href(&url);
    link.set_download(name);
    link.click();
    // The click has taken the file; what it was made of must not stay in the page.
    web_sys::Url::revoke_object_url(&url).ok()
}

/// Puts text on the clipboard; false if the browser refuses (an address that is neither HTTPS nor loopback).
pub(crate) async fn copy(text: &str) -> bool {
    let clipboard = window().navigator().clipboard();
    // Absent outside secure contexts, although the binding says that it always is there.
    if clipboard.is_undefined() {
        return false;
    }
    wasm_bindgen_futures::JsFuture::from(clipboard.write_text(text))
        .await
        .is_ok()
}
