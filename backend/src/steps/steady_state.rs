//! Step kind `steady_state`: what a drill takes for granted before its fault, and wants back after it: every node Ready,
//! etcd whole, the API answers through everything, every server healthy, no workload without a ready replica.
//! Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::names::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drill::watch::workload;
use super::healthy::{Part, Wanted, healthy};
use super::kube::{ApiHost, of_first};
use super::way::Way;
use super::{Services, check};
use crate::world::Kube;

/// Stored name.
pub const KIND: &str = "steady_state";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers, the one with the fault last.
    pub servers: Vec<ApiHost>,
    /// Node names of all agents.
    pub agents: Vec<String>,
    /// Load balancers.
    pub load_balancers: Vec<ApiHost>,
    /// The cluster's endpoint, where it is none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Address>,
}

impl Params {
    fn ways(&self) -> Vec<Way> {
        let endpoint = self.endpoint.iter().map(Way::endpoint);
        let hosts = self.load_balancers.iter().chain(&self.servers);
        endpoint.chain(hosts.map(Way::of)).collect()
    }
}

/// The step kind.
pub struct SteadyState(pub Services);

impl SteadyState {
    /// What is missing, in words.
    async fn missing(
        &self,
        context: &StepContext,
        params: &Params,
    ) -> Result<Option<String>, StepFailure> {
        let world = &*self.0.world;
        for way in params.ways() {
            if let Err(why) = way.answers(world).await {
                return Ok(Some(why));
            }
        }
        let kube = match of_first(world, &params.servers).await {
            Ok(kube) => kube,
            Err(failure) => return Ok(Some(failure.into_error().message)),
        };
        if let Some(why) = of_nodes(&*kube, params).await {
            return Ok(Some(why));
        }
        // Side by side: each waits until a lease was renewed twice.
        let each = params.servers.iter().map(|server| {
            let part = Part::Server {
                via: params.servers.iter().find(|other| *other != server),
            };
            let wanted = Wanted {
                node: server,
                part,
                version: None,
                deadline: context.deadline,
            };
            healthy(world, wanted)
        });
        for seen in futures::future::join_all(each).await {
            if let Err(why) = seen? {
                return Ok(Some(why));
            }
        }
        Ok(of_workloads(&*kube).await)
    }
}

async fn of_nodes(kube: &dyn Kube, params: &Params) -> Option<String> {
    let nodes = match kube.nodes().await {
        Ok(nodes) => nodes,
        Err(error) => return Some(error.to_string()),
    };
    let servers = params.servers.iter().map(|s| s.name.as_str());
    let names = servers.chain(params.agents.iter().map(String::as_str));
    for name in names {
        match nodes.iter().find(|node| node.name == name) {
            Some(node) if node.ready => {}
            Some(_) => return Some(format!("{name} is not Ready")),
            None => return Some(format!("the cluster has no node {name}")),
        }
    }
    None
}

async fn of_workloads(kube: &dyn Kube) -> Option<String> {
    let pods = match kube.pods(None).await {
        Ok(pods) => pods,
        Err(error) => return Some(error.to_string()),
    };
    let of = |ready: bool| -> BTreeSet<String> {
        pods.iter()
            .filter(|pod| !ready || (pod.ready && pod.terminating_until.is_none()))
            .filter_map(workload)
            .collect()
    };
    let (all, ready) = (of(false), of(true));
    let without: Vec<&str> = all.difference(&ready).map(String::as_str).collect();
    (!without.is_empty()).then(|| format!("no replica is ready of {}", without.join(", ")))
}

#[async_trait]
impl StepKind for SteadyState {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(match self.missing(context, &params).await? {
            Some(why) => Probe::NotDone { why },
            None => Probe::Done {
                observed: format!(
                    "{} servers and {} agents Ready, etcd whole, the API answers through {} ways, every workload has a ready replica",
                    params.servers.len(),
                    params.agents.len(),
                    params.ways().len()
                ),
                outputs: BTreeMap::new(),
            },
        })
    }

    /// Nothing to do: it is waited for.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}
