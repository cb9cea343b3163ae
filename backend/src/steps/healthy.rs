//! When a node counts as healthy (design, "Healthy again"): not when its Node reads Ready, which is stale
//! for 40 s, but when k3s, API server, etcd member and lease are seen alive.

use coxswain_engine::step::StepFailure;
use tokio::time::Instant;

use super::configured::waiting_for_network;
use super::etcd::EtcdLook;
use super::kube::{ApiHost, fresh_lease, last_line, of_server};
use crate::world::{Kube, World};

/// A node that is to be healthy. Its unit was seen active before.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The node.
    pub(crate) node: &'a ApiHost,
    /// Control plane and etcd member, or a worker.
    pub(crate) part: Part<'a>,
    /// Version its kubelet must report, if one is wanted.
    pub(crate) version: Option<&'a str>,
    /// Until when its lease may be waited for.
    pub(crate) deadline: Instant,
}

/// What a node is in its cluster.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    /// A server, and another one from which its member must be seen too; none if it is alone.
    Server {
        /// The other one.
        via: Option<&'a ApiHost>,
    },
    /// An agent, and a server that tells of it.
    Agent {
        /// The server.
        via: &'a ApiHost,
    },
}

/// A healthy node.
pub(crate) struct Healthy {
    /// What was seen.
    pub(crate) words: String,
    /// Version of its kubelet.
    pub(crate) version: String,
}

/// Looks at a node. `Err` inside: what is missing.
pub(crate) async fn healthy(
    world: &dyn World,
    wanted: Wanted<'_>,
) -> Result<Result<Healthy, String>, StepFailure> {
    match wanted.part {
        Part::Server { via } => {
            let Some(kube) = of_server(world, wanted.node).await? else {
                return Ok(Err("k3s has not written its kubeconfig yet".to_owned()));
            };
            match kube.readyz(&wanted.node.name).await {
                Ok(answer) if answer.ready => {}
                Ok(answer) => {
                    return Ok(Err(format!(
                        "the API server is not ready: {}",
                        last_line(&answer.text)
                    )));
                }
                Err(e) => return Ok(Err(e.to_string())),
            }
            let own = match member(EtcdLook::take(world, wanted.node.host).await?, wanted.node) {
                Ok(own) if !own.healthy => return Ok(Err("etcd is not healthy".to_owned())),
                Ok(own) => own,
                Err(why) => return Ok(Err(why)),
            };
            // The same cluster, seen from the other side: a server of another one would satisfy the rest.
            if let Some(via) = via {
                let seen = EtcdLook::take(world, via.host).await?;
                match member(seen, wanted.node) {
                    // Names and addresses are alike where a server was reset into a cluster of its own, and so may be
                    // the number of its member: all of them tell.
                    Ok(seen) if seen.ids() != own.ids() => {
                        return Ok(Err(format!(
                            "{} and {} list different etcd members",
                            wanted.node.name, via.name
                        )));
                    }
                    Ok(_) => {}
                    Err(why) => return Ok(Err(format!("seen from {}: {why}", via.name))),
                }
            }
            node(world, &*kube, wanted).await
        }
        Part::Agent { via } => match of_server(world, via).await? {
            Some(kube) => node(world, &*kube, wanted).await,
            None => Ok(Err(format!("{} has no kubeconfig", via.name))),
        },
    }
}

/// A look in which a node votes.
fn member(look: Result<EtcdLook, String>, node: &ApiHost) -> Result<EtcdLook, String> {
    let etcd = look?;
    if etcd.votes(node) {
        Ok(etcd)
    } else {
        Err(format!("{} is not a voting etcd member", node.name))
    }
}

async fn node(
    world: &dyn World,
    kube: &dyn Kube,
    wanted: Wanted<'_>,
) -> Result<Result<Healthy, String>, StepFailure> {
    let name = &wanted.node.name;
    let nodes = match kube.nodes().await {
        Err(e) => return Ok(Err(e.to_string())),
        Ok(nodes) => nodes,
    };
    let node = nodes.iter().find(|n| n.name == *name);
    let Some(node) = node else {
        return Ok(Err(format!("{name} is not registered")));
    };
    let server = match wanted.part {
        Part::Server { .. } => wanted.node,
        Part::Agent { via } => via,
    };
    let waits = waiting_for_network(world, server.host, &nodes).await?;
    let waits = waits.contains(name);
    if !node.ready && !waits {
        return Ok(Err(format!("{name} is not Ready")));
    }
    if let Some(version) = wanted.version
        && node.version != version
    {
        return Ok(Err(format!(
            "{name} runs {} instead of {version}",
            node.version
        )));
    }
    if let Err(why) = fresh_lease(kube, name, wanted.deadline).await {
        return Ok(Err(why));
    }
    let mut words = match wanted.part {
        Part::Server { .. } => format!(
            "{name} is healthy: k3s {} active, API ready, etcd member {} votes, lease renewed twice",
            node.version,
            node.etcd_member_name.as_deref().unwrap_or(name)
        ),
        Part::Agent { .. } => {
            let ready = if node.ready { "Ready" } else { "active" };
            format!(
                "{name} is healthy: k3s {} {ready}, lease renewed twice",
                node.version
            )
        }
    };
    if waits {
        words.push_str("; not Ready: it waits for your network plugin");
    }
    Ok(Ok(Healthy {
        words,
        version: node.version.clone(),
    }))
}
