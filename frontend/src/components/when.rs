//! Parts that are there only while something holds.

use leptos::prelude::*;

/// Draws while the condition holds; draws anew only when it changes. Does what `<Show>` does, but all uses share
/// one compiled body, which the size of the first load shows.
pub(crate) fn when(
    holds: impl Fn() -> bool + Send + Sync + 'static,
    draw: impl Fn() -> AnyView + Send + 'static,
) -> AnyView {
    boxed(Box::new(holds), Box::new(draw))
}

fn boxed(
    holds: Box<dyn Fn() -> bool + Send + Sync>,
    draw: Box<dyn Fn() -> AnyView + Send>,
) -> AnyView {
    let holds = Memo::new(move |_| holds());
    (move || holds.get().then(&draw)).into_any()
}
