//! A request to a resource, read to its end and cut into its parts.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;

use super::patch::PatchKind;
use super::query::Query;
use super::status::Failure;

/// Largest body the API server takes.
const MAX_BODY: usize = 3 << 20;
/// A request cut into its parts.
pub(super) struct Call {
    /// Verb.
    pub(super) method: Method,
    /// Query parameters.
    pub(super) query: Query,
    /// Wants a table.
    pub(super) as_table: bool,
    content_type: String,
    /// Decoded body, null if there is none.
    pub(super) body: Value,
}

impl Call {
    /// Reads the body.
    ///
    /// # Errors
    /// 400, 413 or 415.
    pub(super) async fn read(request: Request<Incoming>, query: Query) -> Result<Self, Failure> {
        let header = |name| {
            let value = request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (accept, content_type) = (header(ACCEPT), header(CONTENT_TYPE));
        let method = request.method().clone();
        let bytes = Limited::new(request.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|_| {
                Failure::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "RequestEntityTooLarge",
                    "Request entity too large: limit is 3145728",
                )
            })?
            .to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            decode_body(&content_type, &bytes)?
        };
        Ok(Self {
            method,
            query,
            as_table: accept.contains("as=Table"),
            content_type,
            body,
        })
    }

    /// The kind of patch by content type.
    ///
    /// # Errors
    /// 415.
    pub(super) fn patch_kind(&self) -> Result<PatchKind, Failure> {
        PatchKind::of(&self.content_type).ok_or_else(|| {
            Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            )
        })
    }
}

fn decode_body(content_type: &str, bytes: &[u8]) -> Result<Value, Failure> {
    if content_type.contains("protobuf") {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml",
        ));
    }
    let parsed = if content_type.contains("yaml") {
        serde_yaml_ng::from_slice(bytes).map_err(|error| error.to_string())
    } else {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    };
    parsed.map_err(|error| Failure::bad_request(format!("error decoding body: {error}")))
}
