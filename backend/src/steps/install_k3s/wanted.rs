//! When a node counts as healthy (design, "Healthy again"): not when its Node reads Ready, which is stale
//! for 40 s, but when k3s, API server, etcd member and lease are seen alive.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::install::{Release, Role, Source};
use tokio::time::Instant;

use super::Params;
use crate::steps::Services;
use crate::steps::etcd::EtcdLook;
use crate::steps::kube::{fresh_lease, last_line, of_server};
use crate::steps::unit::UnitLook;
use crate::world::Kube;

/// A healthy node.
pub(super) struct Healthy {
    /// What was seen.
    pub(super) words: String,
    /// Version of its kubelet.
    pub(super) version: String,
}

/// Looks at a node whose unit is active. `Err` inside: what is missing.
pub(super) async fn healthy(
    services: &Services,
    params: &Params,
    look: &UnitLook,
    deadline: Instant,
) -> Result<Result<Healthy, String>, StepFailure> {
    if let Err(why) = same_arguments(params, look)? {
        return Ok(Err(why));
    }
    let world = &*services.world;
    match (&params.request.role, &params.via) {
        (Role::FirstServer | Role::JoinServer { .. }, via) => {
            let Some(kube) = of_server(world, &params.node).await? else {
                return Ok(Err("k3s has not written its kubeconfig yet".to_owned()));
            };
            match kube.readyz(&params.node.name).await {
                Ok(answer) if answer.ready => {}
                Ok(answer) => {
                    return Ok(Err(format!(
                        "the API server is not ready: {}",
                        last_line(&answer.text)
                    )));
                }
                Err(e) => return Ok(Err(e.to_string())),
            }
            if let Err(why) = member(EtcdLook::take(world, params.node.host).await?, params, true) {
                return Ok(Err(why));
            }
            // The same cluster, seen from the other side: a server of another one would satisfy the rest.
            if let Some(via) = via
                && let Err(why) = member(EtcdLook::take(world, via.host).await?, params, false)
            {
                return Ok(Err(format!("seen from {}: {why}", via.name)));
            }
            Ok(node(&*kube, params, deadline).await)
        }
        (Role::Agent { .. }, Some(via)) => match of_server(world, via).await? {
            Some(kube) => Ok(node(&*kube, params, deadline).await),
            None => Ok(Err(format!("{} has no kubeconfig", via.name))),
        },
        (Role::Agent { .. }, None) => {
            Err(StepFailure::fatal("the step names no server for the agent"))
        }
    }
}

/// k3s runs with the arguments that this step gives it: another installation does not count.
fn same_arguments(params: &Params, look: &UnitLook) -> Result<Result<(), String>, StepFailure> {
    let wanted = params
        .request
        .k3s_args()
        .map_err(|e| StepFailure::fatal(e.to_string()))?;
    Ok(if look.words().as_ref() == Some(&wanted) {
        Ok(())
    } else {
        Err("k3s runs with other arguments".to_owned())
    })
}

fn member(look: Result<EtcdLook, String>, params: &Params, itself: bool) -> Result<(), String> {
    let etcd = look?;
    if itself && !etcd.healthy {
        return Err("etcd is not healthy".to_owned());
    }
    if etcd.votes(&params.node.name) {
        Ok(())
    } else {
        Err(format!("{} is not a voting etcd member", params.node.name))
    }
}

async fn node(kube: &dyn Kube, params: &Params, deadline: Instant) -> Result<Healthy, String> {
    let name = &params.node.name;
    let nodes = kube.nodes().await.map_err(|e| e.to_string())?;
    let node = nodes
        .into_iter()
        .find(|n| n.name == *name)
        .ok_or_else(|| format!("{name} is not registered"))?;
    if !node.ready {
        return Err(format!("{name} is not Ready"));
    }
    if let Some(wanted) = version(&params.request.source)
        && node.version != wanted
    {
        return Err(format!("{name} runs {} instead of {wanted}", node.version));
    }
    fresh_lease(kube, name, deadline).await?;
    let words = match params.request.role {
        Role::FirstServer | Role::JoinServer { .. } => format!(
            "{name} is healthy: k3s {} active, API ready, etcd member {} votes, lease renewed twice",
            node.version,
            node.etcd_member_name.as_deref().unwrap_or(name)
        ),
        Role::Agent { .. } => format!(
            "{name} is healthy: k3s {} Ready, lease renewed twice",
            node.version
        ),
    };
    Ok(Healthy {
        words,
        version: node.version,
    })
}

/// The version that was asked for, if one was.
fn version(source: &Source) -> Option<String> {
    match source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => Some(version.to_string()),
        Source::Online {
            release: Release::Channel(_),
            ..
        }
        | Source::AirGap { .. } => None,
    }
}
