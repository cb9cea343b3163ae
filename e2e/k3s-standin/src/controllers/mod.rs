//! What the control plane does by itself: on every server the election and the endpoints lease; on the leader the rest.

mod budgets;
mod daemonsets;
mod election;
mod endpoints;
mod events;
mod namespaces;
mod node_lifecycle;
mod node_removal;
pub(crate) mod objects;
mod scheduler;
mod statefulsets;
mod workloads;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::api::resources;
use crate::api::store::{Store, StoreError};
use crate::logging;
use crate::server::serving::ServingCertificate;
use crate::settings::Settings;
use election::Election;
use node_lifecycle::NodeLifecycle;
use world::World;

/// How controllers of one server are set up.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Objects.
    pub(crate) store: Store,
    /// Timers.
    pub(crate) settings: Settings,
    /// Node name, the identity in the election.
    pub(crate) node: String,
    /// Address advertised in the endpoints of `kubernetes`.
    pub(crate) address: IpAddr,
    /// Pod network.
    pub(crate) cluster_cidr: String,
}

/// Running controllers of one server; they end when dropped.
pub(crate) struct Controllers {
    tasks: JoinSet<()>,
    election: Arc<Election>,
    store: Store,
}

/// Controllers look at everything at least this often.
const RESYNC: Duration = Duration::from_secs(2);
/// Names of nodes are taken over at least this often.
const NAMES: Duration = Duration::from_secs(5);
/// Old events are looked for this often.
const PRUNE: Duration = Duration::from_secs(60);
/// Longest wait for giving the leader's lease back at a stop.
const RELEASE: Duration = Duration::from_secs(1);

impl Controllers {
    /// Starts them. A lost election is reported through `fatal`.
    pub(crate) fn start(
        setup: Setup,
        serving: Arc<ServingCertificate>,
        fatal: mpsc::Sender<String>,
    ) -> Self {
        let election = Arc::new(Election::new(&setup));
        let mut tasks = JoinSet::new();
        let store = setup.store.clone();
        let (sender, leads) = watch::channel(false);
        tasks.spawn(run_election(election.clone(), sender, fatal));
        tasks.spawn(endpoints::announce(setup.clone()));
        tasks.spawn(follow_names(setup.store.clone(), serving.clone()));
        let follow_store = setup.store.clone();
        tasks.spawn(async move { serving.follow(&follow_store).await });
        tasks.spawn(lead(setup, leads));
        Self {
            tasks,
            election,
            store,
        }
    }

    /// Stops and lets another server lead at once.
    pub(crate) async fn stop(mut self) {
        self.tasks.abort_all();
        // Without a quorum the lease cannot be given back; it expires then.
        drop(tokio::time::timeout(RELEASE, self.election.release(&self.store)).await);
    }
}

async fn run_election(
    election: Arc<Election>,
    leads: watch::Sender<bool>,
    fatal: mpsc::Sender<String>,
) {
    let lost = election.run(&leads).await;
    // The receiver lives as long as the process.
    drop(fatal.send(lost).await);
}

/// Names and addresses of servers are allowed in the certificate of :6443.
async fn follow_names(store: Store, serving: Arc<ServingCertificate>) {
    let doorbell = store.doorbell(&[resources::nodes()], NAMES);
    loop {
        if let Ok(list) = store.list(resources::nodes(), None).await {
            let names: BTreeSet<String> = list
                .items
                .iter()
                .filter(|node| objects::is_server(node))
                .flat_map(|node| {
                    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
                    addresses
                        .filter_map(|address| address["address"].as_str().map(str::to_owned))
                        .collect::<Vec<_>>()
                })
                .collect();
            serving.allow(names);
        }
        doorbell.rung().await;
    }
}

/// While this server leads, looks at the world after every change.
async fn lead(setup: Setup, mut leads: watch::Receiver<bool>) {
    loop {
        if leads.wait_for(|leads| *leads).await.is_err() {
            return;
        }
        let doorbell = setup.store.doorbell(
            &[
                resources::nodes(),
                resources::pods(),
                resources::deployments(),
                resources::replicasets(),
                resources::daemonsets(),
                resources::statefulsets(),
                resources::budgets(),
                resources::namespaces(),
            ],
            setup.settings.scaled(RESYNC),
        );
        let mut lifecycle = NodeLifecycle::new(setup.settings.clone());
        let mut pruned = Instant::now();
        while *leads.borrow() {
            if let Err(error) = look(&setup, &mut lifecycle).await {
                // Conflicts are other writers; the next look sees their result.
                if error != StoreError::Conflict && error != StoreError::NotFound {
                    logging::klog('E', "controller.go:1", error);
                }
            }
            if pruned.elapsed() >= PRUNE {
                pruned = Instant::now();
                if let Err(error) = events::prune(&setup.store).await {
                    logging::klog('E', "controller.go:2", error);
                }
            }
            doorbell.rung().await;
        }
    }
}

async fn look(setup: &Setup, lifecycle: &mut NodeLifecycle) -> Result<(), StoreError> {
    let store = &setup.store;
    let world = World::read(store).await?;
    endpoints::reconcile(store).await?;
    node_removal::look(store, &world).await?;
    node_lifecycle::assign_networks(store, &world, &setup.cluster_cidr).await?;
    lifecycle.look(store, &world).await?;
    workloads::look(store, &world).await?;
    daemonsets::look(store, &world).await?;
    statefulsets::look(store, &world).await?;
    budgets::look(store, &world).await?;
    scheduler::look(store, &world).await?;
    namespaces::look(store, &world).await
}
