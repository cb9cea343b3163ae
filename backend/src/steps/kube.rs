//! The Kubernetes API through the admin credentials that a server keeps for itself.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_k3s::kubeconfig::{K3S_KUBECONFIG_FILE, Kubeconfig};
use coxswain_k3s::names::Address;
use coxswain_wire::HostId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::failure;
use crate::world::{Kube, KubeAccess, KubeEndpoint, Secret, World};

/// Largest kubeconfig that is read.
const MAX: usize = 256 * 1024;
/// Port of API and supervisor.
pub(crate) const API_PORT: u16 = 6443;
/// A lease is renewed every 10 s.
const TWO_RENEWALS: Duration = Duration::from_secs(45);

/// A server of the cluster, or a load balancer: which host, and where its API is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiHost {
    /// The host.
    pub host: HostId,
    /// Node name.
    pub name: String,
    /// Node address.
    pub address: String,
}

impl ApiHost {
    /// The way to its API.
    pub(crate) fn endpoint(&self) -> KubeEndpoint {
        KubeEndpoint {
            name: self.name.clone(),
            address: self.address.clone(),
            port: API_PORT,
            server_name: None,
        }
    }

    /// The way through it as a load balancer: what it shows must be good for the cluster's endpoint, and need not be
    /// for its own address.
    pub(crate) fn balancer(&self, endpoint: &Address) -> KubeEndpoint {
        KubeEndpoint {
            server_name: Some(endpoint.to_string()),
            ..self.endpoint()
        }
    }
}

/// The admin kubeconfig of a server, none while k3s has not written it.
pub(crate) async fn read_kubeconfig(
    world: &dyn World,
    host: HostId,
) -> Result<Option<Kubeconfig>, StepFailure> {
    let file = world
        .read_file(host, K3S_KUBECONFIG_FILE, MAX)
        .await
        .map_err(failure::world)?;
    // Half-written while k3s starts: as good as not there.
    Ok(file.and_then(|bytes| Kubeconfig::parse(&String::from_utf8_lossy(&bytes)).ok()))
}

/// A client with a kubeconfig's credentials.
pub(crate) async fn client(
    world: &dyn World,
    config: &Kubeconfig,
    endpoints: Vec<KubeEndpoint>,
) -> Result<Arc<dyn Kube>, StepFailure> {
    let access = KubeAccess {
        endpoints,
        ca: config.ca_pem().to_vec(),
        client_certificate: config.client_cert_pem().to_vec(),
        client_key: Secret::new(config.client_key_pem()),
    };
    world.kube(&access).await.map_err(failure::world)
}

/// A client for one server's own API, with its own credentials; none while k3s has not written them.
pub(crate) async fn of_server(
    world: &dyn World,
    server: &ApiHost,
) -> Result<Option<Arc<dyn Kube>>, StepFailure> {
    match read_kubeconfig(world, server.host).await? {
        None => Ok(None),
        Some(config) => client(world, &config, vec![server.endpoint()])
            .await
            .map(Some),
    }
}

/// A client that asks these servers in their order, with the credentials of the first that has some.
pub(crate) async fn of_first(
    world: &dyn World,
    servers: &[ApiHost],
) -> Result<Arc<dyn Kube>, StepFailure> {
    let mut last = StepFailure::fatal("the step names no server");
    for server in servers {
        match read_kubeconfig(world, server.host).await {
            Ok(Some(config)) => {
                let ways = servers.iter().map(ApiHost::endpoint).collect();
                return client(world, &config, ways).await;
            }
            Ok(None) => last = StepFailure::fatal(format!("{} has no kubeconfig", server.name)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Sees a node's lease renewed twice. `Err`: not in time, in words.
pub(crate) async fn fresh_lease(
    kube: &dyn Kube,
    node: &str,
    deadline: Instant,
) -> Result<(), String> {
    let until = deadline.min(Instant::now() + TWO_RENEWALS);
    let mut seen = None;
    let mut renewals = 0;
    loop {
        let lease = kube.lease(node).await.map_err(|e| e.to_string())?;
        let renewed = lease.and_then(|l| l.renewed_at_us);
        if let (Some(before), Some(now)) = (seen, renewed)
            && before != now
        {
            renewals += 1;
        }
        if renewals >= 2 {
            return Ok(());
        }
        seen = renewed.or(seen);
        if Instant::now() >= until {
            return Err(format!("the lease of {node} is not renewed"));
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// What `/readyz?verbose` ends with.
pub(crate) fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no answer")
}
