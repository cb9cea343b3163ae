//! The kubelet's client of the API: through whichever server answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyper::{Method, StatusCode};
use rustls::ClientConfig;
use serde_json::Value;
use tokio::sync::Mutex;

use super::bootstrap::{Identity, Upstream, current_authority};
use crate::net::client::{Call, Client};
use crate::net::tls;

/// Deadline of one request.
const REQUEST: Duration = Duration::from_secs(10);

/// A client that follows the upstream list.
pub(super) struct ApiClient {
    tls: Arc<ClientConfig>,
    upstream: Arc<Upstream>,
    client: Mutex<Option<Arc<Client>>>,
}

impl ApiClient {
    /// A client with the kubelet's certificate.
    pub(super) fn new(identity: &Identity, upstream: Arc<Upstream>) -> anyhow::Result<Self> {
        let tls = tls::client(&identity.ca, Some((&identity.certificate, &identity.key)))?;
        Ok(Self {
            tls,
            upstream,
            client: Mutex::new(None),
        })
    }

    /// The servers in use.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    async fn client(&self) -> anyhow::Result<Arc<Client>> {
        let authority = current_authority(&self.upstream)?;
        let mut kept = self.client.lock().await;
        match &*kept {
            Some(client) if client.authority() == authority => Ok(client.clone()),
            Some(_) | None => {
                let client = Arc::new(Client::new(&authority, self.tls.clone())?);
                *kept = Some(client.clone());
                Ok(client)
            }
        }
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, &Value)>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let mut call = Call::get(path, REQUEST);
        call.method = method;
        call.body = body.map(|(kind, value)| (kind, value.to_string().into_bytes()));
        let answer = match self.client().await?.send(call).await {
            Ok(answer) => answer,
            Err(failure) => {
                self.upstream.rotate();
                return Err(failure.into());
            }
        };
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        Ok((answer.status, value))
    }

    /// An object or list; `None` if it does not exist.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let (status, value) = self.request(Method::GET, path, None).await?;
        if status == StatusCode::NOT_FOUND {
            Ok(None)
        } else {
            checked(status, value).map(Some)
        }
    }

    /// Creates an object; `None` if the name is taken.
    pub(super) async fn create(&self, path: &str, object: &Value) -> anyhow::Result<Option<Value>> {
        let body = Some(("application/json", object));
        let (status, value) = self.request(Method::POST, path, body).await?;
        if status == StatusCode::CONFLICT {
            Ok(None)
        } else {
            checked(status, value).map(Some)
        }
    }

    /// Merges `patch` into an object; `None` if it does not exist.
    pub(super) async fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<Option<Value>> {
        let body = Some(("application/strategic-merge-patch+json", patch));
        let (status, value) = self.request(Method::PATCH, path, body).await?;
        if status == StatusCode::NOT_FOUND {
            Ok(None)
        } else {
            checked(status, value).map(Some)
        }
    }

    /// Deletes an object at once; fine if it is gone already.
    pub(super) async fn delete_now(&self, path: &str, uid: &Value) -> anyhow::Result<()> {
        let options = serde_json::json!({
            "gracePeriodSeconds": 0, "preconditions": {"uid": uid},
        });
        let body = Some(("application/json", &options));
        let (status, value) = self.request(Method::DELETE, path, body).await?;
        if status == StatusCode::NOT_FOUND || status == StatusCode::CONFLICT {
            return Ok(());
        }
        checked(status, value).map(drop)
    }
}

fn checked(status: StatusCode, value: Value) -> anyhow::Result<Value> {
    if status.is_success() {
        return Ok(value);
    }
    let message = value["message"]
        .as_str()
        .map(str::to_owned)
        .context(status.to_string())?;
    bail!("{message}")
}
