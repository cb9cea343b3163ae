//! Lists whose entries stay as they are while their keys stay. Does what `<For>` does, but all lists
//! share one compiled body, which the size of the first load shows.

use leptos::prelude::*;

/// An entry to be drawn if its key is new.
pub(crate) struct Entry {
    key: u64,
    draw: Box<dyn FnOnce() -> AnyView + Send>,
}

impl Entry {
    /// `key` is unique in its list and changes whenever the entry must be drawn again.
    pub(crate) fn new(key: u64, draw: impl FnOnce() -> AnyView + Send + 'static) -> Self {
        Self {
            key,
            draw: Box::new(draw),
        }
    }
}

/// Draws a list.
pub(crate) fn keyed(entries: impl Fn() -> Vec<Entry> + Send + 'static) -> AnyView {
    boxed(Box::new(entries))
}

fn boxed(entries: Box<dyn Fn() -> Vec<Entry> + Send>) -> AnyView {
    view! { <For each=move || entries() key=|entry: &Entry| entry.key children=|entry: Entry| (entry.draw)()/> }.into_any()
}
