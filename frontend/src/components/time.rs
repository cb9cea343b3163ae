//! Points in time and spans: short to read, exact on hover.

use coxswain_wire::Timestamp;
use leptos::prelude::*;

use crate::format;
use crate::state::app;

/// `3 min ago`, kept current; the UTC time on hover.
#[component]
pub(crate) fn Ago(#[prop(into)] at: Signal<Timestamp>) -> impl IntoView {
    let now = app().now;
    // A memo, so that the text node changes only when the words do.
    let words = Memo::new(move |_| format::ago(at.get(), now.get()));
    view! { <time datetime=move || iso(at.get()) title=move || format::utc(at.get())>{words}</time> }.into_any()
}

/// How long something took, or takes until now.
#[component]
pub(crate) fn Elapsed(
    #[prop(into)] from: Signal<Option<Timestamp>>,
    #[prop(into)] to: Signal<Option<Timestamp>>,
) -> impl IntoView {
    let now = app().now;
    let words = Memo::new(move |_| match (from.get(), to.get()) {
        (Some(from), Some(to)) => format::duration(to.0 - from.0),
        (Some(from), None) => format::ticking(now.get() - from.0),
        (None, _) => String::new(),
    });
    let title = move || from.get().map(|at| format!("Began {}", format::utc(at)));
    view! { <span class="num" title=title>{words}</span> }.into_any()
}

fn iso(at: Timestamp) -> String {
    format!("{}T{}Z", format::date(at), format::clock(at))
}
