//! Live state of clusters: looked at again and again, kept in memory, never stored.
//!
//! One task looks at every running cluster side by side, then rests. Readers get a full snapshot and are
//! told when it changed.

mod cluster;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_wire::{Cluster, ClusterId, ClusterLive, ClusterPhase, Host};
use futures::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::steps::services::{ServiceError, Services};

/// Between two looks at a cluster.
const EVERY: Duration = Duration::from_secs(5);
/// One look at one cluster; what has not answered by then counts as not seen.
const LOOK_TIMEOUT: Duration = Duration::from_secs(15);
/// Clusters looked at side by side.
const SIDE_BY_SIDE: usize = 4;

/// Latest observation of each cluster.
pub type Observed = Arc<BTreeMap<ClusterId, ClusterLive>>;

/// The inventory, as far as observing needs it.
#[async_trait]
pub trait Roster: Send + Sync + 'static {
    /// All clusters.
    ///
    /// # Errors
    /// The storage failed; so below.
    async fn clusters(&self) -> Result<Vec<Cluster>, ServiceError>;
    /// All hosts.
    ///
    /// # Errors
    /// As above.
    async fn hosts(&self) -> Result<Vec<Host>, ServiceError>;
}

/// Looks at clusters until it is dropped.
pub struct Observer {
    observed: watch::Receiver<Observed>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Begins to look.
    #[must_use]
    pub fn start(services: Services, roster: Arc<dyn Roster>) -> Self {
        let (sender, observed) = watch::channel(Observed::default());
        let task = tokio::spawn(async move {
            loop {
                match look(&services, &*roster).await {
                    Ok(seen) => drop(sender.send_replace(Arc::new(seen))),
                    Err(error) => tracing::warn!(%error, "cannot read the inventory to observe it"),
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { observed, task }
    }

    /// The latest observations, and news of each new one.
    #[must_use]
    pub fn observed(&self) -> watch::Receiver<Observed> {
        self.observed.clone()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(
    services: &Services,
    roster: &dyn Roster,
) -> Result<BTreeMap<ClusterId, ClusterLive>, ServiceError> {
    let hosts = roster.hosts().await?;
    let running = roster
        .clusters()
        .await?
        .into_iter()
        .filter(|c| match c.phase {
            ClusterPhase::Running => true,
            ClusterPhase::Planned => false,
        });
    let seen = stream::iter(running).map(|cluster| {
        let hosts = &hosts;
        async move {
            let look = cluster::look(services, &cluster, hosts);
            match tokio::time::timeout(LOOK_TIMEOUT, look).await {
                Ok(Ok(live)) => Some((cluster.id, live)),
                Ok(Err(error)) => {
                    tracing::warn!(cluster = %cluster.name, %error, "cannot be observed");
                    None
                }
                Err(_) => {
                    tracing::warn!(cluster = %cluster.name, "a look took too long");
                    None
                }
            }
        }
    });
    Ok(seen
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(|found| async { found })
        .collect()
        .await)
}
