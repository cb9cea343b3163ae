//! Step kind `verify_restore`: looks whether a restored cluster is whole, and changes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::etcd::EtcdLook;
use super::kube::{ApiHost, last_line, of_server};
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "verify_restore";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The servers that were brought back.
    pub servers: Vec<ApiHost>,
    /// Node names of the agents.
    pub agents: Vec<String>,
}

/// The step kind.
pub struct VerifyRestore(pub Services);

impl VerifyRestore {
    /// What was seen; `Err` inside: what is missing.
    async fn whole(&self, params: &Params) -> Result<Result<String, String>, StepFailure> {
        for server in &params.servers {
            if let Err(why) = self.member(params, server).await? {
                return Ok(Err(format!("{}: {why}", server.name)));
            }
        }
        let Some(first) = params.servers.first() else {
            return Err(StepFailure::fatal("the step names no server"));
        };
        let Some(kube) = of_server(&*self.0.world, first).await? else {
            return Ok(Err(format!("{} has no kubeconfig", first.name)));
        };
        let (nodes, deployments) = match (kube.nodes().await, kube.deployments().await) {
            (Ok(nodes), Ok(deployments)) => (nodes, deployments),
            (Err(e), _) | (_, Err(e)) => return Ok(Err(e.to_string())),
        };
        let wanted = params
            .servers
            .iter()
            .map(|s| s.name.as_str())
            .chain(params.agents.iter().map(String::as_str));
        for name in wanted {
            match nodes.iter().find(|n| n.name == name) {
                Some(node) if node.ready => {}
                Some(_) => return Ok(Err(format!("{name} is not Ready"))),
                None => return Ok(Err(format!("{name} is not registered"))),
            }
        }
        let listed: Vec<String> = nodes
            .iter()
            .map(|n| {
                if n.ready {
                    n.name.clone()
                } else {
                    format!("{} (not Ready)", n.name)
                }
            })
            .collect();
        Ok(Ok(format!(
            "{} etcd members, all healthy; nodes {}; {} of {} replicas ready",
            params.servers.len(),
            listed.join(", "),
            deployments.ready,
            deployments.wanted
        )))
    }

    /// One server as it sees itself and the others.
    async fn member(
        &self,
        params: &Params,
        server: &ApiHost,
    ) -> Result<Result<(), String>, StepFailure> {
        let world = &*self.0.world;
        let etcd = match EtcdLook::take(world, server.host).await? {
            Ok(etcd) => etcd,
            Err(why) => return Ok(Err(why)),
        };
        if !etcd.healthy {
            return Ok(Err("its etcd member is not healthy".to_owned()));
        }
        let all_vote = params.servers.iter().all(|s| etcd.votes(s));
        if !all_vote || etcd.members.members.len() != params.servers.len() {
            let names = etcd.names(params.servers.iter());
            return Ok(Err(format!("etcd has the members {}", names.join(", "))));
        }
        let Some(kube) = of_server(world, server).await? else {
            return Ok(Err("it has no kubeconfig".to_owned()));
        };
        Ok(match kube.readyz(&server.name).await {
            Ok(answer) if answer.ready => Ok(()),
            Ok(answer) => Err(format!(
                "its API server is not ready: {}",
                last_line(&answer.text)
            )),
            Err(e) => Err(e.to_string()),
        })
    }
}

#[async_trait]
impl StepKind for VerifyRestore {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(match self.whole(&params).await? {
            Ok(observed) => Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            },
            Err(why) => Probe::NotDone { why },
        })
    }

    /// Nothing to do but to wait: the probe sees the end.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}
