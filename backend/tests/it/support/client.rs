//! A caller of the router, as the page is one.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use coxswain_wire::{ApiError, CSRF_HEADER};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

#[derive(Clone)]
pub(crate) struct Client {
    router: Router,
    /// Headers of every request; a test may change them.
    pub(crate) headers: Vec<(String, String)>,
    csrf: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value, of an answer with this status.
    #[track_caller]
    pub(crate) fn is<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }

    /// The error, of an answer with this status.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> ApiError {
        self.is(status)
    }
}

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        Self {
            router,
            headers: Vec::new(),
            csrf: Some("1".to_owned()),
        }
    }

    pub(crate) fn with_session(mut self, token: &str, csrf: &str) -> Self {
        self.headers.push((
            "cookie".to_owned(),
            format!("theme=dark; __Host-coxswain={token}"),
        ));
        self.csrf = Some(csrf.to_owned());
        self
    }

    pub(crate) fn with_csrf(mut self, csrf: Option<&str>) -> Self {
        self.csrf = csrf.map(str::to_owned);
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends and gives the answer as it begins.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Response {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header("host", "127.0.0.1:8080");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(csrf) = self.csrf.as_ref().filter(|_| method != Method::GET) {
            request = request.header(CSRF_HEADER, csrf);
        }
        if body.is_some() && !self.headers.iter().any(|(name, _)| name == "content-type") {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Body::from(body.unwrap_or_default())).unwrap();
        let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn whole(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Reply {
        let response = self.send(method, path, body).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    /// `path` is below the API; a leading `//` names it from the root.
    fn at(path: &str) -> String {
        match path.strip_prefix("//") {
            Some(rest) => format!("/{rest}"),
            None => format!("{}{path}", coxswain::http::API),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.whole(Method::GET, &Self::at(path), None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|b| serde_json::to_vec(&b).unwrap());
        self.whole(method, &Self::at(path), body).await
    }

    /// A body as it is.
    pub(crate) async fn raw(&self, method: Method, path: &str, body: &str) -> Reply {
        self.whole(method, &Self::at(path), Some(body.as_bytes().to_vec()))
            .await
    }

    /// Opens a stream.
    pub(crate) async fn stream(&self, path: &str) -> Response {
        self.send(Method::GET, &Self::at(path), None).await
    }
}
