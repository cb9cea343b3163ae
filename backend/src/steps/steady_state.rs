//! Step kind `steady_state`: what a drill takes for granted before its fault, and wants back after it: every node Ready,
//! etcd whole, the API answers through everything, every server healthy. After the fault no workload may lack a ready
//! replica that had one before; what had none before tells nothing of the fault. Changes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::names::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drill::watch::{few, load, unready};
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
    /// Workloads that are left out. `Err` inside: what is missing, in words.
    async fn look(
        &self,
        context: &StepContext,
        params: &Params,
    ) -> Result<Result<Vec<String>, String>, StepFailure> {
        let world = &*self.0.world;
        for way in params.ways() {
            if let Err(why) = way.answers(world).await {
                return Ok(Err(why));
            }
        }
        let kube = match of_first(world, &params.servers).await {
            Ok(kube) => kube,
            Err(failure) => return Ok(Err(failure.into_error().message)),
        };
        if let Some(why) = of_nodes(&*kube, params).await {
            return Ok(Err(why));
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
                return Ok(Err(why));
            }
        }
        let without = match kube.pods(None).await {
            Ok(pods) => unready(&pods),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let before = load(&self.0, context.run).await?;
        let had = |name: &String| before.as_ref().is_some_and(|b| b.wanted.contains_key(name));
        let (lost, left_out): (Vec<String>, Vec<String>) = without.into_iter().partition(had);
        Ok(if lost.is_empty() {
            Ok(left_out)
        } else {
            Err(format!("no replica is ready of {}", few(lost.iter())))
        })
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
        Ok(match self.look(context, &params).await? {
            Err(why) => Probe::NotDone { why },
            Ok(left_out) => Probe::Done {
                observed: format!(
                    "{} servers and {} agents Ready, etcd whole, the API answers through {} ways, {}",
                    params.servers.len(),
                    params.agents.len(),
                    params.ways().len(),
                    if left_out.is_empty() {
                        "every workload has a ready replica".to_owned()
                    } else {
                        format!("left out without a ready replica: {}", few(left_out.iter()))
                    }
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
