//! One TLS connection, with what was served on it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::super::{Result, WorldError, net};
use super::verify::{self, Look};
use super::{Ask, ServedChain, TlsTarget};

/// For TCP, and again for TLS.
const TIMEOUT: Duration = Duration::from_secs(5);

/// See [`super::super::World::handshake`].
pub(in super::super) async fn handshake(target: &TlsTarget) -> Result<ServedChain> {
    if let Ask::Host(_) = &target.ask {
        // Whatever the answer is: the request alone makes k3s re-issue.
        super::http::get(target, "/ping").await?;
    }
    let (_, chain) = connect(target).await?;
    Ok(chain)
}

/// Connects, and looks at the certificate.
pub(super) async fn connect(target: &TlsTarget) -> Result<(TlsStream<TcpStream>, ServedChain)> {
    let endpoint = target.endpoint();
    let odd = |detail: String| WorldError::Tls {
        endpoint: endpoint.clone(),
        detail,
    };
    let provider = Arc::new(default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| odd(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Look::new(&provider)))
        .with_no_client_auth();
    // An old session would show the certificate of its time.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (connect_as, judged_as) = match &target.ask {
        Ask::Plain => (&target.address, &target.address),
        Ask::Sni(name) => (name, name),
        Ask::Host(name) => (&target.address, name),
    };
    // rustls sends SNI for DNS names only.
    config.enable_sni = matches!(target.ask, Ask::Sni(_));
    let name = ServerName::try_from(connect_as.clone()).map_err(|_| WorldError::InvalidInput {
        what: "server name".to_owned(),
        detail: format!("{connect_as:?} is neither a DNS name nor an IP address"),
    })?;

    let addresses = net::resolve(&endpoint, &target.address, target.port).await?;
    let tcp = net::connect(&endpoint, &addresses, TIMEOUT).await?;
    let stream = match timeout(
        TIMEOUT,
        TlsConnector::from(Arc::new(config)).connect(name, tcp),
    )
    .await
    {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(odd(e.to_string())),
        Err(_) => return Err(odd(format!("no handshake within {} s", TIMEOUT.as_secs()))),
    };
    let served: &[CertificateDer<'_>] = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let verified = match &target.ca {
        Some(ca) => Some(verify::judge(served, judged_as, ca, provider)?),
        None => None,
    };
    let chain = verify::describe(&endpoint, served, verified)?;
    Ok((stream, chain))
}
