//! The keyboard: what single keys do, and the sheet that says so.

use leptos::ev::KeyboardEvent;
use leptos::prelude::*;
use leptos_router::hooks::use_navigate;
use wasm_bindgen::JsCast;

use super::dialog::Dialog;
use crate::state::{App, app};
use crate::{browser, paths};

/// Milliseconds between `g` and the key after it.
const SEQUENCE_MS: i64 = 1_200;

/// Key after `g`, where it leads, and what it is called.
const GO: [(&str, &str, &str); 6] = [
    ("c", paths::CLUSTERS, "Clusters"),
    ("r", paths::RUNS, "Runs"),
    ("p", paths::APPROVALS, "Approvals"),
    ("h", paths::HOSTS, "Hosts"),
    ("a", paths::AUDIT, "Audit"),
    ("s", paths::SETTINGS, "Settings"),
];

/// Listens on the whole page.
pub(crate) fn listen(app: App) {
    let navigate = use_navigate();
    let went_g = StoredValue::new(0i64);
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        if (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k") {
            event.prevent_default();
            app.palette_open.update(|open| *open = !*open);
            return;
        }
        if !app.single_keys.get_untracked()
            || is_typing(&event)
            || browser::find("dialog[open]").is_some()
        {
            return;
        }
        let key = event.key();
        let after_g = browser::now() - went_g.get_value() < SEQUENCE_MS;
        went_g.set_value(0);
        if after_g && let Some((_, path, _)) = GO.iter().find(|(k, _, _)| *k == key) {
            event.prevent_default();
            navigate(path, leptos_router::NavigateOptions::default());
            return;
        }
        match key.as_str() {
            "g" => went_g.set_value(browser::now()),
            "?" => app.keys_open.set(true),
            "/" => {
                if browser::find("[data-search]").is_some() {
                    event.prevent_default();
                    browser::focus("[data-search]");
                }
            }
            "j" => move_row(1),
            "k" => move_row(-1),
            key => press(key),
        }
    });
    on_cleanup(move || handle.remove());
}

fn is_typing(event: &KeyboardEvent) -> bool {
    if event.ctrl_key() || event.meta_key() || event.alt_key() {
        return true;
    }
    let Some(element) = event
        .target()
        .and_then(|t| t.dyn_into::<web_sys::Element>().ok())
    else {
        return false;
    };
    let text_input = element.tag_name() == "INPUT"
        && !matches!(
            element.get_attribute("type").as_deref(),
            Some("checkbox" | "radio" | "button")
        );
    text_input || matches!(element.tag_name().as_str(), "TEXTAREA" | "SELECT")
}

/// Puts the keyboard on the next or previous row of the page.
fn move_row(by: isize) {
    let rows = browser::find_all("[data-row]");
    let now =
        browser::focused().and_then(|f| rows.iter().position(|row| row.is_same_node(Some(&f))));
    let next = match now {
        Some(now) => now
            .saturating_add_signed(by)
            .min(rows.len().saturating_sub(1)),
        None => 0,
    };
    if let Some(row) = rows.get(next) {
        drop(row.focus());
    }
}

/// Presses the button that says it answers to this key.
fn press(key: &str) {
    let known = key.len() == 1
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '[' || c == ']');
    if known && let Some(button) = browser::find(&format!("[data-key=\"{key}\"]:not([disabled])")) {
        button.click();
    }
}

/// The sheet behind `?`.
#[component]
pub(crate) fn KeySheet() -> impl IntoView {
    let app = app();
    let row = |keys: &'static [&'static str], what: &'static str| {
        let keys = keys
            .iter()
            .map(|key| view! { <kbd>{*key}</kbd> }.into_any())
            .collect_view();
        view! { <div class="key-row"><span>{what}</span><span class="key-keys">{keys}</span></div> }
            .into_any()
    };
    view! {
        <Dialog open=app.keys_open title="Keyboard" testid="key-sheet" wide=true>
            <div class="key-sheet">
                <section>
                    <h3>"Everywhere"</h3>
                    {row(&["Ctrl", "K"], "Find anything")}
                    {row(&["?"], "This sheet")}
                    {row(&["/"], "Search on this page")}
                    {row(&["j"], "Next row")}
                    {row(&["k"], "Previous row")}
                    {row(&["Esc"], "Close")}
                </section>
                <section>
                    <h3>"Go to"</h3>
                    {GO.iter().map(|(key, _, name)| view! {
                        <div class="key-row">
                            <span>{*name}</span>
                            <span class="key-keys"><kbd>"g"</kbd><kbd>{*key}</kbd></span>
                        </div>
                    }.into_any()).collect_view()}
                </section>
                <section>
                    <h3>"Run"</h3>
                    {row(&["f"], "Follow the log")}
                    {row(&["w"], "Break long lines")}
                    {row(&["["], "Previous step in trouble")}
                    {row(&["]"], "Next step in trouble")}
                </section>
                <section>
                    <h3>"Lists"</h3>
                    {row(&["n"], "New")}
                    {row(&["Enter"], "Open the row")}
                </section>
            </div>
            <p class="hint">"Single keys can be switched off in Settings."</p>
        </Dialog>
    }
    .into_any()
}
