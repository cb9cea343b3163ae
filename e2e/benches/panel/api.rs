//! The panel's API as any client uses it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use coxswain_e2e::panel::Panel;
use coxswain_wire::{CSRF_HEADER, Session, SetupRequest};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time one answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
const NAME: &str = "bench";
const PASSWORD: &str = "a password of the bench";

/// An administrator's session.
pub(crate) struct Api {
    client: Client<HttpConnector, String>,
    base: String,
    cookie: String,
    csrf: String,
}

/// An answer of any kind.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// Follows the set-up link of a panel at its first start.
    pub(crate) async fn set_up(panel: &Panel) -> Result<Self> {
        let link = panel.setup_link().await?;
        let (_, secret) = link.split_once('#').context("a link without a secret")?;
        let mut api = Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: panel.url(""),
            cookie: String::new(),
            csrf: "none yet".to_owned(),
        };
        let request = SetupRequest {
            secret: secret.to_owned(),
            name: NAME.to_owned(),
            password: PASSWORD.to_owned(),
        };
        let body = serde_json::to_string(&request)?;
        let answer = api.send(Method::POST, "/api/v1/setup", body, "").await?;
        let cookie = answer
            .headers
            .get(header::SET_COOKIE)
            .context("no session")?;
        let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
        cookie.clone_into(&mut api.cookie);
        api.csrf = answer.json::<Session>()?.csrf;
        Ok(api)
    }

    /// Gets JSON below the API's path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let path = format!("/api/v1{path}");
        self.send(Method::GET, &path, String::new(), "")
            .await?
            .json()
    }

    /// Posts JSON below the API's path.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let path = format!("/api/v1{path}");
        let body = serde_json::to_string(body)?;
        self.send(Method::POST, &path, body, "").await?.json()
    }

    /// Gets a file of the page as a browser asks for it.
    pub(crate) async fn file(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, String::new(), "br").await
    }

    /// Opens the stream that every page has open, and reads it until the task is ended.
    pub(crate) async fn follow(&self) -> Result<JoinHandle<()>> {
        let request = self.request(Method::GET, "/api/v1/stream", String::new(), "")?;
        let mut answer = timeout(PATIENCE, self.client.request(request)).await??;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        Ok(tokio::spawn(async move {
            while let Some(Ok(_)) = answer.frame().await {}
        }))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
        encoding: &str,
    ) -> Result<Answer> {
        let what = format!("{method} {path}");
        let request = self.request(method, path, body, encoding)?;
        let whole = async {
            let answer = self.client.request(request).await?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            anyhow::Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        let answer = timeout(PATIENCE, whole)
            .await?
            .with_context(|| what.clone())?;
        if !answer.status.is_success() {
            let said = String::from_utf8_lossy(&answer.body);
            bail!("{what}: {}: {said}", answer.status);
        }
        Ok(answer)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
        encoding: &str,
    ) -> Result<Request<String>> {
        Ok(Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::COOKIE, &self.cookie)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT_ENCODING, encoding)
            .header(CSRF_HEADER, &self.csrf)
            .body(body)?)
    }
}

impl Answer {
    fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let said = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).with_context(said)
    }
}
