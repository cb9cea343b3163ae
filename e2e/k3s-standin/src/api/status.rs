//! `Status` answers, in Go's field order and wording.

use hyper::header::CONTENT_TYPE;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::resources::Resource;
use super::store::StoreError;
use crate::net::body::{AnyBody, full};

/// A JSON answer.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response<AnyBody> {
    raw_response(status, "application/json", value.to_string() + "\n")
}

/// An answer with a body as it is.
pub(crate) fn raw_response(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<hyper::body::Bytes>,
) -> Response<AnyBody> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

/// A failure to report.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// HTTP status.
    pub(crate) code: StatusCode,
    /// Machine-readable reason.
    pub(crate) reason: &'static str,
    /// Text for people.
    pub(crate) message: String,
    /// Kind and name the failure is about.
    pub(crate) about: Option<(String, String)>,
    /// What the disruption budget behind it says.
    pub(crate) budget: Option<String>,
}

impl Failure {
    /// A failure without an object.
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            about: None,
            budget: None,
        }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 404 for a path that is none.
    pub(crate) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// Of an operation on one object.
    pub(crate) fn of_object(resource: &Resource, name: &str, error: &StoreError) -> Self {
        let what = resource.qualified();
        let about = Some((resource.kind.to_owned(), name.to_owned()));
        let (code, reason, message) = match error {
            StoreError::NotFound => (
                StatusCode::NOT_FOUND,
                "NotFound",
                format!("{what} \"{name}\" not found"),
            ),
            StoreError::AlreadyExists => (
                StatusCode::CONFLICT,
                "AlreadyExists",
                format!("{what} \"{name}\" already exists"),
            ),
            StoreError::Conflict => (
                StatusCode::CONFLICT,
                "Conflict",
                format!(
                    "Operation cannot be fulfilled on {what} \"{name}\": the object has been modified; please apply your changes to the latest version and try again"
                ),
            ),
            StoreError::Invalid(text) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid",
                format!("{} \"{name}\" is invalid: {text}", resource.kind),
            ),
            StoreError::Database(error) => {
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    format!("Internal error occurred: {error}"),
                );
            }
        };
        Self {
            code,
            reason,
            message,
            about,
            budget: None,
        }
    }

    /// The `Status` object.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code.as_u16(),
        });
        if let Some((kind, name)) = &self.about {
            value["details"] = json!({"name": name, "kind": kind});
        }
        if let Some(text) = &self.budget {
            value["details"]["causes"] = json!([{"reason": "DisruptionBudget", "message": text}]);
        }
        value
    }

    /// The answer.
    pub(crate) fn response(&self) -> Response<AnyBody> {
        json_response(self.code, &self.to_value())
    }
}

/// The answer to a request without valid credentials, byte for byte as recorded (transcript 04).
pub(crate) const UNAUTHORIZED: &str = "{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {\n    \n  },\n  \"status\": \"Failure\",\n  \"message\": \"Unauthorized\",\n  \"reason\": \"Unauthorized\",\n  \"code\": 401\n}";

/// 401.
pub(crate) fn unauthorized() -> Response<AnyBody> {
    raw_response(StatusCode::UNAUTHORIZED, "application/json", UNAUTHORIZED)
}

/// The answer to a successful deletion without the object itself.
pub(crate) fn deleted(resource: &Resource, name: &str, uid: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid},
    })
}
