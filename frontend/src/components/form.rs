//! Forms: one call at a time, its failure shown at the field it concerns or above the buttons.

use std::future::Future;
use std::pin::Pin;

use leptos::prelude::*;
use leptos::task::spawn_local;

use super::callout::callout;
use super::icon::Icon;
use crate::api::{Answer, Failure};
use crate::browser;
use crate::words::Tone;

/// State of a form; each of its fields holds it.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub(crate) busy: RwSignal<bool>,
    pub(crate) failure: RwSignal<Option<Failure>>,
    /// Fields on screen, so that a failure of any other is shown above the buttons.
    names: RwSignal<Vec<String>>,
}

impl Form {
    /// A new form.
    pub(crate) fn new() -> Self {
        Self {
            busy: RwSignal::new(false),
            failure: RwSignal::new(None),
            names: RwSignal::new(Vec::new()),
        }
    }

    /// Says that a field is on screen, and gives what is wrong with it.
    pub(crate) fn field(self, name: &str) -> Signal<Option<String>> {
        let name = name.to_owned();
        self.names
            .update_untracked(|names| names.push(name.clone()));
        let gone = name.clone();
        let names = self.names;
        on_cleanup(move || {
            names.try_update_untracked(|names| names.retain(|n| *n != gone));
        });
        let failure = self.failure;
        Signal::derive(move || {
            failure.with(|f| {
                f.as_ref()
                    .filter(|f| f.concerns(&name))
                    .map(|f| f.message.clone())
            })
        })
    }

    /// What is wrong with no field on screen.
    pub(crate) fn rest(self) -> Option<String> {
        self.failure.with(|failure| {
            let failure = failure.as_ref()?;
            let shown = self
                .names
                .with_untracked(|names| names.iter().any(|name| failure.concerns(name)));
            match (&failure.field, shown) {
                (_, true) => None,
                (Some(field), false) => Some(format!("{field}: {}", failure.message)),
                (None, false) => Some(failure.message.clone()),
            }
        })
    }

    /// Shows a failure found here, before any call.
    pub(crate) fn refuse(self, field: &str, message: &str) {
        self.failure.set(Some(Failure {
            status: 0,
            code: "invalid_field".into(),
            message: message.into(),
            field: Some(field.into()),
            request_id: None,
        }));
        focus_wrong_field();
    }

    /// Makes the call unless one is under way; `done` gets its value.
    pub(crate) fn submit<T: 'static>(
        self,
        call: impl Future<Output = Answer<T>> + 'static,
        done: impl FnOnce(T) + 'static,
    ) {
        self.submit_boxed(Box::pin(call), Box::new(done));
    }

    /// Boxed, so that it is compiled once for each kind of answer, not for each use.
    fn submit_boxed<T: 'static>(
        self,
        call: Pin<Box<dyn Future<Output = Answer<T>>>>,
        done: Box<dyn FnOnce(T)>,
    ) {
        if self.busy.get_untracked() {
            return;
        }
        self.busy.set(true);
        self.failure.set(None);
        spawn_local(async move {
            let answer = call.await;
            self.busy.try_set(false);
            match answer {
                Ok(value) => done(value),
                Err(failure) => {
                    self.failure.try_set(Some(failure));
                    focus_wrong_field();
                }
            }
        });
    }
}

fn focus_wrong_field() {
    request_animation_frame(|| browser::focus("[aria-invalid=true]"));
}

/// A failure that belongs to no field.
#[component]
pub(crate) fn FormFailure(form: Form) -> impl IntoView {
    view! {
        <div role="alert" data-testid="form-failure">
            {move || form.rest().map(|text| callout(Tone::Bad, Icon::Warn, text))}
        </div>
    }
    .into_any()
}
