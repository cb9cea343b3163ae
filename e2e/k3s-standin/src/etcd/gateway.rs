//! One endpoint of etcd's JSON gateway (`/v3/…`) over mutual TLS. 64-bit numbers travel as strings.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fsutil::read;
use crate::net::client::{Answer, Call, Client, Failure};
use crate::net::tls;
use crate::paths::Paths;

/// Pause before a read is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Why a request to the database failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EtcdError {
    /// No answer.
    Transport(Failure),
    /// etcd refused; its own text (`etcdserver: …`).
    Refused(String),
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(failure) => failure.fmt(f),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for EtcdError {}

/// A client of one etcd member; clones share connections.
#[derive(Clone)]
pub(crate) struct Etcd {
    pub(super) client: Arc<Client>,
    timeout: Duration,
}

impl Etcd {
    /// A client of the member at `authority` (`host:port`) with the cluster's etcd client certificate.
    ///
    /// # Errors
    /// When the certificate files are missing or broken.
    pub(crate) fn connect(
        paths: &Paths,
        authority: &str,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let tls = tls::client(
            &read(&paths.tls("etcd/server-ca.crt"))?,
            Some((
                &read(&paths.tls("etcd/client.crt"))?,
                &read(&paths.tls("etcd/client.key"))?,
            )),
        )?;
        Ok(Self {
            client: Arc::new(Client::new(authority, tls)?),
            timeout,
        })
    }

    /// The same member with another deadline per request.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            client: self.client.clone(),
            timeout,
        }
    }

    /// Deadline per request.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// One read through the gateway. As the API server's client does, it is asked again while a new leader is elected.
    pub(super) async fn read(&self, path: &str, request: &Value) -> Result<Value, EtcdError> {
        let end = Instant::now() + self.timeout;
        loop {
            match self.call(path, request).await {
                Err(EtcdError::Refused(text)) if passing(&text) && Instant::now() < end => {
                    tokio::time::sleep(AGAIN).await;
                }
                other => return other,
            }
        }
    }

    /// One request to the gateway.
    pub(super) async fn call(&self, path: &str, request: &Value) -> Result<Value, EtcdError> {
        let body = request.to_string().into_bytes();
        let answer = self
            .client
            .send(Call::post(path, body, self.timeout))
            .await
            .map_err(EtcdError::Transport)?;
        decode(&answer)
    }

    /// Whether the member answers its health check: it has a leader and can commit.
    pub(crate) async fn healthy(&self) -> bool {
        match self.client.send(Call::get("/health", self.timeout)).await {
            Ok(answer) => serde_json::from_slice::<Value>(&answer.body)
                .is_ok_and(|value| value["health"] == json!("true")),
            Err(_) => false,
        }
    }
}

/// What is over once there is a leader again: said by etcd, or by its gateway about a connection to it that broke.
fn passing(text: &str) -> bool {
    text.contains("leader changed") || text.contains("transport: missing content-type field")
}

fn decode(answer: &Answer) -> Result<Value, EtcdError> {
    let value: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| EtcdError::Refused(String::from_utf8_lossy(&answer.body).trim().to_owned()))?;
    if answer.status.is_success() {
        return Ok(value);
    }
    let text = value["error"]
        .as_str()
        .or_else(|| value["message"].as_str());
    Err(EtcdError::Refused(
        text.unwrap_or("etcd request failed").to_owned(),
    ))
}

pub(super) fn encode64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn decode64(value: &Value) -> Vec<u8> {
    value
        .as_str()
        .and_then(|text| STANDARD.decode(text).ok())
        .unwrap_or_default()
}

/// A 64-bit number, which the gateway writes as a string and leaves out when zero.
pub(super) fn number(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .or_else(|| value.as_u64())
        .unwrap_or(0)
}
