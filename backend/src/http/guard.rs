//! Who may call a route: session, CSRF, permission. Runs before the handler of every route.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coxswain_engine::event::Actor;
use coxswain_wire::{CSRF_HEADER, Permission, Session};
use subtle::ConstantTimeEq;

use super::address::ClientAddress;
use super::errors::{Answer, Failure};
use crate::app::App;
use crate::audit::Who;
use crate::auth::{SignedIn, Token};

/// As much of a refused path goes into the trail, in characters.
const LONGEST_NOTED_PATH: usize = 200;
/// Name of the session's cookie.
pub(super) const COOKIE: &str = "__Host-coxswain";

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: what comes before a session.
    Open,
    /// A session that allows this.
    Needs(Permission),
    /// A session that allows any command of a run; the handler looks at which one it is.
    Command,
}

impl Access {
    /// Whether somebody may call the route at all.
    #[must_use]
    pub fn admits(self, session: &Session) -> bool {
        match self {
            Access::Open => true,
            Access::Needs(permission) => session.may(permission),
            Access::Command => session.may(Permission::Operate) || session.may(Permission::Approve),
        }
    }
}

/// The signed-in caller of a route.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) signed_in: SignedIn,
    pub(super) address: IpAddr,
}

impl Caller {
    /// For the audit.
    pub(super) fn who(&self) -> Who {
        Who {
            actor: self.signed_in.session.name.clone(),
            address: self.address.to_string(),
        }
    }

    /// For the engine.
    pub(super) fn actor(&self) -> Actor {
        let session = &self.signed_in.session;
        Actor {
            id: session.user,
            name: session.name.clone(),
            address: self.address.to_string(),
        }
    }
}

/// Taken by handlers of routes that are not open; the guard has put it there.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        parts
            .extensions
            .get::<Caller>()
            .cloned()
            .ok_or_else(signed_out)
    }
}

/// What the guard of one route knows.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: Arc<App>,
    pub(super) access: Access,
}

impl FromRef<Gate> for Arc<App> {
    fn from_ref(gate: &Gate) -> Self {
        gate.app.clone()
    }
}

/// The middleware of one route.
pub(super) async fn guard(
    State(Gate { app, access }): State<Gate>,
    ClientAddress(address): ClientAddress,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match check(&app, access, address, &parts).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(failure) => failure.into_response(),
    }
}

async fn check(
    app: &App,
    access: Access,
    address: IpAddr,
    request: &Parts,
) -> Answer<Option<Caller>> {
    let headers = &request.headers;
    let changes = !matches!(request.method, Method::GET | Method::HEAD);
    if changes {
        same_origin(headers)?;
    }
    let csrf = headers.get(CSRF_HEADER).map(|v| v.as_bytes());
    if access == Access::Open {
        return if changes && csrf.is_none() {
            Err(csrf_missing())
        } else {
            Ok(None)
        };
    }
    let signed_in = match token(headers) {
        Some(token) => app.auth.session(&token).await?,
        None => None,
    };
    let caller = Caller {
        signed_in: signed_in.ok_or_else(signed_out)?,
        address,
    };
    let session = &caller.signed_in.session;
    if changes && !csrf.is_some_and(|given| bool::from(given.ct_eq(session.csrf.as_bytes()))) {
        return Err(csrf_missing());
    }
    if !access.admits(session) {
        if changes {
            // The trail is for ever, and this is anybody's text.
            let path: String = request
                .uri
                .path()
                .chars()
                .take(LONGEST_NOTED_PATH)
                .collect();
            let subject = format!("{} {path}", request.method);
            app.auth.note_forbidden(&caller.who(), subject).await?;
        }
        return Err(forbidden());
    }
    Ok(Some(caller))
}

/// The session's token, if the request carries one.
pub(super) fn token(headers: &HeaderMap) -> Option<Token> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .and_then(|(_, value)| value.parse().ok())
}

/// Refuses what a page of another origin sends. Callers that are no browser send neither header.
fn same_origin(headers: &HeaderMap) -> Answer<()> {
    let text = |name| {
        headers
            .get(name)
            .map(|v: &axum::http::HeaderValue| v.to_str().unwrap_or("?"))
    };
    let cross = match (
        text(header::HeaderName::from_static("sec-fetch-site")),
        text(header::ORIGIN),
    ) {
        (Some(site), _) => site != "same-origin",
        (None, Some(origin)) => {
            let host = text(header::HOST).unwrap_or_default();
            origin
                .split_once("://")
                .is_none_or(|(_, authority)| authority != host)
        }
        (None, None) => false,
    };
    if cross {
        let message = "This request comes from another site and was refused.";
        return Err(Failure::new(StatusCode::FORBIDDEN, "cross_site", message));
    }
    Ok(())
}

pub(super) fn forbidden() -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "Your role does not allow this.",
    )
}

fn signed_out() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED, "signed_out", "Sign in first.")
}

fn csrf_missing() -> Failure {
    let message =
        format!("The header {CSRF_HEADER} is missing or is not this session's. Reload the page.");
    Failure::new(StatusCode::FORBIDDEN, "csrf", message)
}
