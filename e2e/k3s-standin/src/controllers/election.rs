//! Leader election by the Lease `kube-system/k3s`, with client-go's timing. A server that cannot reach the lease for
//! the renew deadline gives up: k3s ends then (transcript 11).

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Setup;
use crate::agent::micro_now;
use crate::api::resources;
use crate::api::store::{Store, StoreError};
use crate::logging;
use crate::settings::Settings;

/// A lease not renewed for this long may be taken.
const LEASE: Duration = Duration::from_secs(15);
/// Longest time without reaching the lease.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The same with quick timers.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(5);
/// Pause between tries.
const RETRY: Duration = Duration::from_secs(2);
/// Name of the Lease.
const NAME: &str = "k3s";

/// This server's part in the election.
pub(super) struct Election {
    store: Store,
    settings: Settings,
    identity: String,
    /// The foreign lease as last seen, and since when it looks so.
    observed: Mutex<Option<(Value, Instant)>>,
}

impl Election {
    /// Takes part as `setup.node`.
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            store: setup.store.clone(),
            settings: setup.settings.clone(),
            identity: setup.node.clone(),
            observed: Mutex::new(None),
        }
    }

    /// Runs until the lease cannot be reached any more; returns the last words.
    pub(super) async fn run(&self, leads: &watch::Sender<bool>) -> String {
        let deadline = self
            .settings
            .scaled_at_least(RENEW_DEADLINE, SHORTEST_DEADLINE);
        loop {
            match tokio::time::timeout(deadline, self.round_until_success()).await {
                Ok(leader) => {
                    let changed = leads.send_replace(leader) != leader;
                    if changed && leader {
                        let text = format!("successfully acquired lease kube-system/{NAME}");
                        logging::klog('I', "leaderelection.go:258", text);
                    }
                }
                Err(_) => {
                    leads.send_replace(false);
                    logging::klog(
                        'I',
                        "leaderelection.go:283",
                        format!(
                            "failed to renew lease kube-system/{NAME}: timed out waiting for the condition"
                        ),
                    );
                    logging::klog(
                        'E',
                        "leaderelection.go:306",
                        "Failed to release lock: resource name may not be empty",
                    );
                    return format!("leaderelection lost for {NAME}");
                }
            }
            tokio::time::sleep(self.settings.scaled(RETRY)).await;
        }
    }

    async fn round_until_success(&self) -> bool {
        loop {
            match self.round().await {
                Ok(leader) => return leader,
                Err(StoreError::Conflict | StoreError::AlreadyExists) => return false,
                Err(error) => {
                    logging::klog(
                        'E',
                        "leaderelection.go:325",
                        format!("error retrieving resource lock kube-system/{NAME}: {error}"),
                    );
                    tokio::time::sleep(self.settings.scaled(RETRY)).await;
                }
            }
        }
    }

    /// One try to renew or acquire; whether we lead after it.
    async fn round(&self) -> Result<bool, StoreError> {
        let leases = resources::leases();
        let Some(mut lease) = self.store.get(leases, Some("kube-system"), NAME).await? else {
            let lease = json!({
                "metadata": {"name": NAME, "namespace": "kube-system"},
                "spec": self.spec(&json!(0)),
            });
            self.store.create(leases, lease).await?;
            return Ok(true);
        };
        let spec = lease["spec"].clone();
        let holder = spec["holderIdentity"].as_str().unwrap_or_default();
        if holder == self.identity {
            lease["spec"]["renewTime"] = json!(micro_now());
            self.store.update(leases, lease).await?;
            return Ok(true);
        }
        if !holder.is_empty() && !self.expired(&spec) {
            return Ok(false);
        }
        let transitions = spec["leaseTransitions"].as_i64().unwrap_or(0) + 1;
        lease["spec"] = self.spec(&json!(transitions));
        self.store.update(leases, lease).await?;
        Ok(true)
    }

    /// Whether a foreign lease has not changed for its duration, by our own clock.
    fn expired(&self, spec: &Value) -> bool {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*observed {
            Some((seen, since)) if seen == spec => since.elapsed() >= self.settings.scaled(LEASE),
            Some(_) | None => {
                *observed = Some((spec.clone(), Instant::now()));
                false
            }
        }
    }

    fn spec(&self, transitions: &Value) -> Value {
        let now = micro_now();
        json!({
            "holderIdentity": self.identity, "leaseDurationSeconds": LEASE.as_secs(),
            "acquireTime": now, "renewTime": now, "leaseTransitions": transitions,
        })
    }

    /// Gives the lease back, so that another server need not wait for its end.
    pub(super) async fn release(&self, store: &Store) {
        let identity = json!(self.identity);
        let released = store
            .modify(resources::leases(), Some("kube-system"), NAME, |lease| {
                let ours = lease["spec"]["holderIdentity"] == identity;
                if ours {
                    lease["spec"]["holderIdentity"] = json!("");
                }
                Ok(ours)
            })
            .await;
        if let Err(error) = released {
            logging::klog(
                'E',
                "leaderelection.go:306",
                format!("Failed to release lock: {error}"),
            );
        }
    }
}
