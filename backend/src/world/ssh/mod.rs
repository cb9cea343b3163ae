//! Hosts over SSH: commands, files, remote jobs, connection tests.

mod agent;
mod classify;
mod config;
mod diagnose;
mod exec;
mod files;
mod jobs;
mod known_hosts;
mod link;
mod loader;
mod pool;
mod scan;
mod start;
mod stream;

use std::sync::Arc;

use coxswain_wire::HostId;

use super::{HostBook, Output, RemoteCommand, Result, ScannedKey, WorldSettings};
pub(super) use jobs::check_names;
use pool::Pool;

/// The SSH half of [`super::RealWorld`].
pub(super) struct Ssh {
    pool: Pool,
}

impl Ssh {
    pub(super) async fn new(book: Arc<dyn HostBook>, settings: WorldSettings) -> Result<Self> {
        Ok(Self {
            pool: Pool::new(book, settings).await?,
        })
    }

    pub(super) async fn run(&self, host: HostId, command: RemoteCommand) -> Result<Output> {
        let lease = self.pool.lease(host, command.timeout).await?;
        let root = if command.sudo {
            Some(lease.link.root().await?)
        } else {
            None
        };
        exec::execute(&lease.link, &command, root).await
    }

    pub(super) async fn scan_host_keys(&self, host: HostId) -> Result<Vec<ScannedKey>> {
        scan::host_keys(&self.pool.host(host).await?).await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}
