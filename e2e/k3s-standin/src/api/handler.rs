//! From a request to an answer: paths, verbs, and which part of the API takes it.

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::apply::{self, Target};
use super::eviction::{self, DeleteOptions};
use super::object::check_shape;
use super::query::Query;
use super::request::Call;
use super::resources::{self, Resource};
use super::scale;
use super::selector::Selector;
use super::status::{Failure, json_response, raw_response};
use super::store::{Store, StoreError};
use super::watch::Watch;
use super::{discovery, health, table};
use crate::net::body::AnyBody;

/// How long `/readyz` waits for the database.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The API over a store.
#[derive(Clone)]
pub(crate) struct Api {
    store: Store,
    address: IpAddr,
}

type Answer = Result<Response<AnyBody>, Failure>;

impl Api {
    /// An API that tells clients to come to `address`.
    pub(crate) fn new(store: Store, address: IpAddr) -> Self {
        Self { store, address }
    }

    /// Answers one request of an authenticated user.
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Response<AnyBody> {
        match self.dispatch(request).await {
            Ok(response) => response,
            Err(failure) => failure.response(),
        }
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let query = Query::parse(request.uri().query());
        if ["/readyz", "/livez", "/healthz"]
            .iter()
            .any(|start| path.starts_with(start))
        {
            let ok = self
                .store
                .etcd()
                .with_timeout(HEALTH_TIMEOUT)
                .healthy()
                .await;
            return health::answer(&path, &query, ok).ok_or_else(Failure::no_such_path);
        }
        let segments: Vec<&str> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .collect();
        let found = |value: Option<Value>| {
            value
                .map(|value| json_response(StatusCode::OK, &value))
                .ok_or_else(Failure::no_such_path)
        };
        match segments.as_slice() {
            [] => found(Some(health::root())),
            ["version"] => Ok(raw_response(
                StatusCode::OK,
                "application/json",
                health::version(),
            )),
            ["api"] => found(Some(discovery::core_versions(&format!(
                "{}:6443",
                self.address
            )))),
            ["apis"] => found(Some(discovery::group_list())),
            ["api", "v1"] => found(discovery::resource_list("", "v1")),
            ["apis", group] => found(discovery::one_group(group)),
            ["apis", group, version] => found(discovery::resource_list(group, version)),
            ["api", version, rest @ ..] => self.resource("", version, rest, request, query).await,
            ["apis", group, version, rest @ ..] => {
                self.resource(group, version, rest, request, query).await
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    async fn resource(
        &self,
        group: &str,
        version: &str,
        rest: &[&str],
        request: Request<Incoming>,
        query: Query,
    ) -> Answer {
        let (namespace, rest) = match rest {
            // `namespaces/<name>` and its status are the Namespace itself.
            ["namespaces", namespace, kind, rest @ ..]
                if *kind != "status" && *kind != "finalize" =>
            {
                (Some(*namespace), [&[*kind], rest].concat())
            }
            other => (None, other.to_vec()),
        };
        let [plural, rest @ ..] = rest.as_slice() else {
            return Err(Failure::no_such_path());
        };
        let resource = resources::find(group, version, plural).ok_or_else(Failure::no_such_path)?;
        if namespace.is_some() && !resource.namespaced {
            return Err(Failure::no_such_path());
        }
        let call = Call::read(request, query).await?;
        match rest {
            [] => self.collection(resource, namespace, call).await,
            [name] => self.object(resource, namespace, name, call).await,
            [name, subresource] if resource.subresources.contains(subresource) => {
                self.subresource(resource, namespace, name, subresource, call)
                    .await
            }
            _ => Err(Failure::no_such_path()),
        }
    }

    async fn collection(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        call: Call,
    ) -> Answer {
        let selector = Selector::parse(
            call.query.get("labelSelector"),
            call.query.get("fieldSelector"),
        )
        .map_err(Failure::bad_request)?;
        let fail = |error: &StoreError| Failure::of_object(resource, "", error);
        match call.method {
            Method::GET if call.query.switch("watch") => {
                let watch = Watch {
                    store: self.store.clone(),
                    resource,
                    namespace: namespace.map(str::to_owned),
                    selector,
                    as_table: call.as_table,
                };
                watch.answer(&call.query).await
            }
            Method::GET => {
                let mut list = self
                    .store
                    .list(resource, namespace)
                    .await
                    .map_err(|error| fail(&error))?;
                list.items.retain(|object| selector.matches(object));
                let value = if call.as_table {
                    table::of(resource, &list)
                } else {
                    json!({
                        "kind": format!("{}List", resource.kind),
                        "apiVersion": resource.api_version(),
                        "metadata": {"resourceVersion": list.revision.to_string()},
                        "items": list.items,
                    })
                };
                Ok(json_response(StatusCode::OK, &value))
            }
            Method::POST => self.create(resource, namespace, call).await,
            Method::DELETE => {
                let mut list = self
                    .store
                    .list(resource, namespace)
                    .await
                    .map_err(|error| fail(&error))?;
                list.items.retain(|object| selector.matches(object));
                let options = DeleteOptions::from_value(&call.body);
                for object in &list.items {
                    let metadata = &object["metadata"];
                    let name = metadata["name"].as_str().unwrap_or_default();
                    let namespace = metadata["namespace"].as_str();
                    match eviction::delete(&self.store, resource, namespace, name, &options).await {
                        Ok(_) | Err(StoreError::NotFound) => {}
                        Err(error) => return Err(fail(&error)),
                    }
                }
                Ok(json_response(
                    StatusCode::OK,
                    &json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    }),
                ))
            }
            _ => Err(Failure::method_not_allowed()),
        }
    }

    async fn create(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        call: Call,
    ) -> Answer {
        let mut object = call.body;
        check_shape(&object).map_err(Failure::bad_request)?;
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if resource.namespaced {
            let Some(namespace) = namespace else {
                return Err(Failure::method_not_allowed());
            };
            self.require_namespace(namespace).await?;
            object["metadata"]["namespace"] = json!(namespace);
        }
        let created = self
            .store
            .create(resource, object)
            .await
            .map_err(|error| Failure::of_object(resource, &name, &error))?;
        Ok(json_response(StatusCode::CREATED, &created))
    }

    async fn require_namespace(&self, namespace: &str) -> Result<(), Failure> {
        let namespaces = resources::namespaces();
        match self.store.get(namespaces, None, namespace).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Failure::of_object(
                namespaces,
                namespace,
                &StoreError::NotFound,
            )),
            Err(error) => Err(Failure::of_object(namespaces, namespace, &error)),
        }
    }

    async fn object(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        name: &str,
        call: Call,
    ) -> Answer {
        let target = Target {
            resource,
            namespace,
            name,
            subresource: None,
        };
        let result = match call.method {
            Method::GET => match self.store.get(resource, namespace, name).await {
                Ok(Some(object)) if call.as_table => {
                    let list = super::store::List {
                        items: vec![object],
                        revision: 0,
                    };
                    Ok(table::of(resource, &list))
                }
                Ok(Some(object)) => Ok(object),
                Ok(None) => Err(StoreError::NotFound),
                Err(error) => Err(error),
            },
            Method::PUT => apply::replace(&self.store, target, &call.body).await,
            Method::PATCH => {
                let kind = call.patch_kind()?;
                apply::patch(&self.store, target, kind, &call.body).await
            }
            Method::DELETE => {
                let mut options = DeleteOptions::from_value(&call.body);
                if let Some(grace) = call.query.number("gracePeriodSeconds") {
                    options.grace = i64::try_from(grace).ok();
                }
                eviction::delete(&self.store, resource, namespace, name, &options).await
            }
            _ => return Err(Failure::method_not_allowed()),
        };
        result
            .map(|value| json_response(StatusCode::OK, &value))
            .map_err(|error| Failure::of_object(resource, name, &error))
    }

    async fn subresource(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        call: Call,
    ) -> Answer {
        let fail = |error: StoreError| Failure::of_object(resource, name, &error);
        let target = Target {
            resource,
            namespace,
            name,
            subresource: Some(subresource),
        };
        let result = match (subresource, &call.method) {
            ("eviction", &Method::POST) => {
                let namespace = namespace.ok_or_else(Failure::no_such_path)?;
                let status = eviction::evict(&self.store, namespace, name, &call.body).await?;
                return Ok(json_response(StatusCode::CREATED, &status));
            }
            ("binding", &Method::POST) => {
                let node = call.body["target"]["name"].clone();
                self.store
                    .modify(resource, namespace, name, |pod| {
                        pod["spec"]["nodeName"] = node.clone();
                        Ok(true)
                    })
                    .await
            }
            ("log", &Method::GET) => {
                self.store
                    .get(resource, namespace, name)
                    .await
                    .map_err(fail)?
                    .ok_or_else(|| fail(StoreError::NotFound))?;
                return Ok(raw_response(StatusCode::OK, "text/plain", ""));
            }
            (_, &Method::GET) => self
                .store
                .get(resource, namespace, name)
                .await
                .and_then(|object| object.ok_or(StoreError::NotFound))
                .map(|object| {
                    if subresource == "scale" {
                        scale::of(&object)
                    } else {
                        object
                    }
                }),
            (_, &Method::PUT) => apply::replace(&self.store, target, &call.body).await,
            (_, &Method::PATCH) => {
                let kind = call.patch_kind()?;
                apply::patch(&self.store, target, kind, &call.body).await
            }
            _ => return Err(Failure::method_not_allowed()),
        };
        result
            .map(|value| json_response(StatusCode::OK, &value))
            .map_err(fail)
    }
}
