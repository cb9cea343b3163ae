//! Live data as server-sent events.
//!
//! A stream reads the store whenever something changed and sends what is newer than its cursor: a slow
//! reader gets fewer and newer snapshots, never a queue that grows. The cursor of a run's stream is
//! `<sequence of the run>-<chunk of output>`; it is every event's id, so a reconnect goes on behind it.

mod overview;
mod run;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::Stream;
use serde::Serialize;
use tokio::sync::watch;

use super::errors::{Answer, Failure};
use super::guard::Caller;
use crate::app::App;
use crate::auth::TokenHash;
use crate::places::{Full, Place};

pub(super) use overview::overview;
pub(super) use run::run;

/// How often a silent stream says that it is there, and looks whether its session still is.
const BEAT: Duration = Duration::from_secs(15);

/// What every stream needs.
struct Base {
    app: Arc<App>,
    session: TokenHash,
    stopping: watch::Receiver<bool>,
    _place: Place,
}

impl Base {
    fn new(app: Arc<App>, caller: &Caller) -> Answer<Self> {
        let place = app
            .streams
            .take(caller.signed_in.session.user, caller.signed_in.token.0)
            .map_err(no_place)?;
        Ok(Self {
            session: caller.signed_in.token,
            stopping: app.stopping.clone(),
            app,
            _place: place,
        })
    }

    /// False when the panel stops or the session has ended: then the stream ends.
    async fn goes_on(&self) -> bool {
        if *self.stopping.borrow() {
            return false;
        }
        match self.app.auth.still(self.session).await {
            Ok(user) => user.is_some(),
            Err(error) => {
                tracing::error!(%error, "a stream cannot check its session");
                false
            }
        }
    }
}

fn no_place(full: Full) -> Failure {
    let (status, code, message) = match full {
        Full::Session => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "Too many live pages are open in this browser; close some.",
        ),
        Full::User => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            "Too many live pages are open under your name; close some, also in other browsers.",
        ),
        Full::All => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too many people have live pages open; try again soon.",
        ),
    };
    Failure {
        retry_after_s: Some(10),
        ..Failure::new(status, code, message)
    }
}

fn event(name: &'static str, data: &impl Serialize) -> Result<Event, Failure> {
    Event::default()
        .event(name)
        .json_data(data)
        .map_err(Failure::internal)
}

fn answer<S>(stream: S) -> Response
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    // Proxies must not collect events.
    let unbuffered = [("x-accel-buffering", "no")];
    (
        unbuffered,
        Sse::new(stream).keep_alive(KeepAlive::new().interval(BEAT)),
    )
        .into_response()
}

/// A feed ends on a failure; the browser comes back with its cursor.
fn logged(error: &Failure) {
    tracing::error!(code = error.code, message = error.message, cause = ?error.cause, "a stream ended");
}
