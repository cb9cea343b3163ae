//! The API in OpenAPI 3.1, made from the table of routes and from the types of their handlers: what a handler takes
//! and gives is what the document says.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use coxswain_wire::{ApiError, CSRF_HEADER, Permission};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::address::ClientAddress;
use super::errors::Answer;
use super::guard::{Access, COOKIE, Caller};
use super::input::{From64, Id, Input, Search};
use super::{API, Route};
use crate::app::App;

/// What is said of one operation besides its place in the table.
#[derive(Default)]
pub(super) struct Operation {
    parameters: Vec<Value>,
    body: Option<Value>,
    answer: Option<(StatusCode, Option<Value>)>,
}

/// Says what a handler takes and gives. Made from its signature.
pub(super) type Describe = fn(&mut Operation, &mut SchemaGenerator);

/// What a route answers whose handler makes the response itself.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// JSON of this type.
pub(super) fn made<T: JsonSchema>(status: StatusCode) -> Made {
    Made {
        status,
        kind: "application/json",
        schema: |schemas| schemas.subschema_for::<T>(),
    }
}

/// Text or bytes of this media type.
pub(super) fn sent(kind: &'static str) -> Made {
    Made {
        status: StatusCode::OK,
        kind,
        schema: |_| schemars::json_schema!({ "type": "string" }),
    }
}

/// An argument of a handler.
pub(super) trait Takes {
    fn takes(operation: &mut Operation, schemas: &mut SchemaGenerator);
}

/// The answer of a handler.
pub(super) trait Gives {
    fn gives(operation: &mut Operation, schemas: &mut SchemaGenerator);
}

/// A handler with arguments `T`.
pub(super) trait Described<T> {
    fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator);
}

macro_rules! described {
    ($($argument:ident),*) => {
        impl<F, Coming, Given, $($argument),*> Described<($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Coming,
            Coming: Future<Output = Given>,
            Given: Gives,
            $($argument: Takes),*
        {
            fn describe(operation: &mut Operation, schemas: &mut SchemaGenerator) {
                $($argument::takes(operation, schemas);)*
                Given::gives(operation, schemas);
            }
        }
    };
}

described!();
described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);

/// Arguments that are not of the request's making.
macro_rules! silent {
    ($($argument:ty),*) => {$(
        impl Takes for $argument {
            fn takes(_: &mut Operation, _: &mut SchemaGenerator) {}
        }
    )*};
}

silent!(State<Arc<App>>, Caller, ClientAddress, HeaderMap);

impl<T: From64> Takes for Id<T> {
    fn takes(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.parameters.push(json!({
            "name": "id",
            "in": "path",
            "required": true,
            "description": format!("Identifier of the {}.", T::WHAT),
            "schema": { "type": "integer", "format": "int64" },
        }));
    }
}

impl<T: JsonSchema> Takes for Search<T> {
    fn takes(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        let query = T::json_schema(schemas).to_value();
        let required = query["required"].as_array().cloned().unwrap_or_default();
        for (name, schema) in query["properties"].as_object().into_iter().flatten() {
            operation.parameters.push(json!({
                "name": name,
                "in": "query",
                "required": required.iter().any(|r| r == name),
                "schema": schema,
            }));
        }
    }
}

impl<T: JsonSchema> Takes for Input<T> {
    fn takes(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        let schema = schemas.subschema_for::<T>();
        operation.body = Some(json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        }));
    }
}

impl<T: Gives> Gives for Answer<T> {
    fn gives(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        T::gives(operation, schemas);
    }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn gives(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        let schema = schemas.subschema_for::<T>();
        let content = json!({ "application/json": { "schema": schema } });
        operation.answer = Some((StatusCode::OK, Some(content)));
    }
}

/// Something was made.
impl<T: JsonSchema> Gives for (StatusCode, Json<T>) {
    fn gives(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        Json::<T>::gives(operation, schemas);
        if let Some((status, _)) = &mut operation.answer {
            *status = StatusCode::CREATED;
        }
    }
}

/// It was done, and there is nothing to say.
impl Gives for StatusCode {
    fn gives(operation: &mut Operation, _: &mut SchemaGenerator) {
        operation.answer = Some((StatusCode::NO_CONTENT, None));
    }
}

/// The table says which ([`Made`]); else nothing.
impl Gives for Response {
    fn gives(operation: &mut Operation, schemas: &mut SchemaGenerator) {
        StatusCode::gives(operation, schemas);
    }
}

pub(super) async fn show() -> Json<Value> {
    Json(document(&super::routes()))
}

/// The whole document.
fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<ApiError>();
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coxswain",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Points in time are Unix milliseconds. Every error is an ApiError.",
        },
        "servers": [{ "url": API }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "It was refused, or failed.",
                    "content": { "application/json": { "schema": problem } },
                },
            },
            "parameters": {
                "Csrf": {
                    "name": CSRF_HEADER,
                    "in": "header",
                    "required": true,
                    "description": "The session's `csrf`; before there is a session, any value.",
                    "schema": { "type": "string" },
                },
            },
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": COOKIE },
            },
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let mut said = Operation::default();
    (route.describe)(&mut said, schemas);
    if let Some(made) = route.made {
        let schema = (made.schema)(schemas);
        said.answer = Some((
            made.status,
            Some(json!({ made.kind: { "schema": schema } })),
        ));
    }
    if route.method != Method::GET {
        let csrf = json!({ "$ref": "#/components/parameters/Csrf" });
        said.parameters.push(csrf);
    }
    // `coxswain::http::hosts::create`
    let (module, name) = route.handler_name.rsplit_once("::").unwrap_or_default();
    let tag = module.rsplit("::").next().unwrap_or_default();
    let mut operation = json!({
        "operationId": format!("{tag}_{name}"),
        "tags": [tag],
        "description": needs(route.access),
        "security": match route.access {
            Access::Open => json!([]),
            Access::Needs(_) | Access::Command => json!([{ "session": [] }]),
        },
        "responses": { "default": { "$ref": "#/components/responses/Problem" } },
    });
    if !said.parameters.is_empty() {
        operation["parameters"] = said.parameters.into();
    }
    if let Some(body) = said.body {
        operation["requestBody"] = body;
    }
    if let Some((status, content)) = said.answer {
        let reason = status.canonical_reason().unwrap_or_default();
        let mut answer = json!({ "description": reason });
        if let Some(content) = content {
            answer["content"] = content;
        }
        operation["responses"][status.as_str()] = answer;
    }
    operation
}

fn needs(access: Access) -> &'static str {
    match access {
        Access::Open => "Anybody may.",
        Access::Needs(Permission::View) => "Whoever is signed in may.",
        Access::Needs(Permission::Operate) => "Operators and admins may.",
        Access::Needs(Permission::Approve) => "Approvers and admins may.",
        Access::Needs(Permission::Administer) => "Admins may.",
        Access::Needs(Permission::Kubeconfig) => {
            "Admins may, and operators and approvers whom an admin allowed it."
        }
        Access::Command => {
            "Operators, approvers and admins may; which command whom is open to depends on the command."
        }
    }
}
