//! How the world learns to reach a host.

use async_trait::async_trait;
use coxswain_wire::HostId;

use super::{Panel, service_error};
use crate::world::{HostBook, HostConnection, Result, WorldError};

fn local(error: &(dyn std::error::Error + 'static)) -> WorldError {
    WorldError::Local {
        what: "reading the inventory".to_owned(),
        detail: service_error(error).0,
    }
}

#[async_trait]
impl HostBook for Panel {
    async fn host(&self, id: HostId) -> Result<Option<HostConnection>> {
        let Some(access) = self.db.host_access(id).await.map_err(|e| local(&e))? else {
            return Ok(None);
        };
        let private_key = self
            .vault
            .get(access.private_key)
            .await
            .map_err(|e| local(&e))?;
        let host = access.host;
        Ok(Some(HostConnection {
            id,
            name: host.name,
            address: host.ssh_address,
            port: host.ssh_port,
            user: host.ssh_user,
            pinned: access.pinned,
            private_key,
            generation: access.generation,
        }))
    }
}
