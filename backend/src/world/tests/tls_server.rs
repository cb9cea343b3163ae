//! An HTTPS server with a CA of its own, whose answers the test gives.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(super) type Answer = dyn Fn(&Request<Incoming>) -> (u16, String) + Send + Sync;

pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// Certificate and key, PEM and DER.
    pub(super) fn issue(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'static, KeyPair> = &self.0;
        (params.signed_by(&key, issuer).unwrap(), key)
    }
}

/// What requests said: SNI, Host, path.
pub(super) type Seen = Arc<Mutex<Vec<(Option<String>, String, String)>>>;

/// Paths and bodies of the requests that had one.
pub(super) type Sent = Arc<Mutex<Vec<(String, String)>>>;

pub(super) struct TlsServer {
    pub(super) address: SocketAddr,
    pub(super) seen: Seen,
    pub(super) sent: Sent,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TlsServer {
    pub(super) async fn start(ca: &Ca, names: &[&str], answer: Arc<Answer>) -> Self {
        let (certificate, key) = ca.issue(names, ExtendedKeyUsagePurpose::ServerAuth);
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        let sent = Sent::default();
        let bodies = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, answer, log, bodies) = (
                    acceptor.clone(),
                    Arc::clone(&answer),
                    Arc::clone(&log),
                    Arc::clone(&bodies),
                );
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let sni = stream.get_ref().1.server_name().map(str::to_owned);
                    let serve = service_fn(move |request: Request<Incoming>| {
                        let host = request
                            .headers()
                            .get("host")
                            .map(|h| h.to_str().unwrap().to_owned());
                        let path = request.uri().path().to_owned();
                        log.lock().unwrap().push((
                            sni.clone(),
                            host.unwrap_or_default(),
                            path.clone(),
                        ));
                        let (status, body) = answer(&request);
                        let response = Response::builder()
                            .status(status)
                            .body(Full::new(Bytes::from(body)));
                        let bodies = Arc::clone(&bodies);
                        async move {
                            if let Ok(body) = request.into_body().collect().await
                                && let Ok(body) = String::from_utf8(body.to_bytes().to_vec())
                                && !body.is_empty()
                            {
                                bodies.lock().unwrap().push((path, body));
                            }
                            response
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), serve)
                        .await;
                });
            }
        });
        Self {
            address,
            seen,
            sent,
            task,
        }
    }
}
