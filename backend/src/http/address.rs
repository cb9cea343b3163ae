//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::errors::Failure;
use crate::app::App;
use crate::config::Proxies;

/// The caller's address; behind a trusted proxy, the one that the proxy saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl<S> FromRequestParts<S> for ClientAddress
where
    Arc<App>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let app = Arc::<App>::from_ref(state);
        let trusted = app.config.exposure.trusted_proxies();
        Ok(Self(seen(peer(&parts.extensions), trusted, &parts.headers)))
    }
}

/// Who has opened the connection.
fn peer(extensions: &Extensions) -> IpAddr {
    let info = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = info.map_or(Ipv4Addr::UNSPECIFIED.into(), |info| info.0.ip());
    peer.to_canonical()
}

/// Behind a proxy the panel speaks plain HTTP, so it answers nobody but the proxy.
pub(super) async fn only_proxies(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let trusted = app.config.exposure.trusted_proxies();
    let peer = peer(request.extensions());
    if trusted.is_empty() || is_one_of(trusted, peer) {
        return next.run(request).await;
    }
    tracing::warn!(%peer, "refused: it is none of the trusted proxies");
    let message = format!(
        "Here the panel answers its trusted proxy alone, and {peer} is not it. Open the address of the proxy instead; if this is the proxy, start the panel with --trusted-proxy {peer}."
    );
    let failure = Failure::new(StatusCode::FORBIDDEN, "not_the_proxy", message.clone());
    let mut response = failure.into_response();
    *response.body_mut() = Body::from(format!("{message}\n"));
    response
}

/// A proxy on this machine reaches the panel at 127.0.0.1 or ::1, as its resolver has it.
fn is_one_of(trusted: &[Proxies], address: IpAddr) -> bool {
    let here = address.is_loopback() && trusted.iter().any(Proxies::is_loopback);
    here || trusted.iter().any(|proxies| proxies.contains(address))
}

/// `X-Forwarded-For` counts from the right, as far as the proxies are trusted.
fn seen(peer: IpAddr, trusted: &[Proxies], headers: &HeaderMap) -> IpAddr {
    let mut address = peer;
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .collect();
    for hop in hops.iter().rev() {
        if !is_one_of(trusted, address) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(before) => address = before.to_canonical(),
            Err(_) => break,
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies = |text: &str| text.parse::<Proxies>().unwrap();
        let trusted = [proxies("10.0.0.1"), proxies("10.0.0.2")];
        let from = |peer: &str, values: &[&str]| seen(ip(peer), &trusted, &headers(values));
        assert_eq!(from("10.9.9.9", &["1.1.1.1"]), ip("10.9.9.9"));
        assert_eq!(from("10.0.0.1", &["6.6.6.6, 1.1.1.1"]), ip("1.1.1.1"));
        assert_eq!(
            from("10.0.0.1", &["6.6.6.6, 1.1.1.1", "10.0.0.2"]),
            ip("1.1.1.1")
        );
        assert_eq!(from("10.0.0.1", &["nonsense"]), ip("10.0.0.1"));
        assert_eq!(from("10.0.0.1", &[]), ip("10.0.0.1"));
        let here = [proxies("127.0.0.1")];
        assert_eq!(
            seen(ip("::1"), &here, &headers(&["1.1.1.1"])),
            ip("1.1.1.1")
        );
        assert_eq!(from("::1", &["1.1.1.1"]), ip("::1"));
        let network = [proxies("10.42.0.0/16")];
        let through = |peer: &str, hops: &str| seen(ip(peer), &network, &headers(&[hops]));
        assert_eq!(
            through("10.42.3.4", "6.6.6.6, 1.1.1.1, 10.42.9.9"),
            ip("1.1.1.1")
        );
        assert_eq!(through("10.43.0.1", "1.1.1.1"), ip("10.43.0.1"));
    }
}
