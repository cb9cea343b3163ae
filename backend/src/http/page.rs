//! The page: files of the web folder, compressed beforehand. Every path that is no file is a place inside the
//! page and gets `index.html`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::app::App;

/// A file whose name, or whose folder's, holds a hash of its content never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Everything else is asked for again each time.
const ASK: &str = "no-cache";

pub(super) async fn page(State(app): State<Arc<App>>, request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let folder = &app.config.web_dir;
    let path = request.uri().path();
    let file = path.rsplit('/').next().unwrap_or_default();
    let caching = if is_hashed(path) { FOR_EVER } else { ASK };
    let served = if file.contains('.') {
        let files = ServeDir::new(folder)
            .append_index_html_on_directories(false)
            .precompressed_br()
            .precompressed_gzip();
        files.oneshot(request).await.map(|r| r.map(Body::new))
    } else {
        let index = ServeFile::new(folder.join("index.html"))
            .precompressed_br()
            .precompressed_gzip();
        index.oneshot(request).await.map(|r| r.map(Body::new))
    };
    let mut response = served.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::NOT_FOUND {
        return (
            StatusCode::NOT_FOUND,
            [(header::CACHE_CONTROL, ASK)],
            "There is nothing at this address.\n",
        )
            .into_response();
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// True if it is a file and a part of its path, between slashes, dashes and dots, is a hash: at least 8 hex digits.
fn is_hashed(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|file| file.contains('.'))
        && path
            .split(['/', '-', '.', '_'])
            .any(|part| part.len() >= 8 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_names_are_told_from_others() {
        for hashed in [
            "/assets/app-0123456789abcdef.js",
            "/app_bg-deadbeef.wasm",
            "/style.a1b2c3d4e5.css",
            "/assets/0123456789abcdef/app.js",
            "/assets/0123456789abcdef/snippets/x/inline0.js",
        ] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in [
            "/index.html",
            "/favicon.svg",
            "/deadbeef",
            "/deadbeef/",
            "/app-abc.js",
            "/",
        ] {
            assert!(!is_hashed(plain), "{plain}");
        }
    }
}
