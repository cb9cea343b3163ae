//! The panel's HTTP API as a client that is no browser uses it: typed by `coxswain-wire`, one session.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use coxswain_wire::{ApiError, CSRF_HEADER, Session};
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// Time one call may take; collecting host keys or planning looks at machines.
const CALL: Duration = Duration::from_secs(120);

/// One client with at most one session.
#[derive(Debug)]
pub struct Api {
    base: String,
    client: Client<HttpConnector, Full<Bytes>>,
    session: Option<SignedIn>,
}

#[derive(Debug)]
struct SignedIn {
    cookie: String,
    csrf: String,
}

/// The panel's "no" to one call. Everything else that goes wrong with a call is another error.
#[derive(Debug)]
pub struct Refused {
    /// HTTP status.
    pub status: StatusCode,
    /// What it says.
    pub error: ApiError,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApiError {
            code,
            message,
            field,
            ..
        } = &self.error;
        write!(f, "{} {code}: {message}", self.status)?;
        match field {
            Some(field) => write!(f, " (field {field})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// Expects that the panel refuses.
///
/// # Errors
/// It did not, or something else went wrong.
pub fn refused<T>(answer: Result<T>) -> Result<Refused> {
    match answer {
        Ok(_) => Err(anyhow!("the panel did not refuse")),
        Err(error) => error.downcast(),
    }
}

impl Api {
    /// A client without a session. `base` is like `http://127.0.0.1:7300`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self {
            base: format!("{base}/api/v1"),
            client: Client::builder(TokioExecutor::new()).build_http(),
            session: None,
        }
    }

    /// Makes the call that begins a session: `/setup` or `/session`.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn begin(&mut self, path: &str, body: &impl Serialize) -> Result<()> {
        let (cookie, answer) = self.send(Method::POST, path, Some(body)).await?;
        let session: Session =
            serde_json::from_slice(&answer).with_context(|| format!("POST {path}"))?;
        self.session = Some(SignedIn {
            cookie: cookie.with_context(|| format!("POST {path}: no cookie"))?,
            csrf: session.csrf,
        });
        Ok(())
    }

    /// Reads.
    ///
    /// # Errors
    /// The panel refuses, or answers with something else.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, None::<&()>).await
    }

    /// Reads what is no JSON.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn text(&self, path: &str) -> Result<String> {
        let (_, answer) = self.send(Method::GET, path, None::<&()>).await?;
        String::from_utf8(answer.into()).with_context(|| format!("GET {path}"))
    }

    /// Makes or does something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Asks for a file that depends on what is asked.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn fetch(&self, path: &str, body: &impl Serialize) -> Result<Bytes> {
        Ok(self.send(Method::POST, path, Some(body)).await?.1)
    }

    /// Replaces something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn bytes(&self, path: &str) -> Result<Bytes> {
        Ok(self.send(Method::GET, path, None::<&()>).await?.1)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        let (_, answer) = self.send(method.clone(), path, body).await?;
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path}"))
    }

    /// Gives the session's cookie, if the answer sets one, and the body.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<(Option<String>, Bytes)> {
        let what = format!("{method} {path}");
        let csrf = self.session.as_ref().map_or("first", |s| s.csrf.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CSRF_HEADER, csrf);
        if let Some(session) = &self.session {
            request = request.header(COOKIE, &session.cookie);
        }
        let content = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body)?
            }
            None => Vec::new(),
        };
        let request = request.body(Full::new(Bytes::from(content)))?;
        let talk = async {
            let answer = self.client.request(request).await?;
            let (head, body) = answer.into_parts();
            anyhow::Ok((head, body.collect().await?.to_bytes()))
        };
        let (head, body) = timeout(CALL, talk)
            .await
            .with_context(|| format!("{what}: no answer"))?
            .with_context(|| what.clone())?;
        if !head.status.is_success() {
            let error = serde_json::from_slice(&body)
                .with_context(|| format!("{what}: {}", head.status))?;
            return Err(Refused {
                status: head.status,
                error,
            }
            .into());
        }
        let cookie = match head.headers.get(SET_COOKIE) {
            Some(cookie) => {
                let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
                ensure!(!pair.is_empty(), "{what}: an empty cookie");
                Some(pair.to_owned())
            }
            None => None,
        };
        Ok((cookie, body))
    }
}
