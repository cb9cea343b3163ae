//! Listening, and going down: streams end first, requests under way may finish.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::TokioTimer;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Requests under way have this long to finish.
const LAST_CALL: Duration = Duration::from_secs(10);
/// A client has this long to send a request's headers.
const HEADERS: Duration = Duration::from_secs(15);

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener
        .set_nonblocking(true)
        .context("cannot prepare the listening socket")?;
    Ok(listener)
}

/// What a person on this machine types into the browser.
pub(super) fn base_url(scheme: &str, address: SocketAddr) -> String {
    let ip = if address.ip().is_unspecified() {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    } else {
        address.ip()
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Answers requests until SIGTERM or SIGINT.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    stop: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let handle = Handle::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let told = handle.clone();
    let watcher = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; jobs on hosts go on, runs go on at the next start");
        stop.send_replace(true);
        told.graceful_shutdown(Some(LAST_CALL));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = match tls {
        Some(config) => {
            let mut server =
                axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(config))?
                    .handle(handle);
            server
                .http_builder()
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS);
            server.serve(service).await
        }
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle);
            server
                .http_builder()
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS);
            server.serve(service).await
        }
    };
    watcher.abort();
    served.context("the server failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_works_on_this_machine() {
        let url = |text: &str| base_url("http", text.parse().unwrap());
        assert_eq!(url("127.0.0.1:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(url("[::1]:8080"), "http://[::1]:8080");
    }
}
