//! Watching a cluster during a drill: samples go into the [`Record`], the record into the panel's database every
//! few seconds. Each look has its own pace and time limit, so that a server that does not answer holds up no other
//! look.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_wire::{ClusterId, RunId};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::etcd::EtcdLook;
use super::super::kube::{ApiHost, of_first};
use super::super::{Services, failure};
use super::fault::Fault;
use super::record::{Record, Replica};
use crate::world::{Kube, KubePod, PodOwner, TlsTarget};

/// Between two probes of a way to the API.
const PROBE: Duration = Duration::from_secs(1);
/// For its answer. k3s answers within milliseconds; HAProxy holds a connection to a dead server for longer.
const ANSWER: Duration = Duration::from_millis(2_500);
/// Somebody looks every second: longer without is a gap, milliseconds.
const WITHOUT: i64 = 3_500;
/// Between two looks at nodes and lease, and at etcd.
const LOOK: Duration = Duration::from_secs(2);
/// Between two looks at all pods, which large clusters have many of.
const PODS: Duration = Duration::from_secs(4);
/// For each of them.
const LOOKED: Duration = Duration::from_secs(8);
/// Between two times that the record is stored.
const STORE: Duration = Duration::from_secs(5);

/// What a drill watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watched {
    /// The cluster.
    pub cluster: ClusterId,
    /// The server that has the fault.
    pub victim: ApiHost,
    /// The other servers.
    pub others: Vec<ApiHost>,
    /// Load balancers.
    pub load_balancers: Vec<ApiHost>,
    /// What is done to the victim.
    pub fault: Fault,
}

impl Watched {
    /// Ways to the API that must stay: the load balancers, or the other servers where there are none.
    pub(crate) fn ways(&self) -> Vec<String> {
        let ways = if self.load_balancers.is_empty() {
            &self.others
        } else {
            &self.load_balancers
        };
        ways.iter().map(|way| way.name.clone()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &ApiHost> {
        self.load_balancers
            .iter()
            .chain(std::iter::once(&self.victim))
            .chain(&self.others)
    }
}

/// A look-out over one drill.
pub(crate) struct Watch<'a> {
    services: &'a Services,
    run: RunId,
    watched: &'a Watched,
    record: Arc<Mutex<Record>>,
}

impl<'a> Watch<'a> {
    /// Goes on with what the drill has seen so far; none if it has not begun.
    pub(crate) async fn open(
        services: &'a Services,
        run: RunId,
        watched: &'a Watched,
    ) -> Result<Option<Self>, StepFailure> {
        let stored = load(services, run).await?;
        Ok(stored.map(|record| Self::over(services, run, watched, record)))
    }

    /// Begins anew. What an earlier attempt had seen is void.
    pub(crate) fn begin(services: &'a Services, run: RunId, watched: &'a Watched) -> Self {
        Self::over(services, run, watched, Record::default())
    }

    fn over(services: &'a Services, run: RunId, watched: &'a Watched, record: Record) -> Self {
        let record = Arc::new(Mutex::new(record));
        Self {
            services,
            run,
            watched,
            record,
        }
    }

    /// What was seen.
    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        // Each sample is one small change: whole even after a panic.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, milliseconds of the panel's clock.
    pub(crate) fn now(&self) -> i64 {
        (self.services.now)().0
    }

    /// Stores what was seen.
    pub(crate) async fn store(&self) -> Result<(), StepFailure> {
        let record =
            serde_json::to_value(&*self.record()).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let Watched { cluster, fault, .. } = self.watched;
        let book = &self.services.drills;
        book.keep_record(self.run, *cluster, fault.name(), &record)
            .await
            .map_err(failure::service)
    }

    /// The cluster as it is before the fault: what there has to be afterwards.
    pub(crate) async fn before(&self) -> Result<(), StepFailure> {
        let kube = self.kube().await?;
        self.look_at_nodes(&*kube).await;
        self.look_at_pods(&*kube, true)
            .await
            .map_err(failure::world)?;
        self.look_at_etcd().await;
        let mut record = self.record();
        record.listed_before = record.listed.clone();
        if record.leader.last().is_none() {
            return Err(failure::fatal(
                "no server says which etcd member leads",
                "Nothing was done to the cluster. Look at etcd, then retry.",
            ));
        }
        Ok(())
    }

    /// Watches until `end` is there, and stores what was seen.
    pub(crate) async fn until<T>(
        &self,
        end: impl Future<Output = Result<T, StepFailure>>,
    ) -> Result<T, StepFailure> {
        let ended = tokio::select! {
            ended = end => ended,
            failed = self.watch() => Err(failed),
        };
        self.store().await?;
        ended
    }

    /// Ends only when what was seen cannot be stored.
    async fn watch(&self) -> StepFailure {
        let ways = join_all(self.watched.all().map(|way| self.probe(way)));
        tokio::select! {
            never = ways => never.into_iter().next().unwrap_or_else(|| StepFailure::fatal("there is nothing to watch")),
            never = self.nodes() => never,
            never = self.pods() => never,
            never = self.etcd() => never,
            failed = self.keep() => failed,
        }
    }

    async fn keep(&self) -> StepFailure {
        let mut tick = pace(STORE);
        loop {
            tick.tick().await;
            if let Err(failed) = self.store().await {
                return failed;
            }
        }
    }

    /// One way to the API, once a second. 401 without credentials comes from a living API server.
    async fn probe(&self, way: &ApiHost) -> StepFailure {
        let target = TlsTarget::new(way.address.clone(), super::super::kube::API_PORT);
        let mut tick = pace(PROBE);
        loop {
            tick.tick().await;
            // A failure belongs to the moment at which the question was asked.
            let asked = self.now();
            let answer = timeout(ANSWER, self.services.world.http_get(&target, "/readyz")).await;
            let up = matches!(&answer, Ok(Ok(answer)) if matches!(answer.status, 200 | 401));
            let mut record = self.record();
            record.looked.see_within(asked, (), WITHOUT);
            let track = record.ways.entry(way.name.clone()).or_default();
            track.see(asked, up);
        }
    }

    async fn nodes(&self) -> StepFailure {
        let mut tick = pace(LOOK);
        let mut client = None;
        loop {
            tick.tick().await;
            match self.connected(&mut client).await {
                Some(kube) => self.look_at_nodes(&*kube).await,
                None => {
                    let now = self.now();
                    self.record().reads.see(now, false);
                }
            }
        }
    }

    async fn pods(&self) -> StepFailure {
        let mut tick = pace(PODS);
        let mut client = None;
        loop {
            tick.tick().await;
            if let Some(kube) = self.connected(&mut client).await
                && let Err(error) = self.look_at_pods(&*kube, false).await
            {
                tracing::debug!(%error, "pods not seen");
            }
        }
    }

    async fn etcd(&self) -> StepFailure {
        let mut tick = pace(LOOK);
        loop {
            tick.tick().await;
            self.look_at_etcd().await;
        }
    }

    /// The API of the other servers: the victim's may hang.
    async fn kube(&self) -> Result<Arc<dyn Kube>, StepFailure> {
        of_first(&*self.services.world, &self.watched.others).await
    }

    async fn connected(&self, client: &mut Option<Arc<dyn Kube>>) -> Option<Arc<dyn Kube>> {
        if client.is_none()
            && let Ok(Ok(kube)) = timeout(LOOKED, self.kube()).await
        {
            *client = Some(kube);
        }
        client.clone()
    }

    async fn look_at_nodes(&self, kube: &dyn Kube) {
        let asked = self.now();
        let nodes = timeout(LOOKED, kube.nodes()).await;
        let lease = timeout(LOOKED, kube.lease(&self.watched.victim.name)).await;
        let mut record = self.record();
        match nodes {
            Ok(Ok(nodes)) => {
                record.reads.see(asked, true);
                for node in nodes {
                    let track = record.nodes.entry(node.name).or_default();
                    track.see(asked, node.ready);
                }
            }
            Ok(Err(_)) | Err(_) => record.reads.see(asked, false),
        }
        if let Ok(Ok(Some(lease))) = lease {
            record.lease(asked, lease.renewed_at_us);
        }
    }

    async fn look_at_pods(&self, kube: &dyn Kube, before: bool) -> crate::world::Result<()> {
        let asked = self.now();
        let pods = match timeout(LOOKED, kube.pods(None)).await {
            Ok(pods) => pods?,
            Err(_) => {
                return Err(crate::world::WorldError::Kube {
                    endpoint: self
                        .watched
                        .others
                        .first()
                        .map_or_else(String::new, |o| o.name.clone()),
                    status: None,
                    detail: format!("no list of pods within {} s", LOOKED.as_secs()),
                });
            }
        };
        let victim = self.watched.victim.name.as_str();
        let mut record = self.record();
        let faulty = !before && record.healed_at.is_none();
        let lost = faulty && self.watched.fault.takes_pods();
        let gone = |pod: &KubePod| lost && pod.node == victim;
        let replicas: Vec<Replica> = pods
            .iter()
            .filter_map(|pod| {
                Some(Replica {
                    workload: workload(pod)?,
                    ready: pod.ready && pod.terminating_until.is_none() && !gone(pod),
                })
            })
            .collect();
        record.count(asked, &replicas);
        let leaving: Vec<(String, String)> = pods
            .iter()
            .filter(|pod| pod.node == victim && pod.terminating_until.is_some() && !pod.finished)
            .map(|pod| (pod.id.uid.clone(), pod.id.to_string()))
            .collect();
        record.leaving(asked, &leaving, before);
        Ok(())
    }

    async fn look_at_etcd(&self) {
        let asked = self.now();
        let world = &*self.services.world;
        let looks = join_all(self.watched.others.iter().map(|server| async move {
            let look = timeout(LOOKED, EtcdLook::take(world, server.host)).await;
            (server, look)
        }))
        .await;
        let mut record = self.record();
        let mut leader = None;
        for (server, look) in looks {
            // A server that cannot be asked over SSH says nothing about its etcd.
            let Ok(Ok(look)) = look else { continue };
            let healthy = look.as_ref().is_ok_and(|etcd| etcd.healthy);
            let track = record.members.entry(server.name.clone()).or_default();
            track.see(asked, healthy);
            let Ok(etcd) = look else { continue };
            let members = &etcd.members.members;
            record.listed = members.iter().map(|m| m.name.clone()).collect();
            let leads = members.iter().find(|m| Some(m.id) == etcd.leader);
            leader = leader.or_else(|| leads.map(|m| m.node_name().to_owned()));
        }
        if let Some(leader) = leader {
            record.leader.see(asked, leader);
        }
    }
}

/// What a drill has seen so far.
pub(crate) async fn load(services: &Services, run: RunId) -> Result<Option<Record>, StepFailure> {
    let stored = services
        .drills
        .record(run)
        .await
        .map_err(failure::service)?;
    stored
        .map(|json| {
            serde_json::from_value(json).map_err(|e| {
                StepFailure::fatal(format!("what the drill has seen does not decode: {e}"))
            })
        })
        .transpose()
}

/// What made a pod, if it would make it again elsewhere; its own name if nobody did.
pub(crate) fn workload(pod: &KubePod) -> Option<String> {
    if pod.finished {
        return None;
    }
    let namespace = &pod.id.namespace;
    match &pod.owner {
        PodOwner::DaemonSet | PodOwner::Node => None,
        PodOwner::Nobody => Some(format!("pod {}", pod.id)),
        PodOwner::StatefulSet => Some(format!("StatefulSet {namespace}/{}", pod.owner_name)),
        PodOwner::Other(kind) => Some(format!("{kind} {namespace}/{}", pod.owner_name)),
    }
}

fn pace(period: Duration) -> tokio::time::Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
