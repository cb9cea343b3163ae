//! [`Kube`] over the `kube` crate: one client an endpoint, the cluster's CA pinned, every call bounded.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use ::kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use ::kube::config::AuthInfo;
use ::kube::{Api, Client, Config, Error};
use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod, Secret as ApiSecret};
use k8s_openapi::api::policy::v1::{self as policy, PodDisruptionBudget};
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::error::chain;
use super::super::{Result, Secret, WorldError};
use super::{
    DeploymentCounts, Eviction, Kube, KubeAccess, KubeBudget, KubeEndpoint, KubeLease, KubeNode,
    KubePod, KubeSecret, KubeWatch, PodId, Readiness, convert, pods, watch,
};

/// For TCP and TLS with one endpoint.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For one call at one endpoint.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects a page of a list.
const PAGE: u32 = 200;
/// Longest answer of `/readyz?verbose` that is taken.
const MAX_READYZ: usize = 64 * 1024;

/// One endpoint with its client.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) client: Client,
}

/// The API of one cluster.
pub(in super::super) struct KubeClient {
    endpoints: Vec<Endpoint>,
}

fn invalid(what: &str, detail: impl ToString) -> WorldError {
    WorldError::InvalidInput {
        what: what.to_owned(),
        detail: detail.to_string(),
    }
}

impl KubeClient {
    /// Prepares clients; connects to nothing.
    pub(in super::super) fn new(access: &KubeAccess) -> Result<Self> {
        if access.endpoints.is_empty() {
            return Err(invalid("Kubernetes access", "no endpoint"));
        }
        let endpoints = access
            .endpoints
            .iter()
            .map(|endpoint| {
                Ok(Endpoint {
                    name: endpoint.name.clone(),
                    client: client(access, endpoint)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { endpoints })
    }

    /// Asks the endpoints in order until one answers. A server error or no answer goes on to the next.
    async fn first<T, F, Fut>(&self, call: F) -> Result<T>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = std::result::Result<T, Error>>,
    {
        let mut failures = Vec::new();
        for endpoint in &self.endpoints {
            let error =
                match tokio::time::timeout(CALL_TIMEOUT, call(endpoint.client.clone())).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => classify(endpoint, &error),
                    Err(_) => WorldError::Kube {
                        endpoint: endpoint.name.clone(),
                        status: None,
                        detail: format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
                    },
                };
            if !error.is_transient() {
                return Err(error);
            }
            failures.push(error);
        }
        Err(sum_up(failures))
    }
}

fn client(access: &KubeAccess, endpoint: &KubeEndpoint) -> Result<Client> {
    let host = if endpoint.address.contains(':') {
        format!("[{}]", endpoint.address)
    } else {
        endpoint.address.clone()
    };
    let url = format!("https://{host}:{}", endpoint.port)
        .parse()
        .map_err(|e: http::uri::InvalidUri| invalid("Kubernetes endpoint", e))?;
    let roots = CertificateDer::pem_slice_iter(&access.ca)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| invalid("cluster CA", e))?;
    if roots.is_empty() {
        return Err(invalid("cluster CA", "holds no certificate"));
    }
    let mut config = Config::new(url);
    config.root_cert = Some(roots);
    config.tls_server_name.clone_from(&endpoint.server_name);
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(CALL_TIMEOUT);
    // Going on to the next endpoint is our retry.
    config.default_retry = false;
    config.auth_info = identity(&access.client_certificate, &access.client_key)?;
    Client::try_from(config).map_err(|e| invalid("client certificate or key", e))
}

fn identity(certificate: &[u8], key: &Secret) -> Result<AuthInfo> {
    let data = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    serde_json::from_value(serde_json::json!({
        "client-certificate-data": data(certificate),
        "client-key-data": data(key.expose()),
    }))
    .map_err(|e| invalid("client certificate or key", e))
}

pub(super) fn classify(endpoint: &Endpoint, error: &Error) -> WorldError {
    let (status, detail) = if let Error::Api(said) = error {
        (Some(said.code), said.message.clone())
    } else if let Error::Service(error) = error {
        // Between kube's word and the cause stand the layers of its HTTP client.
        (None, cause(&**error))
    } else {
        (None, chain(error))
    };
    WorldError::Kube {
        endpoint: endpoint.name.clone(),
        status,
        detail,
    }
}

/// The innermost error, without the number that Linux has for it.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    let text = innermost.to_string();
    match text.split_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// One error for all endpoints that failed, the first one's status kept.
fn sum_up(mut failures: Vec<WorldError>) -> WorldError {
    if failures.len() == 1
        && let Some(only) = failures.pop()
    {
        return only;
    }
    let mut all = WorldError::Kube {
        endpoint: String::new(),
        status: None,
        detail: String::new(),
    };
    for failure in failures {
        if let (
            WorldError::Kube {
                endpoint,
                status,
                detail,
            },
            WorldError::Kube {
                endpoint: names,
                status: first,
                detail: details,
            },
        ) = (failure, &mut all)
        {
            let comma = if names.is_empty() { "" } else { ", " };
            names.push_str(&format!("{comma}{endpoint}"));
            *first = first.or(status);
            if !details.contains(&detail) {
                let semicolon = if details.is_empty() { "" } else { "; " };
                details.push_str(&format!("{semicolon}{detail}"));
            }
        }
    }
    all
}

/// Only this very pod, not another one of its name.
fn only(pod: &PodId, params: DeleteParams) -> DeleteParams {
    params.preconditions(Preconditions {
        uid: Some(pod.uid.clone()),
        resource_version: None,
    })
}

/// The same for an eviction. The crate's own call names the options as no API server reads them, so that another
/// pod of this name would be evicted, too.
fn eviction(pod: &PodId) -> policy::Eviction {
    policy::Eviction {
        delete_options: Some(meta::DeleteOptions {
            preconditions: Some(meta::Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..meta::DeleteOptions::default()
        }),
        metadata: meta::ObjectMeta {
            name: Some(pod.name.clone()),
            namespace: Some(pod.namespace.clone()),
            ..meta::ObjectMeta::default()
        },
    }
}

/// True if it was there.
fn deleted<T>(result: std::result::Result<T, Error>) -> std::result::Result<bool, Error> {
    match result {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 404 => Ok(false),
        Err(other) => Err(other),
    }
}

#[async_trait]
impl Kube for KubeClient {
    async fn readyz(&self, endpoint: &str) -> Result<Readiness> {
        let Some(found) = self.endpoints.iter().find(|e| e.name == endpoint) else {
            return Err(invalid(
                "Kubernetes endpoint",
                format!("{endpoint} is none of this cluster's"),
            ));
        };
        let request = http::Request::get("/readyz?verbose")
            .body(::kube::client::Body::empty())
            .map_err(|e| invalid("request", e))?;
        let start = Instant::now();
        let call = async {
            let response = found
                .client
                .send(request)
                .await
                .map_err(|e| classify(found, &e).to_string())?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_READYZ)
                .collect()
                .await;
            let body = body.map_err(|e| e.to_string())?.to_bytes();
            Ok::<_, String>((status, String::from_utf8_lossy(&body).into_owned()))
        };
        let (ready, text) = match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok((status, text))) => (status == 200, text),
            Ok(Err(detail)) => (false, detail),
            Err(_) => (
                false,
                format!("no answer within {} s", CALL_TIMEOUT.as_secs()),
            ),
        };
        Ok(Readiness {
            ready,
            latency: start.elapsed(),
            text,
        })
    }

    async fn version(&self) -> Result<String> {
        self.first(|client| async move { Ok(client.apiserver_version().await?.git_version) })
            .await
    }

    async fn nodes(&self) -> Result<Vec<KubeNode>> {
        let list = self
            .first(
                |client| async move { Api::<Node>::all(client).list(&ListParams::default()).await },
            )
            .await?;
        let mut nodes: Vec<KubeNode> = list.items.into_iter().map(convert::node).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    async fn lease(&self, node: &str) -> Result<Option<KubeLease>> {
        let lease = self
            .first(|client| async move {
                Api::<Lease>::namespaced(client, "kube-node-lease")
                    .get_opt(node)
                    .await
            })
            .await?;
        Ok(lease.map(convert::lease))
    }

    async fn delete_node(&self, node: &str) -> Result<bool> {
        self.first(|client| async move {
            deleted(
                Api::<Node>::all(client)
                    .delete(node, &DeleteParams::default())
                    .await,
            )
        })
        .await
    }

    async fn secret_names(&self, namespace: &str) -> Result<Vec<String>> {
        let list = self
            .first(|client| async move {
                Api::<ApiSecret>::namespaced(client, namespace)
                    .list_metadata(&ListParams::default())
                    .await
            })
            .await?;
        let mut names: Vec<String> = list
            .items
            .into_iter()
            .filter_map(|s| s.metadata.name)
            .collect();
        names.sort();
        Ok(names)
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<KubeSecret>> {
        let found = self
            .first(|client| async move {
                Api::<ApiSecret>::namespaced(client, namespace)
                    .get_opt(name)
                    .await
            })
            .await?;
        Ok(found.map(convert::secret))
    }

    async fn create_secret(
        &self,
        namespace: &str,
        name: &str,
        secret: &KubeSecret,
    ) -> Result<bool> {
        let object = convert::object(name, secret);
        self.first(|client| {
            let object = &object;
            async move {
                let made = Api::<ApiSecret>::namespaced(client, namespace)
                    .create(&PostParams::default(), object)
                    .await;
                match made {
                    Ok(_) => Ok(true),
                    Err(Error::Api(status)) if status.code == 409 => Ok(false),
                    Err(other) => Err(other),
                }
            }
        })
        .await
    }

    async fn delete_secret(&self, namespace: &str, name: &str) -> Result<bool> {
        self.first(|client| async move {
            deleted(
                Api::<ApiSecret>::namespaced(client, namespace)
                    .delete(name, &DeleteParams::default())
                    .await,
            )
        })
        .await
    }

    async fn deployments(&self) -> Result<DeploymentCounts> {
        self.first(|client| async move {
            let api = Api::<Deployment>::all(client);
            let mut counts = DeploymentCounts::default();
            let mut page = ListParams::default().limit(PAGE);
            loop {
                let list = api.list(&page).await?;
                counts = list.items.iter().fold(counts, convert::add);
                match list.metadata.continue_ {
                    Some(token) if !token.is_empty() => page = page.continue_token(&token),
                    Some(_) | None => return Ok(counts),
                }
            }
        })
        .await
    }

    async fn set_cordoned(&self, node: &str, cordoned: bool) -> Result<()> {
        let patch = serde_json::json!({"spec": {"unschedulable": cordoned}});
        self.first(|client| {
            let patch = Patch::Strategic(&patch);
            async move {
                Api::<Node>::all(client)
                    .patch(node, &PatchParams::default(), &patch)
                    .await
                    .map(drop)
            }
        })
        .await
    }

    async fn pods(&self, node: Option<&str>) -> Result<Vec<KubePod>> {
        self.first(|client| async move {
            let api = Api::<Pod>::all(client);
            let mut page = ListParams::default().limit(PAGE);
            if let Some(node) = node {
                page = page.fields(&format!("spec.nodeName={node}"));
            }
            let mut pods = Vec::new();
            loop {
                let list = api.list(&page).await?;
                pods.extend(list.items.into_iter().map(pods::pod));
                match list.metadata.continue_ {
                    Some(token) if !token.is_empty() => page = page.continue_token(&token),
                    Some(_) | None => return Ok(pods),
                }
            }
        })
        .await
    }

    async fn budgets(&self) -> Result<Vec<KubeBudget>> {
        self.first(|client| async move {
            let api = Api::<PodDisruptionBudget>::all(client);
            let mut page = ListParams::default().limit(PAGE);
            let mut budgets = Vec::new();
            loop {
                let list = api.list(&page).await?;
                budgets.extend(list.items.into_iter().map(pods::budget));
                match list.metadata.continue_ {
                    Some(token) if !token.is_empty() => page = page.continue_token(&token),
                    Some(_) | None => return Ok(budgets),
                }
            }
        })
        .await
    }

    async fn exclusive_claims(&self) -> Result<BTreeSet<String>> {
        self.first(|client| async move {
            let api = Api::<PersistentVolumeClaim>::all(client);
            let mut page = ListParams::default().limit(PAGE);
            let mut claims = BTreeSet::new();
            loop {
                let list = api.list(&page).await?;
                claims.extend(list.items.into_iter().filter_map(pods::exclusive));
                match list.metadata.continue_ {
                    Some(token) if !token.is_empty() => page = page.continue_token(&token),
                    Some(_) | None => return Ok(claims),
                }
            }
        })
        .await
    }

    async fn evict(&self, pod: &PodId) -> Result<Eviction> {
        self.first(|client| async move {
            let asked = Api::<Pod>::namespaced(client, &pod.namespace)
                .create_subresource::<_, serde_json::Value>(
                    "eviction",
                    &pod.name,
                    &PostParams::default(),
                    &eviction(pod),
                )
                .await;
            match asked {
                Ok(_) => Ok(Eviction::Accepted),
                Err(Error::Api(said)) => match said.code {
                    // Gone, or another pod of this name by now.
                    404 | 409 => Ok(Eviction::Accepted),
                    429 => Ok(Eviction::Blocked {
                        why: said.message.clone(),
                    }),
                    _ => Err(Error::Api(said)),
                },
                Err(other) => Err(other),
            }
        })
        .await
    }

    async fn force_delete(&self, pod: &PodId) -> Result<bool> {
        self.first(|client| async move {
            let params = only(pod, DeleteParams::default().grace_period(0));
            let asked = Api::<Pod>::namespaced(client, &pod.namespace)
                .delete(&pod.name, &params)
                .await;
            match deleted(asked) {
                Err(Error::Api(said)) if said.code == 409 => Ok(false),
                other => other,
            }
        })
        .await
    }

    fn watch_nodes(&self) -> KubeWatch {
        watch::nodes(self.endpoints.clone())
    }
}
