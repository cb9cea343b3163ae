//! What comes in: JSON bodies, numbers in paths, queries. Whatever is wrong names its field.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use coxswain_k3s::names::unseen;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::errors::Failure;

/// A JSON body.
pub(super) struct Input<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        if !kind
            .split(';')
            .next()
            .is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"))
        {
            let message = "The body must be JSON, with the header Content-Type: application/json.";
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                message,
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                Failure::new(rejection.status(), "bad_body", rejection.body_text())
            })?;
        decode(&bytes).map(Input)
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            wrong_field::<T>(bytes, &path, &inner)
        } else {
            malformed(&inner)
        }
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "malformed_json",
        format!("The body is not JSON: {error}."),
    )
}

fn wrong_field<T: DeserializeOwned>(
    bytes: &[u8],
    path: &str,
    error: &serde_json::Error,
) -> Failure {
    let text = error.to_string();
    // Lines and columns say nothing to somebody who filled in a form.
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let path = if path == "." { "" } else { path };
    let quoted = |start: &str| {
        text.strip_prefix(start)
            .and_then(|rest| rest.split('`').next())
            .map(str::to_owned)
    };
    let (last, message) = if let Some(name) = quoted("unknown field `") {
        (Some(name), "This field is not known.".to_owned())
    } else if let Some(name) = quoted("missing field `") {
        (Some(name), "This field is missing.".to_owned())
    } else if let Some(name) = quoted("duplicate field `") {
        (Some(name), "This field is given twice.".to_owned())
    } else if path.is_empty()
        && let Some(word) = quoted("unknown variant `")
    {
        (holding(bytes, &word), format!("{text}."))
    } else if path.is_empty() {
        (culprit::<T>(bytes), format!("{text}."))
    } else {
        (None, format!("{text}."))
    };
    let field = match last {
        Some(name) if path.is_empty() => name,
        Some(name) if path.rsplit('.').next() == Some(&name) => path.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None => path.to_owned(),
    };
    if field.is_empty() {
        return Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", message);
    }
    Failure::field(field, message)
}

/// No body of ours has more fields. Looking for the wrong one costs the square of their number.
const MOST_FIELDS: usize = 32;

/// The field that, replaced by an innocent value, makes the body decode: for tagged types, whose decoder
/// forgets where it was. None if more than one is wrong, or there are too many to try.
fn culprit<T: DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    let Value::Object(whole) = serde_json::from_slice(bytes).ok()? else {
        return None;
    };
    if whole.len() > MOST_FIELDS {
        return None;
    }
    let innocent = [
        json!(""),
        json!(0),
        json!(true),
        json!([]),
        json!({}),
        Value::Null,
    ];
    whole.keys().find_map(|key| {
        let decodes = |value: &Value| {
            let mut changed = whole.clone();
            changed.insert(key.clone(), value.clone());
            serde_json::from_value::<T>(Value::Object(changed)).is_ok()
        };
        innocent.iter().any(decodes).then(|| key.clone())
    })
}

/// The field that holds this word: a tag that is not known.
fn holding(bytes: &[u8], word: &str) -> Option<String> {
    let Value::Object(whole) = serde_json::from_slice(bytes).ok()? else {
        return None;
    };
    whole
        .into_iter()
        .find(|(_, value)| value == word)
        .map(|(key, _)| key)
}

/// The number in a path; anything else is a page that is not there.
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: From64> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::not_found("such page"))?;
        i64::from_str(&text)
            .map(|n| Id(T::from64(n)))
            .map_err(|_| Failure::not_found(format!("{} {text}", T::WHAT)))
    }
}

/// Identifiers that stand in paths.
pub(super) trait From64 {
    const WHAT: &'static str;
    fn from64(number: i64) -> Self;
}

macro_rules! from64 {
    ($($name:ident $what:literal),*) => {$(
        impl From64 for coxswain_wire::$name {
            const WHAT: &'static str = $what;
            fn from64(number: i64) -> Self {
                Self(number)
            }
        }
    )*};
}

from64!(ClusterId "cluster", CredentialId "credential", HostId "host", RunId "run", SnapshotId "snapshot", UserId "user");

/// A query string.
pub(super) struct Search<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Search<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Search(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                Err(Failure::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "invalid_query",
                    format!("{text}."),
                ))
            }
        }
    }
}

/// Refuses what would not be read as it is written.
pub(super) fn visible(field: &str, text: &str) -> Result<(), Failure> {
    match unseen(text) {
        None => Ok(()),
        Some(message) => Err(Failure::field(field, message)),
    }
}

#[cfg(test)]
mod tests {
    use coxswain_wire::{NewCluster, NewHost, NewRun, RunCommand};

    use super::*;

    fn field<T: DeserializeOwned>(json: &str) -> String {
        let Err(failure) = decode::<T>(json.as_bytes()) else {
            panic!("{json} was taken")
        };
        assert_eq!(failure.status, StatusCode::UNPROCESSABLE_ENTITY, "{json}");
        failure.field.unwrap_or_default()
    }

    #[test]
    fn the_wrong_field_is_named() {
        let host = r#"{"name":"n","ssh_address":"a","ssh_user":"u","credential":1"#;
        assert_eq!(
            field::<NewHost>(&format!(r#"{host},"colour":1}}"#)),
            "colour"
        );
        assert_eq!(
            field::<NewHost>(&format!(r#"{host},"ssh_port":"22"}}"#)),
            "ssh_port"
        );
        assert_eq!(
            field::<NewHost>(&format!(r#"{host},"ssh_port":70000}}"#)),
            "ssh_port"
        );
        assert_eq!(field::<NewHost>(r#"{"name":"n"}"#), "ssh_address");
        let members =
            |m: &str| format!(r#"{{"name":"c","members":[{{"host":1,"role":"server"}},{m}]}}"#);
        assert_eq!(
            field::<NewCluster>(&members(r#"{"host":"x","role":"agent"}"#)),
            "members[1].host"
        );
        assert_eq!(
            field::<NewCluster>(&members(r#"{"host":2,"role":"boss"}"#)),
            "members[1].role"
        );
        assert_eq!(
            field::<NewCluster>(&members(r#"{"host":2}"#)),
            "members[1].role"
        );
        assert_eq!(
            field::<NewCluster>(&members(r#"{"host":2,"role":"agent","x":1}"#)),
            "members[1].x"
        );
        assert_eq!(
            field::<NewRun>(r#"{"workflow":"w","inputs":{"sans":{"a":1}}}"#),
            "inputs.sans"
        );
    }

    #[test]
    fn many_fields_are_not_tried_one_by_one() {
        let twice = r#"{"workflow":"w","workflow":"w","inputs":{}}"#;
        assert_eq!(field::<NewRun>(twice), "workflow");
        let many: String = (0..100_000).map(|n| format!(r#","x{n}":1"#)).collect();
        let Err(failure) =
            decode::<RunCommand>(format!(r#"{{"command":"reject","comment":5{many}}}"#).as_bytes())
        else {
            panic!("it was taken")
        };
        assert_eq!(failure.status, StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[test]
    fn also_inside_a_tagged_type() {
        assert_eq!(
            field::<RunCommand>(r#"{"command":"reject","comment":5}"#),
            "comment"
        );
        assert_eq!(
            field::<RunCommand>(r#"{"command":"reject","comment":"c","x":5}"#),
            "x"
        );
        assert_eq!(field::<RunCommand>(r#"{"command":"reject"}"#), "comment");
        assert_eq!(field::<RunCommand>(r#"{"command":"fly"}"#), "command");
        assert_eq!(field::<RunCommand>(r#"{"comment":"c"}"#), "command");
    }

    #[test]
    fn what_is_not_json_is_another_complaint() {
        for bad in ["", "{", "{}x", "nonsense"] {
            let Err(failure) = decode::<NewRun>(bad.as_bytes()) else {
                panic!("{bad} was taken")
            };
            let expected = if bad == "{}x" {
                StatusCode::UNPROCESSABLE_ENTITY
            } else {
                StatusCode::BAD_REQUEST
            };
            assert_eq!(failure.status, expected, "{bad}");
        }
    }
}
