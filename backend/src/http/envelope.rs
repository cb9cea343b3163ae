//! Around every request: a number, security headers, the error envelope, a line in the log.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coxswain_engine::plan::hex;
use coxswain_wire::ApiError;

use super::errors::Failure;
use crate::app::App;
use crate::vault::random;

/// What the page needs and nothing else: no inline script or style, no other origin, no frame.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// A document of its own, with a policy of its own instead of the page's: narrower, never wider.
#[derive(Clone)]
pub(super) struct OwnPolicy(pub(super) String);

/// A year, as ASVS 5.0.0-3.4.1 asks; only said over TLS, where browsers heed it.
const HSTS: &str = "max-age=31536000";

pub(super) async fn envelope(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let mut number = [0; 8];
    random(&mut number);
    let number = hex(&number);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let api = path.starts_with("/api/");

    let mut response = next.run(request).await;
    if api && (response.status().is_client_error() || response.status().is_server_error()) {
        response = explain(response, &number);
    }
    let own = response.extensions().get::<OwnPolicy>();
    let own = own.and_then(|policy| HeaderValue::from_str(&policy.0).ok());
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(policy) = own {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if app.config.exposure.is_https() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(HSTS),
        );
    }
    if let Ok(value) = HeaderValue::from_str(&number) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    // Debug formatting of the path keeps control characters out of the log.
    tracing::debug!(%method, ?path, status, ?took, request_id = number, "request");
    response
}

fn explain(response: Response, number: &str) -> Response {
    let status = response.status();
    let failure = match response.extensions().get::<Failure>() {
        Some(failure) => failure.clone(),
        // Made by a layer or by the router.
        None => Failure::new(status, code(status), message(status)),
    };
    if let Some(cause) = &failure.cause {
        let causes: Vec<String> = std::iter::successors(cause.source(), |e| e.source())
            .map(ToString::to_string)
            .collect();
        tracing::error!(request_id = number, error = %cause, ?causes, "request failed");
    }
    let body = ApiError {
        code: failure.code.to_owned(),
        message: failure.message,
        field: failure.field,
        request_id: number.to_owned(),
    };
    let mut explained = (status, Json(body)).into_response();
    keep(response.headers(), explained.headers_mut());
    if let Some(seconds) = failure.retry_after_s {
        explained
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    explained
}

fn keep(from: &HeaderMap, to: &mut HeaderMap) {
    for name in [header::ALLOW, header::SET_COOKIE] {
        for value in from.get_all(&name) {
            to.append(name.clone(), value.clone());
        }
    }
}

fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        StatusCode::GATEWAY_TIMEOUT => "timed_out",
        _ if status.is_client_error() => "bad_request",
        _ => "internal",
    }
}

fn message(status: StatusCode) -> String {
    match status {
        StatusCode::NOT_FOUND => "There is nothing at this address.".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => "This address does not take this method.".to_owned(),
        StatusCode::GATEWAY_TIMEOUT => "This took too long and was given up.".to_owned(),
        other => other.canonical_reason().unwrap_or("Refused").to_owned() + ".",
    }
}
