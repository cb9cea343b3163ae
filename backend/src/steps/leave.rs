//! Taking a node out of its cluster while both run: Node deleted, etcd member gone (facts A, removing).
//! With two members left this order matters: stopping one first loses quorum for good.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use tokio::time::{Instant, sleep};

use super::etcd::{EtcdLook, remove_member};
use super::failure;
use super::kube::{ApiHost, of_server};
use crate::world::World;

/// k3s removes the member of a deleted Node within 8 s.
const MEMBER_GONE: Duration = Duration::from_secs(60);

/// What still stands of a node in its cluster, in words; none when nothing does. Asked of another server.
pub(crate) async fn standing(
    world: &dyn World,
    via: &ApiHost,
    node: &ApiHost,
) -> Result<Option<String>, StepFailure> {
    let Some(kube) = of_server(world, via).await? else {
        // Without a kubeconfig there is no cluster on that server that the node could be part of.
        return Ok(None);
    };
    if kube
        .nodes()
        .await
        .map_err(failure::world)?
        .iter()
        .any(|n| n.name == node.name)
    {
        return Ok(Some(format!(
            "{} is still a node of the cluster",
            node.name
        )));
    }
    Ok(match EtcdLook::take(world, via.host).await? {
        Err(why) => Some(format!("{}: {why}", via.name)),
        Ok(etcd) if etcd.of_host(node).is_empty() => None,
        Ok(_) => Some(format!("{} is still an etcd member", node.name)),
    })
}

/// Whether etcd lists a node's member. Asked of another server.
///
/// # Errors
/// Fatal if etcd gives no answer there.
pub(crate) async fn is_member(
    world: &dyn World,
    via: &ApiHost,
    node: &ApiHost,
) -> Result<bool, StepFailure> {
    Ok(!listed(world, via, node).await?.of_host(node).is_empty())
}

/// The same, of a member that votes.
///
/// # Errors
/// As [`is_member`].
pub(crate) async fn votes(
    world: &dyn World,
    via: &ApiHost,
    node: &ApiHost,
) -> Result<bool, StepFailure> {
    Ok(listed(world, via, node).await?.votes(node))
}

async fn listed(world: &dyn World, via: &ApiHost, node: &ApiHost) -> Result<EtcdLook, StepFailure> {
    EtcdLook::take(world, via.host).await?.map_err(|why| {
        failure::fatal(
            format!(
                "{}: {why}: nobody can tell whether {} is an etcd member",
                via.name, node.name
            ),
            format!("See that k3s on {} has its quorum, then retry.", via.name),
        )
    })
}

/// Deletes the Node and waits until its member is gone. A member that never came up has no Node behind
/// it, so k3s does not remove it: that is done here.
pub(crate) async fn leave(
    world: &dyn World,
    via: &ApiHost,
    node: &ApiHost,
) -> Result<(), StepFailure> {
    let Some(kube) = of_server(world, via).await? else {
        return Ok(());
    };
    let was_node = kube.delete_node(&node.name).await.map_err(failure::world)?;
    let until = Instant::now() + MEMBER_GONE;
    loop {
        let etcd = EtcdLook::take(world, via.host).await?.map_err(|why| {
            failure::fatal(
                format!("{}: {why}", via.name),
                "The member must be removed while etcd has quorum: bring the other servers back, then retry.",
            )
        })?;
        let left = etcd.of_host(node);
        if left.is_empty() {
            return Ok(());
        }
        if !was_node || Instant::now() >= until {
            for id in left {
                remove_member(world, via.host, id).await?;
            }
            return Ok(());
        }
        sleep(Duration::from_secs(1)).await;
    }
}
