//! What steps read and note of clusters.

use async_trait::async_trait;
use coxswain_wire::{Cluster, ClusterId, ClusterPhase, Host, HostId, Member, SecretId};

use super::{Panel, service_error};
use crate::steps::services::{ClusterBook, ServiceError};
use crate::store::ClusterSecret;
use crate::time::now;

type Answer<T> = Result<T, ServiceError>;

impl Panel {
    async fn cluster(&self, id: ClusterId) -> Answer<Cluster> {
        let found = self.db.cluster(id).await.map_err(|e| service_error(&e))?;
        found.ok_or_else(|| ServiceError(format!("there is no cluster {id}")))
    }

    async fn set_secret(
        &self,
        id: ClusterId,
        which: ClusterSecret,
        secret: Option<SecretId>,
    ) -> Answer<()> {
        self.db
            .set_cluster_secret(now(), id, which, secret)
            .await
            .map_err(|e| service_error(&e))
    }
}

#[async_trait]
impl ClusterBook for Panel {
    async fn phase(&self, cluster: ClusterId) -> Answer<ClusterPhase> {
        Ok(self.cluster(cluster).await?.phase)
    }

    async fn set_phase(&self, cluster: ClusterId, phase: ClusterPhase) -> Answer<()> {
        self.db
            .set_cluster_phase(now(), cluster, phase)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn kubeconfig(&self, cluster: ClusterId) -> Answer<Option<SecretId>> {
        Ok(self
            .db
            .cluster_secrets(cluster)
            .await
            .map_err(|e| service_error(&e))?
            .kubeconfig)
    }

    async fn set_kubeconfig(&self, cluster: ClusterId, secret: Option<SecretId>) -> Answer<()> {
        self.set_secret(cluster, ClusterSecret::Kubeconfig, secret)
            .await
    }

    async fn token(&self, cluster: ClusterId) -> Answer<Option<SecretId>> {
        Ok(self
            .db
            .cluster_secrets(cluster)
            .await
            .map_err(|e| service_error(&e))?
            .server_token)
    }

    async fn set_token(&self, cluster: ClusterId, secret: Option<SecretId>) -> Answer<()> {
        self.set_secret(cluster, ClusterSecret::ServerToken, secret)
            .await
    }

    async fn members(&self, cluster: ClusterId) -> Answer<Vec<Member>> {
        Ok(self.cluster(cluster).await?.members)
    }

    async fn add_member(&self, cluster: ClusterId, member: Member) -> Answer<()> {
        self.db
            .add_cluster_member(now(), cluster, member)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn remove_member(&self, cluster: ClusterId, host: HostId) -> Answer<()> {
        self.db
            .remove_cluster_member(now(), cluster, host)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn host(&self, host: HostId) -> Answer<Option<Host>> {
        self.db.host(host).await.map_err(|e| service_error(&e))
    }

    async fn unclean(&self, host: HostId) -> Answer<Option<ClusterId>> {
        let found = ClusterBook::host(self, host).await?;
        let found = found.ok_or_else(|| ServiceError(format!("there is no host {host}")))?;
        Ok(found.unclean.map(|mark| mark.from))
    }

    async fn set_unclean(&self, host: HostId, from: Option<ClusterId>) -> Answer<()> {
        self.db
            .set_host_unclean(now(), host, from)
            .await
            .map_err(|e| service_error(&e))
    }
}
