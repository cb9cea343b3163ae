//! Accepting HTTPS connections: on :6443 with the re-issuing certificate, on the API server's own port with a fixed one.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::serving::ServingCertificate;
use super::supervisor::Supervisor;
use crate::api::auth::User;
use crate::logging;
use crate::net::body::AnyBody;

/// Connections served at once per port; further ones wait.
const MAX_CONNECTIONS: usize = 1024;
/// Time for a TLS handshake, and for a request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest silence of a connection between two requests.
const IDLE: Duration = Duration::from_secs(300);
/// Pause after accepting failed (file descriptors used up).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Which certificate a port shows and what it serves.
#[derive(Clone)]
pub(crate) enum Port {
    /// :6443: supervisor and API behind the re-issuing certificate.
    Public(Arc<ServingCertificate>),
    /// The API server's own port behind its fixed certificate.
    Api(Arc<ServerConfig>),
    /// The kubelet's port: answers nobody without credentials.
    Kubelet(Arc<ServerConfig>),
}

/// Binds `address` and serves it until the process ends.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn serve(
    address: SocketAddr,
    port: Port,
    supervisor: Option<Arc<Supervisor>>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let host = match address.ip() {
            ip if ip.is_unspecified() => String::new(),
            ip => ip.to_string(),
        };
        let why = if error.kind() == ErrorKind::AddrInUse {
            "address already in use".to_owned()
        } else {
            error.to_string()
        };
        anyhow::anyhow!("listen tcp {host}:{}: bind: {why}", address.port())
    })?;
    tokio::spawn(async move {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((tcp, _)) => {
                    let (port, supervisor) = (port.clone(), supervisor.clone());
                    tokio::spawn(async move {
                        // Broken handshakes are the client's business.
                        drop(connection(tcp, &port, supervisor).await);
                        drop(permit);
                    });
                }
                Err(error) => {
                    logging::error(format!("accept: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(())
}

async fn connection(
    tcp: TcpStream,
    port: &Port,
    supervisor: Option<Arc<Supervisor>>,
) -> anyhow::Result<()> {
    drop(tcp.set_nodelay(true));
    let local = tcp.local_addr().context("local address")?.ip();
    let stream = tokio::time::timeout(HANDSHAKE, handshake(tcp, local, port)).await??;
    let user = User::of_connection(stream.get_ref().1.peer_certificates());
    let service = service_fn(|request: Request<Incoming>| {
        let (supervisor, user, port) = (supervisor.clone(), user.clone(), port.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, &port, supervisor, user).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .context("connection")
}

async fn handshake(
    tcp: TcpStream,
    local: IpAddr,
    port: &Port,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp)
        .await
        .context("client hello")?;
    let config = match port {
        Port::Api(config) | Port::Kubelet(config) => config.clone(),
        Port::Public(serving) => {
            serving.want_address(local)?;
            if let Some(name) = start.client_hello().server_name() {
                serving.want(name)?;
            }
            serving.tls()?
        }
    };
    start.into_stream(config).await.context("handshake")
}

async fn answer(
    request: Request<Incoming>,
    port: &Port,
    supervisor: Option<Arc<Supervisor>>,
    user: Option<User>,
) -> Response<AnyBody> {
    if let Port::Public(serving) = port
        && let Some(address) = host_address(&request)
        && let Err(error) = serving.want_address(address)
    {
        logging::error(format!("certificate for {address}: {error:#}"));
    }
    match (supervisor, port) {
        (Some(supervisor), Port::Public(_)) => supervisor.answer(request, user).await,
        (Some(supervisor), Port::Api(_)) => supervisor.api(request, user).await,
        (Some(_) | None, Port::Kubelet(_)) | (None, Port::Public(_) | Port::Api(_)) => {
            crate::api::status::unauthorized()
        }
    }
}

/// The address in the Host header, if it is one: an address is never sent as SNI.
fn host_address(request: &Request<Incoming>) -> Option<IpAddr> {
    let host = request.headers().get(HOST)?.to_str().ok()?;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address);
    }
    host.parse::<SocketAddr>().ok().map(|address| address.ip())
}
