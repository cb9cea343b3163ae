//! Data that a page fetches once and again on demand, and how it looks meanwhile.

use std::future::Future;
use std::pin::Pin;

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::{Answer, Failure};
use crate::components::button::{Button, Look};
use crate::components::empty::Empty;
use crate::components::icon::Icon;

/// Fetched data; keeps the last answer while it fetches again.
pub(crate) struct Loaded<T: Send + Sync + 'static> {
    /// None until the first answer.
    answer: RwSignal<Option<Answer<T>>>,
    again: RwSignal<u32>,
}

impl<T: Send + Sync + 'static> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Loaded<T> {}

/// Fetches now, and whenever [`Loaded::reload`] is called. A late answer never replaces a newer one.
pub(crate) fn load<T, A>(fetch: impl Fn() -> A + 'static) -> Loaded<T>
where
    T: Send + Sync + 'static,
    A: Future<Output = Answer<T>> + 'static,
{
    load_boxed(Box::new(move || Box::pin(fetch())))
}

/// An answer on its way.
type Coming<T> = Pin<Box<dyn Future<Output = Answer<T>>>>;

/// Boxed, so that it is compiled once for each kind of answer, not for each use.
fn load_boxed<T: Send + Sync + 'static>(fetch: Box<dyn Fn() -> Coming<T>>) -> Loaded<T> {
    let answer = RwSignal::new(None);
    let again = RwSignal::new(0u32);
    Effect::new(move |_| {
        let turn = again.get();
        let fetched = fetch();
        spawn_local(async move {
            let got = fetched.await;
            if again.try_get_untracked() == Some(turn) {
                answer.try_set(Some(got));
            }
        });
    });
    Loaded { answer, again }
}

impl<T: Clone + Send + Sync + 'static> Loaded<T> {
    /// Fetches again.
    pub(crate) fn reload(self) {
        self.again.try_update(|n| *n += 1);
    }

    /// The data, if it came.
    pub(crate) fn value(self) -> Option<T> {
        self.answer
            .with(|a| a.as_ref().and_then(|a| a.as_ref().ok().cloned()))
    }

    /// Changes what is there, for instance by the answer to a change.
    pub(crate) fn update(self, change: impl FnOnce(&mut T)) {
        self.answer.try_update(|a| {
            if let Some(Ok(value)) = a {
                change(value);
            }
        });
    }

    /// A skeleton until the first answer, then the data or what went wrong.
    pub(crate) fn view<V: IntoView + 'static>(self, draw: impl Fn(T) -> V + 'static) -> AnyView {
        let draw = StoredValue::new_local(draw);
        (move || match self.answer.get() {
            None => view! { <Skeleton/> }.into_any(),
            Some(Err(failure)) => problem(failure, move || self.reload()),
            Some(Ok(value)) => draw.with_value(|draw| draw(value).into_any()),
        })
        .into_any()
    }
}

/// What went wrong, with a way to try again.
pub(crate) fn problem(failure: Failure, retry: impl Fn() + Send + 'static) -> AnyView {
    let id = failure.request_id;
    view! {
        <Empty icon=Icon::Warn title="This could not be loaded">
            <p>{failure.message}</p>
            {id.map(|id| view! { <p class="hint">"Request " <code>{id}</code></p> }.into_any())}
            <Button look=Look::Plain icon=Icon::Retry on_click=move |_| retry()>"Try again"</Button>
        </Empty>
    }
    .into_any()
}

/// Grey bars where content will be.
#[component]
pub(crate) fn Skeleton() -> impl IntoView {
    view! {
        <div class="skeleton" role="status" aria-label="Loading">
            <span></span><span></span><span></span><span></span>
        </div>
    }
    .into_any()
}
