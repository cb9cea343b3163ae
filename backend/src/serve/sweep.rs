//! Leftovers of jobs go when the panel starts, and from time to time.

use std::sync::Arc;
use std::time::Duration;

use coxswain_wire::{Enrolment, HostId};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::steps::sweep::sweep;
use crate::store::{Db, RunStore};
use crate::world::World;

/// Between two rounds over all hosts.
const EVERY: Duration = Duration::from_secs(15 * 60);

/// Sweeps until it is dropped.
pub(super) struct Sweeper(JoinHandle<()>);

impl Sweeper {
    /// Begins with a round at once.
    pub(super) fn start(db: Db, runs: Arc<RunStore>, world: Arc<dyn World>) -> Self {
        Self(tokio::spawn(async move {
            let mut round = interval(EVERY);
            round.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                round.tick().await;
                let hosts = match db.hosts().await {
                    Ok(hosts) => hosts,
                    Err(error) => {
                        tracing::warn!(%error, "cannot read the hosts to sweep them");
                        continue;
                    }
                };
                for host in hosts {
                    match host.enrolment {
                        Enrolment::Pinned { .. } => sweep_host(&runs, &*world, host.id).await,
                        Enrolment::Unconfirmed => {}
                    }
                }
            }
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn sweep_host(runs: &RunStore, world: &dyn World, host: HostId) {
    match sweep(world, runs, host).await {
        Ok(swept) => {
            for job in swept {
                tracing::info!(%host, %job, "swept what a job had left");
            }
        }
        // The next round finds it again.
        Err(error) => tracing::debug!(%host, %error, "not swept"),
    }
}
