//! A small HTTPS client that keeps idle connections and reports failures in Go's words, which k3s prints.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

/// Why no answer came, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `dial tcp …: connect: connection refused`.
    Refused(String),
    /// Any other failure to connect, and TLS failures.
    Other(String),
    /// The deadline passed.
    Deadline,
    /// The peer hung up.
    Eof,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Other(text) => f.write_str(text),
            Self::Deadline => f.write_str("context deadline exceeded"),
            Self::Eof => f.write_str("EOF"),
        }
    }
}

impl std::error::Error for Failure {}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Body, read to its end.
    pub(crate) body: Bytes,
}

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Verb.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// Body and its content type.
    pub(crate) body: Option<(&'static str, Vec<u8>)>,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Longest wait for the whole answer.
    pub(crate) timeout: Duration,
}

impl Call {
    /// A GET with a deadline.
    pub(crate) fn get(target: impl Into<String>, timeout: Duration) -> Self {
        Self {
            method: Method::GET,
            target: target.into(),
            body: None,
            headers: Vec::new(),
            timeout,
        }
    }

    /// A POST of JSON.
    pub(crate) fn post(target: impl Into<String>, body: Vec<u8>, timeout: Duration) -> Self {
        Self {
            method: Method::POST,
            body: Some(("application/json", body)),
            ..Self::get(target, timeout)
        }
    }

    /// Adds HTTP basic authentication.
    pub(crate) fn basic(mut self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.headers
            .push((AUTHORIZATION.as_str(), format!("Basic {text}")));
        self
    }
}

/// An HTTPS endpoint with its idle connections.
pub(crate) struct Client {
    /// `host:port` to connect to and to name in the Host header.
    authority: String,
    server_name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Idle connections kept per endpoint.
const MAX_IDLE: usize = 8;
/// Go's default dial timeout in k3s's client.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

impl Client {
    /// A client for `authority` (`host:port`).
    ///
    /// # Errors
    /// When the host part is neither a DNS name nor an address.
    pub(crate) fn new(authority: &str, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let (host, _) = authority
            .rsplit_once(':')
            .context("missing port in address")?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let server_name = ServerName::try_from(host).context("server name")?;
        Ok(Self {
            authority: authority.to_owned(),
            server_name,
            tls,
            idle: Mutex::default(),
        })
    }

    /// `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends `call` and reads the answer to its end.
    ///
    /// # Errors
    /// When no complete answer arrives in time.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let timeout = call.timeout;
        tokio::time::timeout(timeout, self.exchange(call))
            .await
            .map_err(|_| Failure::Deadline)?
    }

    async fn exchange(&self, call: Call) -> Result<Answer, Failure> {
        let (mut sender, response) = self.start(call).await?;
        let status = response.status();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|_| Failure::Eof)?
            .to_bytes();
        if sender.ready().await.is_ok() {
            let mut idle = self.idle.lock().await;
            if idle.len() < MAX_IDLE {
                idle.push(sender);
            }
        }
        Ok(Answer { status, body })
    }

    /// Sends `call` and returns the answer's head, its body still to be read; `call.timeout` covers the head.
    ///
    /// # Errors
    /// When no head arrives in time.
    pub(crate) async fn stream(&self, call: Call) -> Result<Response<Incoming>, Failure> {
        let timeout = call.timeout;
        let (_, response) = tokio::time::timeout(timeout, self.start(call))
            .await
            .map_err(|_| Failure::Deadline)??;
        Ok(response)
    }

    async fn start(
        &self,
        call: Call,
    ) -> Result<(SendRequest<Full<Bytes>>, Response<Incoming>), Failure> {
        loop {
            let kept = self.idle.lock().await.pop();
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) if sender.is_ready() => sender,
                Some(_) => continue,
                None => self.connect().await?,
            };
            match sender.send_request(self.request(&call)?).await {
                Ok(response) => return Ok((sender, response)),
                // A connection the peer closed while it lay idle proves nothing: try a fresh one.
                Err(_) if reused => {}
                Err(_) => return Err(Failure::Eof),
            }
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, Failure> {
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(&call.target)
            .header(HOST, &self.authority);
        for (name, value) in &call.headers {
            builder = builder.header(*name, value);
        }
        let content = match &call.body {
            None => Bytes::new(),
            Some((kind, bytes)) => {
                builder = builder.header(CONTENT_TYPE, *kind);
                Bytes::copy_from_slice(bytes)
            }
        };
        builder
            .body(Full::new(content))
            .map_err(|error| Failure::Other(error.to_string()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let dial = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(&self.authority));
        let tcp = match dial.await {
            Err(_) => {
                return Err(Failure::Other(format!(
                    "dial tcp {}: i/o timeout",
                    self.authority
                )));
            }
            Ok(Err(error)) => return Err(self.dial_failure(&error)),
            Ok(Ok(tcp)) => tcp,
        };
        drop(tcp.set_nodelay(true));
        let stream = TlsConnector::from(self.tls.clone())
            .connect(self.server_name.clone(), tcp)
            .await
            .map_err(|error| {
                if error.kind() == ErrorKind::UnexpectedEof {
                    Failure::Eof
                } else {
                    Failure::Other(error.to_string())
                }
            })?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Eof)?;
        // Ends by itself when the sender is dropped or the peer hangs up.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn dial_failure(&self, error: &std::io::Error) -> Failure {
        let to = &self.authority;
        let words = [
            (ErrorKind::ConnectionRefused, "connection refused"),
            (ErrorKind::HostUnreachable, "no route to host"),
            (ErrorKind::NetworkUnreachable, "network is unreachable"),
            (ErrorKind::TimedOut, "connection timed out"),
        ];
        match words.iter().find(|(kind, _)| *kind == error.kind()) {
            Some((kind, words)) => {
                let text = format!("dial tcp {to}: connect: {words}");
                if *kind == ErrorKind::ConnectionRefused {
                    Failure::Refused(text)
                } else {
                    Failure::Other(text)
                }
            }
            None if error.raw_os_error().is_some() => {
                Failure::Other(format!("dial tcp {to}: {error}"))
            }
            None => {
                let host = to.rsplit_once(':').map_or(to.as_str(), |(host, _)| host);
                Failure::Other(format!("dial tcp: lookup {host}: no such host"))
            }
        }
    }
}
