//! Step kind `fetch_kubeconfig`: the admin kubeconfig, pointed at the cluster's endpoint, into the vault,
//! and proven by a call through it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::kubeconfig::Kubeconfig;
use coxswain_k3s::names::{Address, ClusterName, ServerUrl};
use coxswain_wire::{ClusterId, SecretId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::{API_PORT, ApiHost, client, read_kubeconfig};
use super::read_token::before;
use super::services::SecretKind;
use super::{Services, check, failure};
use crate::world::{KubeEndpoint, Secret};

/// Stored name.
pub const KIND: &str = "fetch_kubeconfig";
/// Name of the output.
pub const KUBECONFIG: &str = "kubeconfig";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Becomes the context's name.
    pub name: ClusterName,
    /// The server it is read from.
    pub server: ApiHost,
    /// Where clients reach the API on :6443.
    pub endpoint: Address,
    /// Load balancers, tried when the panel does not know the endpoint's name.
    pub load_balancers: Vec<ApiHost>,
}

/// The step kind.
pub struct FetchKubeconfig(pub Services);

impl FetchKubeconfig {
    async fn wanted(&self, params: &Params) -> Result<Kubeconfig, StepFailure> {
        let name = &params.server.name;
        let own = read_kubeconfig(&*self.0.world, params.server.host)
            .await?
            .ok_or_else(|| StepFailure::fatal(format!("there is no kubeconfig on {name}")))?;
        Ok(own.for_cluster(
            &params.name,
            &ServerUrl::new(params.endpoint.clone(), API_PORT),
        ))
    }

    async fn stored(&self, cluster: ClusterId) -> Result<Option<SecretId>, StepFailure> {
        self.0
            .book
            .kubeconfig(cluster)
            .await
            .map_err(failure::service)
    }

    /// The version that the API tells through this kubeconfig, or what stands in the way.
    async fn prove(
        &self,
        params: &Params,
        config: &Kubeconfig,
    ) -> Result<Result<String, String>, StepFailure> {
        let endpoint = KubeEndpoint {
            name: params.endpoint.to_string(),
            address: params.endpoint.to_string(),
            port: API_PORT,
            server_name: None,
        };
        let balancers = params.load_balancers.iter();
        let ways =
            std::iter::once(endpoint).chain(balancers.map(|lb| lb.balancer(&params.endpoint)));
        let mut refusals: Vec<String> = Vec::new();
        for way in ways {
            let name = format!("{}:{}", way.address, way.port);
            let kube = client(&*self.0.world, config, vec![way]).await?;
            match kube.version().await {
                Ok(version) if refusals.is_empty() => {
                    return Ok(Ok(format!("{version} answers at {name}")));
                }
                Ok(version) => {
                    return Ok(Ok(format!(
                        "{version} answers at {name}; {}",
                        refusals.join("; ")
                    )));
                }
                Err(e) => refusals.push(e.to_string()),
            }
        }
        Ok(Err(refusals.join("; ")))
    }
}

#[async_trait]
impl StepKind for FetchKubeconfig {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let Some(id) = self.stored(params.cluster).await? else {
            return Ok(Probe::NotDone {
                why: "the vault has no kubeconfig of this cluster".to_owned(),
            });
        };
        let stored = self.0.secrets.get(id).await.map_err(failure::service)?;
        let wanted = self.wanted(&params).await?;
        if stored.expose() != wanted.to_yaml().as_bytes() {
            return Ok(Probe::NotDone {
                why: "the vault has another kubeconfig".to_owned(),
            });
        }
        Ok(match self.prove(&params, &wanted).await? {
            Ok(observed) => Probe::Done {
                observed: format!("the kubeconfig is in the vault; {observed}"),
                outputs: BTreeMap::from([(KUBECONFIG.to_owned(), Output::Secret { id })]),
            },
            Err(why) => Probe::NotDone { why },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        Ok(serde_json::json!({ "before": self.stored(params.cluster).await? }))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let secret = Secret::new(self.wanted(&params).await?.to_yaml());
        let id = self
            .0
            .secrets
            .put(SecretKind::Kubeconfig, secret)
            .await
            .map_err(failure::service)?;
        self.0
            .book
            .set_kubeconfig(params.cluster, Some(id))
            .await
            .map_err(failure::service)
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(if self.stored(params.cluster).await? == before(context) {
            Probe::Done {
                observed: "the kubeconfig is forgotten".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "the cluster still has the kubeconfig".to_owned(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        self.0
            .book
            .set_kubeconfig(params.cluster, before(context))
            .await
            .map_err(failure::service)
    }
}
