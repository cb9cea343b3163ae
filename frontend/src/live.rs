//! The only `EventSource`. Keeps one stream open, comes back after a loss with growing pauses, and says
//! how it is doing in [`App::link`].
//!
//! A short loss is mended by the browser itself, which sends `Last-Event-ID`. When the browser has
//! given up (an HTTP status that is no success), a new source is opened here; it replays from where its
//! address says, so every receiver drops what it already has by its own cursor (run sequence, chunk number).
//!
//! A tab that nobody sees rests: a browser opens six connections to a host over HTTP/1.1, so a handful of
//! tabs, or pages kept for going back, would leave none for requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use leptos::leptos_dom::helpers::{
    TimeoutHandle, WindowListenerHandle, window_event_listener_untyped,
};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{EventSource, MessageEvent};

use crate::api;
use crate::state::App;

/// How the stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet answered.
    Connecting,
    /// Events come as they happen.
    Live,
    /// Lost; how often it was tried since.
    Retrying(u32),
}

/// Longest pause between two tries, seconds.
const MAX_PAUSE_S: u64 = 30;

/// Takes the data of one kind of event.
pub(crate) type Receiver = (&'static str, Rc<dyn Fn(&str)>);

/// An open stream; closed when dropped.
pub(crate) struct Stream {
    inner: Rc<Inner>,
    visibility: Option<WindowListenerHandle>,
}

struct Inner {
    app: App,
    url: String,
    receivers: Vec<Receiver>,
    source: RefCell<Option<Open>>,
    tries: Cell<u32>,
    pause: RefCell<Option<TimeoutHandle>>,
    closed: Cell<bool>,
}

/// A source with the closures it calls, which must live as long.
struct Open {
    source: EventSource,
    _on_open: Closure<dyn Fn()>,
    _on_error: Closure<dyn Fn()>,
    _on_event: Vec<Closure<dyn Fn(MessageEvent)>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}

impl Stream {
    /// Opens a stream and hands each event to its receiver.
    pub(crate) fn open(app: App, url: String, receivers: Vec<Receiver>) -> Self {
        app.link.set(Link::Connecting);
        let inner = Rc::new(Inner {
            app,
            url,
            receivers,
            source: RefCell::new(None),
            tries: Cell::new(0),
            pause: RefCell::new(None),
            closed: Cell::new(false),
        });
        connect(&inner);
        let weak = Rc::downgrade(&inner);
        let visibility = window_event_listener_untyped("visibilitychange", move |_| {
            if let Some(inner) = weak.upgrade() {
                if document().hidden() {
                    inner.rest();
                } else if inner.source.borrow().is_none() {
                    inner.rest();
                    connect(&inner);
                }
            }
        });
        Self {
            inner,
            visibility: Some(visibility),
        }
    }
}

impl Inner {
    /// Closes the source and opens none until somebody asks.
    fn rest(&self) {
        self.source.take();
        if let Some(pause) = self.pause.take() {
            pause.clear();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inner.closed.set(true);
        self.inner.rest();
        if let Some(visibility) = self.visibility.take() {
            visibility.remove();
        }
    }
}

fn connect(inner: &Rc<Inner>) {
    let Ok(source) = EventSource::new(&inner.url) else {
        later(inner);
        return;
    };
    let weak = Rc::downgrade(inner);
    let on_open = Closure::<dyn Fn()>::new(move || {
        if let Some(inner) = weak.upgrade() {
            inner.tries.set(0);
            inner.app.link.set(Link::Live);
        }
    });
    source.set_onopen(Some(on_open.as_ref().unchecked_ref()));

    let weak = Rc::downgrade(inner);
    let on_error = Closure::<dyn Fn()>::new(move || {
        if let Some(inner) = weak.upgrade() {
            lost(&inner);
        }
    });
    source.set_onerror(Some(on_error.as_ref().unchecked_ref()));

    let on_event = inner
        .receivers
        .iter()
        .map(|(name, receive)| {
            let receive = Rc::clone(receive);
            let closure = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
                if let Some(data) = event.data().as_string() {
                    receive(&data);
                }
            });
            // Fails only for a listener that is no function.
            drop(source.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref()));
            closure
        })
        .collect();
    *inner.source.borrow_mut() = Some(Open {
        source,
        _on_open: on_open,
        _on_error: on_error,
        _on_event: on_event,
    });
}

fn lost(inner: &Rc<Inner>) {
    let tries = inner.tries.get() + 1;
    inner.tries.set(tries);
    inner.app.link.set(Link::Retrying(tries));
    let given_up = inner
        .source
        .borrow()
        .as_ref()
        .is_none_or(|open| open.source.ready_state() == EventSource::CLOSED);
    if !given_up {
        return;
    }
    later(inner);
    let app = inner.app;
    spawn_local(async move {
        // A stream does not show its status; the session may simply be over.
        if let Ok(boot) = api::boot().await
            && boot.session.is_none()
        {
            app.session.try_set(None);
        }
    });
}

fn later(inner: &Rc<Inner>) {
    if inner.closed.get() {
        return;
    }
    let seconds = (1u64 << inner.tries.get().min(5)).min(MAX_PAUSE_S);
    let weak = Rc::downgrade(inner);
    let pause = set_timeout_with_handle(
        move || {
            if let Some(inner) = weak.upgrade()
                && !inner.closed.get()
            {
                connect(&inner);
            }
        },
        Duration::from_secs(seconds),
    );
    *inner.pause.borrow_mut() = pause.ok();
}
