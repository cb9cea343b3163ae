//! One look at one cluster.

use std::sync::Arc;
use std::time::Duration;

use coxswain_k3s::etcd::{Member, quorum};
use coxswain_k3s::kubeconfig::Kubeconfig;
use coxswain_wire::{
    Cluster, ClusterLive, EndpointLive, EtcdLive, EtcdMember, Host, MemberRole, NodeLive,
    WorkloadsLive,
};
use futures::future::join_all;

use super::names;
use crate::steps::etcd::EtcdLook;
use crate::steps::services::{ServiceError, Services};
use crate::world::{Kube, KubeAccess, KubeEndpoint, KubeNode, Secret, TlsTarget, World};

/// Port of the Kubernetes API on servers and load balancers.
const API_PORT: u16 = 6443;
/// Each single question.
const ASK_TIMEOUT: Duration = Duration::from_secs(6);

/// A host of the cluster with its API.
struct Endpoint<'a> {
    host: &'a Host,
    role: MemberRole,
}

/// Looks at the API through every way, at nodes, etcd and workloads.
pub(super) async fn look(
    services: &Services,
    cluster: &Cluster,
    hosts: &[Host],
) -> Result<ClusterLive, ServiceError> {
    let endpoints = endpoints(cluster, hosts);
    let kube = client(services, cluster, &endpoints).await?;
    let (endpoints, listed, workloads, etcd) = tokio::join!(
        join_all(
            endpoints
                .iter()
                .map(|e| endpoint(&*services.world, kube.as_ref(), e))
        ),
        nodes(kube.as_ref()),
        workloads(kube.as_ref()),
        etcd(&*services.world, &endpoints),
    );
    Ok(ClusterLive {
        observed_at: crate::time::now(),
        names: names::origins(&endpoints, listed.as_deref().unwrap_or_default()),
        endpoints,
        nodes: listed.map(|nodes| nodes.into_iter().map(shown).collect()),
        etcd,
        workloads,
    })
}

/// Load balancers first: that is the way clients take.
fn endpoints<'a>(cluster: &Cluster, hosts: &'a [Host]) -> Vec<Endpoint<'a>> {
    let of_role = |wanted: MemberRole| {
        cluster
            .members
            .iter()
            .filter(move |m| m.role == wanted)
            .filter_map(move |member| {
                let host = hosts.iter().find(|h| h.id == member.host)?;
                Some(Endpoint {
                    host,
                    role: member.role,
                })
            })
    };
    of_role(MemberRole::LoadBalancer)
        .chain(of_role(MemberRole::Server))
        .collect()
}

async fn client(
    services: &Services,
    cluster: &Cluster,
    endpoints: &[Endpoint<'_>],
) -> Result<Option<Arc<dyn Kube>>, ServiceError> {
    let Some(secret) = services.book.kubeconfig(cluster.id).await? else {
        return Ok(None);
    };
    let stored = services.secrets.get(secret).await?;
    let text = String::from_utf8_lossy(stored.expose()).into_owned();
    let config = Kubeconfig::parse(&text)
        .map_err(|e| ServiceError(format!("the stored kubeconfig: {e}")))?;
    let access = KubeAccess {
        endpoints: endpoints
            .iter()
            .map(|e| KubeEndpoint {
                name: e.host.name.clone(),
                address: e.host.node_address.clone(),
                port: API_PORT,
                server_name: match e.role {
                    MemberRole::LoadBalancer => Some(cluster.endpoint.clone()),
                    MemberRole::Server | MemberRole::Agent => None,
                },
            })
            .collect(),
        ca: config.ca_pem().to_vec(),
        client_certificate: config.client_cert_pem().to_vec(),
        client_key: Secret::new(config.client_key_pem()),
    };
    services
        .world
        .kube(&access)
        .await
        .map(Some)
        .map_err(|e| ServiceError(e.to_string()))
}

async fn endpoint(
    world: &dyn World,
    kube: Option<&Arc<dyn Kube>>,
    endpoint: &Endpoint<'_>,
) -> EndpointLive {
    let target = TlsTarget::new(endpoint.host.node_address.clone(), API_PORT);
    let (ready, served) = tokio::join!(
        async {
            match kube {
                None => Err("no kubeconfig is stored".to_owned()),
                Some(kube) => ask(kube.readyz(&endpoint.host.name)).await,
            }
        },
        ask(world.handshake(&target)),
    );
    let (ready, detail, latency_ms) = match ready {
        Ok(answer) if answer.ready => (
            true,
            String::new(),
            Some(u32::try_from(answer.latency.as_millis()).unwrap_or(u32::MAX)),
        ),
        Ok(answer) => (false, answer.text, None),
        Err(error) => (false, error, None),
    };
    EndpointLive {
        name: endpoint.host.name.clone(),
        address: target.endpoint(),
        role: endpoint.role,
        ready,
        detail,
        latency_ms,
        certificate: served.ok().map(|chain| chain.leaf.certificate),
    }
}

async fn nodes(kube: Option<&Arc<dyn Kube>>) -> Option<Vec<KubeNode>> {
    let mut nodes = ask(kube?.nodes()).await.ok()?;
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Some(nodes)
}

fn shown(node: KubeNode) -> NodeLive {
    NodeLive {
        name: node.name,
        ready: node.ready,
        roles: node.roles,
        version: node.version,
        address: node.address,
        cordoned: node.cordoned,
    }
}

async fn workloads(kube: Option<&Arc<dyn Kube>>) -> Option<WorkloadsLive> {
    let counts = ask(kube?.deployments()).await.ok()?;
    Some(WorkloadsLive {
        wanted: counts.wanted,
        ready: counts.ready,
    })
}

/// Every server is asked for its own health; the member list is the first that any of them gives.
async fn etcd(world: &dyn World, endpoints: &[Endpoint<'_>]) -> Option<EtcdLive> {
    let servers = endpoints.iter().filter(|e| match e.role {
        MemberRole::Server => true,
        MemberRole::Agent | MemberRole::LoadBalancer => false,
    });
    let looks = join_all(servers.map(|server| async move {
        let look = tokio::time::timeout(ASK_TIMEOUT, EtcdLook::take(world, server.host.id)).await;
        (
            server.host,
            look.ok().and_then(Result::ok).and_then(Result::ok),
        )
    }))
    .await;
    let listed = looks.iter().find_map(|(_, look)| look.as_ref())?;
    let health = |member: &Member| {
        looks.iter().any(|(host, look)| {
            member.is_of(&host.name, &host.node_address) && look.as_ref().is_some_and(|l| l.healthy)
        })
    };
    let leader = looks
        .iter()
        .find_map(|(_, look)| look.as_ref().and_then(|l| l.leader));
    let mut members: Vec<EtcdMember> = listed
        .members
        .members
        .iter()
        .map(|member| EtcdMember {
            name: member.name.clone(),
            healthy: health(member),
            learner: !member.votes(),
            leader: leader == Some(member.id),
        })
        .collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let healthy = members.iter().filter(|m| !m.learner && m.healthy).count();
    let quorum = quorum(listed.members.voters(), healthy);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Some(EtcdLive {
        members,
        quorum: count(quorum.needed),
        tolerates: count(quorum.tolerated),
    })
}

async fn ask<T>(question: impl Future<Output = crate::world::Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(ASK_TIMEOUT, question).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", ASK_TIMEOUT.as_secs())),
    }
}
