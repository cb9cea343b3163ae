//! k3s's own HTTP endpoints on :6443 and the way from there into the API.

use std::sync::{OnceLock, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::bootstrap_data;
use super::options::ServerOptions;
use super::prepare::write_secrets;
use crate::agent::identity;
use crate::api::Api;
use crate::api::auth::User;
use crate::api::status::{self, Failure, json_response, raw_response};
use crate::api::store::Store;
use crate::fsutil::read;
use crate::logging;
use crate::net::body::AnyBody;
use crate::pki::files;
use crate::token::Token;
use crate::version::release;

/// Longest request for a new token, bytes.
const MAX_TOKEN: usize = 4096;

/// Who joins, by basic authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joiner {
    Server,
    Agent,
}

/// The supervisor of one server.
pub(crate) struct Supervisor {
    options: ServerOptions,
    ca_pem: String,
    /// Password of the server token.
    password: RwLock<String>,
    /// Set once the API is up.
    ready: OnceLock<(Api, Store)>,
    /// Set once the database is up, which is before the API.
    database: OnceLock<Store>,
}

type Answer = Result<Response<AnyBody>, Failure>;

impl Supervisor {
    /// A supervisor whose API is not up yet.
    pub(crate) fn new(options: ServerOptions, ca_pem: String, password: String) -> Self {
        let (ready, database) = (OnceLock::new(), OnceLock::new());
        Self {
            options,
            ca_pem,
            password: RwLock::new(password),
            ready,
            database,
        }
    }

    /// The database answers.
    pub(crate) fn database_up(&self, store: Store) {
        // A second call would bring the same store.
        drop(self.database.set(store));
    }

    /// The API is up.
    pub(crate) fn api_up(&self, api: Api, store: Store) {
        // A second call would bring the same API.
        drop(self.ready.set((api, store)));
    }

    /// Answers a request on :6443.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        user: Option<User>,
    ) -> Response<AnyBody> {
        let path = request.uri().path().to_owned();
        let plain = |text: &str| raw_response(StatusCode::OK, "text/plain", text.to_owned());
        match path.as_str() {
            "/ping" => plain("pong"),
            "/cacerts" => plain(&self.ca_pem),
            _ if path.starts_with("/v1-k3s/") || path == "/db/info" => {
                match self.join_request(&path, request).await {
                    Ok(response) => response,
                    Err(failure) => failure.response(),
                }
            }
            _ => self.api(request, user).await,
        }
    }

    /// Answers a request to the API.
    pub(crate) async fn api(
        &self,
        request: Request<Incoming>,
        user: Option<User>,
    ) -> Response<AnyBody> {
        match (self.ready.get(), user) {
            (None, _) => Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "apiserver not ready",
            )
            .response(),
            (Some(_), None) => status::unauthorized(),
            (Some((api, _)), Some(_)) => api.handle(request).await,
        }
    }

    fn password(&self) -> String {
        let password = self.password.read().unwrap_or_else(PoisonError::into_inner);
        password.clone()
    }

    /// Takes a new server token: here, and in the database for servers to come.
    async fn rotate(&self, request: Request<Incoming>) -> Answer {
        let unavailable = || {
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "etcd not ready",
            )
        };
        let store = self.database.get().ok_or_else(unavailable)?;
        let body = Limited::new(request.into_body(), MAX_TOKEN).collect().await;
        let body = body.map_err(|error| Failure::bad_request(error.to_string()))?;
        let body: Value = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        let new = match body["newToken"].as_str() {
            None | Some("") => Token::random_password(),
            Some(text) => text.to_owned(),
        };
        let old = self.password();
        let change = async {
            bootstrap_data::rotate(store.etcd(), &old, &new).await?;
            write_secrets(&self.options.settings.paths, &new)
        };
        change.await.map_err(|error| {
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                format!("{error:#}"),
            )
        })?;
        *self
            .password
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        logging::info("Token rotated");
        Ok(raw_response(StatusCode::OK, "text/plain", ""))
    }

    async fn join_request(&self, path: &str, request: Request<Incoming>) -> Answer {
        let Some(joiner) = self.joiner(&request) else {
            return Ok(status::unauthorized());
        };
        if path == "/v1-k3s/token" && request.method() == Method::PUT && release().rotates_tokens()
        {
            return match joiner {
                Joiner::Server => self.rotate(request).await,
                Joiner::Agent => Ok(status::unauthorized()),
            };
        }
        let request = &request;
        let paths = &self.options.settings.paths;
        let fail = |error: anyhow::Error| {
            Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                format!("{error:#}"),
            )
        };
        let text = |text: String| raw_response(StatusCode::OK, "text/plain", text);
        match (path, joiner) {
            ("/v1-k3s/readyz", _) => Ok(text("ok".to_owned())),
            ("/v1-k3s/config", _) => {
                Ok(json_response(StatusCode::OK, &json!(self.options.critical)))
            }
            ("/v1-k3s/server-bootstrap", Joiner::Server) => {
                let shared = files::read_shared(paths).map_err(fail)?;
                Ok(json_response(StatusCode::OK, &json!(shared)))
            }
            ("/db/info", Joiner::Server) => self.members().await,
            ("/v1-k3s/server-bootstrap" | "/db/info", Joiner::Agent) => Ok(status::unauthorized()),
            ("/v1-k3s/server-ca.crt", _) => Ok(text(self.ca_pem.clone())),
            ("/v1-k3s/client-ca.crt", _) => {
                Ok(text(read(&paths.tls("client-ca.crt")).map_err(fail)?))
            }
            (
                "/v1-k3s/client-kubelet.crt"
                | "/v1-k3s/serving-kubelet.crt"
                | "/v1-k3s/client-kube-proxy.crt"
                | "/v1-k3s/client-k3s-controller.crt",
                _,
            ) => self.certificate(path, request).await,
            _ => Err(Failure::no_such_path()),
        }
    }

    async fn members(&self) -> Answer {
        let unavailable = |text: String| {
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", text)
        };
        let store = self
            .database
            .get()
            .ok_or_else(|| unavailable("etcd not ready".to_owned()))?;
        let members = store
            .etcd()
            .members()
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        let members: Vec<_> = members
            .iter()
            .map(|member| {
                json!({
                    "id": member.id, "name": member.name, "isLearner": member.learner,
                    "peerURLs": member.peers, "clientURLs": member.clients,
                })
            })
            .collect();
        Ok(json_response(StatusCode::OK, &json!({"members": members})))
    }

    /// Certificate and key of an agent component; the kubelet's only for the node that owns the name.
    async fn certificate(&self, path: &str, request: &Request<Incoming>) -> Answer {
        let header = |name: &str| {
            let value = request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let stem = path.trim_start_matches("/v1-k3s/").trim_end_matches(".crt");
        let (node, password) = (header("k3s-Node-Name"), header("k3s-Node-Password"));
        if stem.ends_with("kubelet") {
            let Some((_, store)) = self.ready.get() else {
                return Err(Failure::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ServiceUnavailable",
                    "apiserver not ready",
                ));
            };
            match identity::check(store, &node, &password).await {
                Ok(true) => {}
                Ok(false) => {
                    return Err(Failure::new(
                        StatusCode::FORBIDDEN,
                        "Forbidden",
                        format!("unable to verify password for node {node}: hash does not match"),
                    ));
                }
                Err(error) => {
                    return Err(Failure::new(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "InternalError",
                        error.to_string(),
                    ));
                }
            }
        }
        let address = header("k3s-Node-IP").parse().ok();
        identity::certificate(&self.options.settings.paths, stem, &node, address)
            .map(|pem| raw_response(StatusCode::OK, "text/plain", pem))
            .map_err(|error| {
                Failure::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    format!("{error:#}"),
                )
            })
    }

    fn joiner(&self, request: &Request<Incoming>) -> Option<Joiner> {
        let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
        let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        let is_server = password == self.password();
        let is_agent = self.options.agent_token.as_deref() == Some(password) || is_server;
        match user {
            "server" if is_server => Some(Joiner::Server),
            "node" if is_agent => Some(Joiner::Agent),
            _ => None,
        }
    }
}
