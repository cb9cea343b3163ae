//! kubectl's requests, and its words for what goes wrong.

use std::time::Duration;

use hyper::header::ACCEPT;
use hyper::{Method, StatusCode};
use serde_json::Value;

use super::args::Args;
use super::kubeconfig;
use super::{Complaint, kubeconfig::Target};
use crate::net::client::{Call, Client, Failure};
use crate::net::tls;
use crate::output;
use crate::server::join::authority;
use crate::settings::Settings;

/// Without `--request-timeout` kubectl waits for ever; a quarter of an hour is that for a lab.
const PATIENCE: Duration = Duration::from_secs(900);
/// What asks the server for a table.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// A cluster to talk to.
pub(super) struct Kube {
    client: Client,
    timeout: Duration,
}

impl Kube {
    /// Finds the kubeconfig: flag, variable, or k3s's own.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn open(settings: &Settings, args: &Args) -> Result<Self, Complaint> {
        let fail = |error: anyhow::Error| Complaint::new(format!("error: {error:#}"));
        let variable = std::env::var("KUBECONFIG")
            .ok()
            .filter(|value| !value.is_empty());
        let file = match (args.value("kubeconfig"), variable) {
            (Some(path), _) => path.into(),
            (None, Some(path)) => path.into(),
            (None, None) => {
                let own = settings.paths.kubeconfig();
                if !own.exists() {
                    return Err(refused("localhost:8080"));
                }
                if let Err(error) = std::fs::File::open(&own) {
                    let text = format!(
                        "Unable to read {}, please start server with --write-kubeconfig-mode to modify kube config permissions",
                        own.display()
                    );
                    output::error_line(format!("WARN[0000] {text}"));
                    return Err(Complaint::new(format!(
                        "error: error loading config file \"{0}\": open {0}: {error}",
                        own.display()
                    )));
                }
                own
            }
        };
        let Target {
            server,
            ca,
            identity,
        } = kubeconfig::read(&file).map_err(fail)?;
        let server = args.value("server").map_or(server, str::to_owned);
        let identity = identity
            .as_ref()
            .map(|(certificate, key)| (certificate.as_str(), key.as_str()));
        let tls = tls::client(&ca, identity).map_err(fail)?;
        let client = Client::new(&authority(&server).map_err(fail)?, tls).map_err(fail)?;
        let timeout = args.duration("request-timeout")?.unwrap_or(PATIENCE);
        Ok(Self { client, timeout })
    }

    /// A raw GET: the body as it is.
    ///
    /// # Errors
    /// kubectl's words.
    pub(super) async fn raw(&self, path: &str) -> Result<Vec<u8>, Complaint> {
        let (status, body) = self.send(Call::get(path, self.timeout)).await?;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        match serde_json::from_slice::<Value>(&body) {
            Ok(value) => Err(server_error(status, &value)),
            Err(_) => Err(Complaint::new(format!(
                "Error from server ({}): {text}",
                status
                    .canonical_reason()
                    .unwrap_or_default()
                    .replace(' ', "")
            ))),
        }
    }

    /// A GET of JSON, or of a table.
    ///
    /// # Errors
    /// kubectl's words.
    pub(super) async fn get(&self, path: &str, table: bool) -> Result<Value, Complaint> {
        let mut call = Call::get(path, self.timeout);
        if table {
            call.headers.push((ACCEPT.as_str(), TABLE.to_owned()));
        }
        self.json(call).await
    }

    /// A request with a JSON body of the given content type.
    ///
    /// # Errors
    /// kubectl's words.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: &Value,
    ) -> Result<Value, Complaint> {
        let mut call = Call::get(path, self.timeout);
        call.method = method;
        call.body = Some((kind, body.to_string().into_bytes()));
        self.json(call).await
    }

    /// Whether an object exists.
    ///
    /// # Errors
    /// kubectl's words, for anything but its absence.
    pub(super) async fn exists(&self, path: &str, uid: &Value) -> Result<bool, Complaint> {
        let (status, body) = self.send(Call::get(path, self.timeout)).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let value = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
        Ok(uid.is_null() || value["metadata"]["uid"] == *uid)
    }

    async fn json(&self, call: Call) -> Result<Value, Complaint> {
        let (status, body) = self.send(call).await?;
        let value = serde_json::from_slice::<Value>(&body).unwrap_or(Value::Null);
        if status.is_success() {
            Ok(value)
        } else {
            Err(server_error(status, &value))
        }
    }

    async fn send(&self, call: Call) -> Result<(StatusCode, Vec<u8>), Complaint> {
        match self.client.send(call).await {
            Ok(answer) => Ok((answer.status, answer.body.to_vec())),
            Err(Failure::Refused(_)) => Err(refused(self.client.authority())),
            Err(failure) => Err(Complaint::new(format!(
                "Unable to connect to the server: {failure}"
            ))),
        }
    }
}

fn refused(authority: &str) -> Complaint {
    Complaint::new(format!(
        "The connection to the server {authority} was refused - did you specify the right host or port?"
    ))
}

fn server_error(status: StatusCode, value: &Value) -> Complaint {
    if status == StatusCode::UNAUTHORIZED {
        return Complaint::new("error: You must be logged in to the server (Unauthorized)");
    }
    let reason = value["reason"].as_str().unwrap_or_default();
    let message = value["message"].as_str().unwrap_or("unknown");
    Complaint::new(format!("Error from server ({reason}): {message}"))
}
