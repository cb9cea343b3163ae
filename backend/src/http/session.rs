//! First start, sign-in, sign-out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use coxswain_wire::{Boot, Session, SetupRequest, SignInRequest};
use zeroize::Zeroizing;

use super::address::ClientAddress;
use super::errors::{Answer, Failure};
use super::guard::{COOKIE, Caller, token};
use super::input::Input;
use crate::app::App;
use crate::auth::Token;

pub(super) async fn boot(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer<Json<Boot>> {
    let session = match token(&headers) {
        Some(token) => app
            .auth
            .session(&token)
            .await?
            .map(|signed_in| signed_in.session),
        None => None,
    };
    let setup_needed = !app.db.has_users().await?;
    Ok(Json(Boot {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        setup_needed,
        session,
    }))
}

pub(super) async fn set_up(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    Input(request): Input<SetupRequest>,
) -> Answer<Response> {
    let SetupRequest {
        secret,
        name,
        password,
    } = request;
    let secret = Zeroizing::new(secret);
    let (session, token) = app
        .auth
        .set_up(&secret, &name, Zeroizing::new(password), address)
        .await?;
    with_cookie(StatusCode::CREATED, session, &token)
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    Input(request): Input<SignInRequest>,
) -> Answer<Response> {
    let SignInRequest { name, password } = request;
    let (session, token) = app
        .auth
        .sign_in(&name, Zeroizing::new(password), address)
        .await?;
    with_cookie(StatusCode::OK, session, &token)
}

pub(super) async fn sign_out(State(app): State<Arc<App>>, caller: Caller) -> Answer<Response> {
    app.auth
        .sign_out(&caller.who(), caller.signed_in.token)
        .await?;
    let gone = format!("{COOKIE}=; Max-Age=0; {ATTRIBUTES}");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]).into_response())
}

/// Browsers take a `Secure` cookie over plain HTTP from loopback only, which is the only place where the
/// panel speaks plain HTTP to them.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

fn with_cookie(status: StatusCode, session: Session, token: &Token) -> Answer<Response> {
    let mut cookie = HeaderValue::from_str(&format!("{COOKIE}={}; {ATTRIBUTES}", token.expose()))
        .map_err(Failure::internal)?;
    cookie.set_sensitive(true);
    Ok((status, [(header::SET_COOKIE, cookie)], Json(session)).into_response())
}
