//! Step kind `verify_cluster`: looks at everything that makes a cluster whole, and changes nothing.

mod sans;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::haproxy::{section_in, stats_socket};
use coxswain_k3s::kubeconfig::Kubeconfig;
use coxswain_k3s::names::{Address, ClusterName, San};
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::configured::waiting_for_network;
use super::etcd::EtcdLook;
use super::haproxy::Haproxy;
use super::kube::{ApiHost, client, last_line};
use super::stats::{self, Statistics};
use super::{Services, check, failure};
use crate::world::KubeNode;

/// Stored name.
pub const KIND: &str = "verify_cluster";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Its name.
    pub cluster: ClusterName,
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// Node names of all agents.
    pub agents: Vec<String>,
    /// Load balancers in front of them.
    pub load_balancers: Vec<ApiHost>,
    /// What the certificate that they show must be good for; none: their own addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Address>,
    /// Names and addresses that the API's certificate must be valid for.
    pub sans: Vec<San>,
    /// The kubeconfig to look through.
    pub kubeconfig: Param<SecretId>,
}

/// The step kind.
pub struct VerifyCluster(pub Services);

impl VerifyCluster {
    /// Nodes that wait for a network plugin, all else being as it must be. `Err` inside: what is not, in words.
    async fn look(
        &self,
        params: &Params,
        config: &Kubeconfig,
    ) -> Result<Result<Vec<String>, String>, StepFailure> {
        let world = &*self.0.world;
        let ways: Vec<&ApiHost> = params
            .load_balancers
            .iter()
            .chain(&params.servers)
            .collect();
        let through = |lb: &ApiHost| match &params.endpoint {
            Some(endpoint) => lb.balancer(endpoint),
            None => lb.endpoint(),
        };
        let servers = params.servers.iter().map(ApiHost::endpoint);
        let endpoints = params.load_balancers.iter().map(through).chain(servers);
        let kube = client(world, config, endpoints.collect()).await?;
        for way in &ways {
            match kube.readyz(&way.name).await {
                Ok(answer) if answer.ready => {}
                Ok(answer) => {
                    return Ok(Err(format!(
                        "the API through {} is not ready: {}",
                        way.name,
                        last_line(&answer.text)
                    )));
                }
                Err(e) => return Ok(Err(e.to_string())),
            }
        }
        let nodes = match kube.nodes().await {
            Ok(nodes) => nodes,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let waiting = match params.servers.first() {
            Some(first) => waiting_for_network(world, first.host, &nodes).await?,
            None => Vec::new(),
        };
        if let Some(why) = nodes_wrong(params, &nodes, &waiting) {
            return Ok(Err(why));
        }
        if let Some(why) = self.etcd_wrong(params).await? {
            return Ok(Err(why));
        }
        if let Some(why) = self.balancing_wrong(params).await? {
            return Ok(Err(why));
        }
        Ok(match sans::wrong(world, params, config.ca_pem()).await {
            Some(why) => Err(why),
            None => Ok(waiting),
        })
    }

    async fn etcd_wrong(&self, params: &Params) -> Result<Option<String>, StepFailure> {
        let servers: BTreeSet<&str> = params.servers.iter().map(|s| s.name.as_str()).collect();
        for server in &params.servers {
            let etcd = match EtcdLook::take(&*self.0.world, server.host).await? {
                Ok(etcd) => etcd,
                Err(why) => return Ok(Some(format!("{}: {why}", server.name))),
            };
            if !etcd.healthy {
                return Ok(Some(format!(
                    "the etcd member on {} is not healthy",
                    server.name
                )));
            }
            let members: BTreeSet<&str> = etcd.names(params.servers.iter()).into_iter().collect();
            let all_vote = etcd.members.voters() == etcd.members.members.len();
            if members != servers || etcd.members.members.len() != servers.len() || !all_vote {
                let listed: Vec<&str> = members.into_iter().collect();
                return Ok(Some(format!(
                    "etcd on {} has the members {}",
                    server.name,
                    listed.join(", ")
                )));
            }
        }
        Ok(None)
    }

    async fn balancing_wrong(&self, params: &Params) -> Result<Option<String>, StepFailure> {
        for lb in &params.load_balancers {
            let text = Haproxy::on(&self.0, lb.host).read().await?;
            let text = text.unwrap_or_default();
            match section_in(&text, &params.cluster) {
                Ok(Some(_)) => {}
                // Somebody else's configuration does the balancing: the answers through it (above) must do.
                Ok(None) => continue,
                Err(damaged) => return Ok(Some(format!("{}: {damaged}", lb.name))),
            }
            // So must they without a socket, or a tool to read it.
            let Some(socket) = stats_socket(&text) else {
                continue;
            };
            let listed =
                match stats::stats(&*self.0.world, lb.host, socket, &params.cluster).await? {
                    Statistics::Listed(listed) => listed,
                    Statistics::NoReader => continue,
                    Statistics::Unread(why) => return Ok(Some(why)),
                };
            let down = stats::not_up(&listed, params.servers.iter().map(|s| s.name.as_str()));
            if !down.is_empty() {
                return Ok(Some(format!("{}: {}", lb.name, down.join("; "))));
            }
        }
        Ok(None)
    }
}

fn nodes_wrong(params: &Params, nodes: &[KubeNode], waiting: &[String]) -> Option<String> {
    let wanted: Vec<&str> = params
        .servers
        .iter()
        .map(|s| s.name.as_str())
        .chain(params.agents.iter().map(String::as_str))
        .collect();
    let absent: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|name| !nodes.iter().any(|n| n.name == *name))
        .collect();
    if !absent.is_empty() {
        return Some(format!("not registered: {}", absent.join(", ")));
    }
    let not_ready: Vec<&str> = nodes
        .iter()
        // A node that is not in the inventory is nobody's business here: the gate has told of it.
        .filter(|n| !n.ready && !waiting.contains(&n.name) && wanted.contains(&n.name.as_str()))
        .map(|n| n.name.as_str())
        .collect();
    (!not_ready.is_empty()).then(|| format!("not Ready: {}", not_ready.join(", ")))
}

#[async_trait]
impl StepKind for VerifyCluster {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let id = params
            .kubeconfig
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let stored = self.0.secrets.get(id).await.map_err(failure::service)?;
        let config = Kubeconfig::parse(&String::from_utf8_lossy(stored.expose()))
            .map_err(|e| StepFailure::fatal(e.to_string()))?;
        Ok(match self.look(&params, &config).await? {
            Err(why) => Probe::NotDone { why },
            Ok(waiting) => Probe::Done {
                observed: seen(&params, &waiting),
                outputs: BTreeMap::new(),
            },
        })
    }

    /// There is nothing to do but to look again, until everything is as it must be.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}

fn seen(params: &Params, waiting: &[String]) -> String {
    let nodes = params.servers.len() + params.agents.len();
    let sans: Vec<&str> = params.sans.iter().map(San::as_str).collect();
    let through = if params.load_balancers.is_empty() {
        "every server"
    } else {
        "the load balancer and every server"
    };
    let ready = if waiting.is_empty() {
        format!("all {nodes} nodes Ready")
    } else {
        format!(
            "all {nodes} nodes registered, not Ready before your network plugin is there: {}",
            waiting.join(", ")
        )
    };
    format!(
        "{ready}; {} of {} etcd members healthy and voting; API ready through {through}, its certificate valid for {}",
        params.servers.len(),
        params.servers.len(),
        sans.join(", ")
    )
}
