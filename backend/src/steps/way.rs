//! Ways to the API, tried without credentials.

use coxswain_k3s::names::Address;

use super::kube::{API_PORT, ApiHost};
use crate::world::{TlsTarget, World};

/// One of them.
pub(crate) struct Way {
    /// Its name in reports.
    pub(crate) name: String,
    address: String,
}

impl Way {
    /// To a server, or through a load balancer.
    pub(crate) fn of(host: &ApiHost) -> Self {
        Self {
            name: host.name.clone(),
            address: host.address.clone(),
        }
    }

    /// To whatever stands at the cluster's endpoint. Two words: no host has such a name.
    pub(crate) fn endpoint(endpoint: &Address) -> Self {
        Self {
            name: format!("endpoint {endpoint}"),
            address: endpoint.to_string(),
        }
    }

    /// `Err`: the API does not answer there, in words. 401 without credentials comes from a living API server.
    pub(crate) async fn answers(&self, world: &dyn World) -> Result<(), String> {
        let target = TlsTarget::new(self.address.clone(), API_PORT);
        match world.http_get(&target, "/readyz").await {
            Ok(answer) if matches!(answer.status, 200 | 401) => Ok(()),
            Ok(answer) => Err(format!(
                "{} answers {} to /readyz",
                self.name, answer.status
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}
