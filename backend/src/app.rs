//! The one value that handlers share. No global state.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use coxswain_engine::engine::Engine;
use coxswain_wire::{Cluster, ClusterId, HostId, Overview};
use tokio::sync::{Semaphore, watch};

use crate::auth::Auth;
use crate::config::Config;
use crate::observe::Observed;
use crate::places::Places;
use crate::planner::Planner;
use crate::store::{Db, DbError, RunStore};
use crate::vault::Vault;
use crate::world::{ScannedKey, World};

/// Runs in lists.
const RUNS_LISTED: u32 = 100;
/// Downloads of snapshots at a time; each holds a session on a host.
const DOWNLOADS: usize = 2;

/// Everything a handler may use.
pub struct App {
    /// What the panel was told.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Secrets.
    pub vault: Arc<Vault>,
    /// Users and sessions.
    pub auth: Auth,
    /// Where runs and their output are kept.
    pub runs: Arc<RunStore>,
    /// Runs.
    pub engine: Engine,
    /// Workflows.
    pub planner: Arc<dyn Planner>,
    /// Machines.
    pub world: Arc<dyn World>,
    /// Latest observation of each cluster.
    pub observed: watch::Receiver<Observed>,
    /// Host keys that were shown and wait for a person.
    pub scans: Scans,
    /// Live streams that may still be opened.
    pub streams: Arc<Places>,
    /// Downloads of snapshots that may still be begun.
    pub downloads: Arc<Semaphore>,
    /// True once the panel is going down: streams end.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// A bound for [`App::downloads`].
    #[must_use]
    pub fn download_limit() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(DOWNLOADS))
    }

    /// All clusters, with what was last seen of them.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, DbError> {
        let mut clusters = self.db.clusters().await?;
        let observed = self.observed.borrow().clone();
        for cluster in &mut clusters {
            cluster.live = observed.get(&cluster.id).cloned();
        }
        Ok(clusters)
    }

    /// One cluster, with what was last seen of it.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn cluster(&self, id: ClusterId) -> Result<Option<Cluster>, DbError> {
        Ok(self.clusters().await?.into_iter().find(|c| c.id == id))
    }

    /// What every page besides a run's shows live.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn overview(&self) -> Result<Overview, DbError> {
        Ok(Overview {
            clusters: self.clusters().await?,
            runs: self.db.runs(RUNS_LISTED).await?,
        })
    }
}

/// Nothing observed.
#[must_use]
pub fn unobserved() -> watch::Receiver<Observed> {
    watch::channel(Arc::new(BTreeMap::new())).1
}

/// Host keys that sshd showed, until a person confirms them. One scan a host, lost at a restart.
#[derive(Debug, Default)]
pub struct Scans(Mutex<HashMap<HostId, (u64, Vec<ScannedKey>)>>);

impl Scans {
    /// Keeps the latest scan of a host of this generation.
    pub fn keep(&self, host: HostId, generation: u64, keys: Vec<ScannedKey>) {
        self.lock().insert(host, (generation, keys));
    }

    /// The latest scan of a host and the generation it was made for.
    #[must_use]
    pub fn latest(&self, host: HostId) -> Option<(u64, Vec<ScannedKey>)> {
        self.lock().get(&host).cloned()
    }

    /// Forgets it.
    pub fn forget(&self, host: HostId) {
        self.lock().remove(&host);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<HostId, (u64, Vec<ScannedKey>)>> {
        // One insert or remove at a time: whole even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
