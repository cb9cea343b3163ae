//! Watching a cluster during a drill: samples go into the [`Record`], the record into the panel's database every
//! second. Each look has its own pace and time limit, so that a server that does not answer holds up no other
//! look, and what does not answer in time is seen not to: the rules that end a drill must not be blind just then.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_k3s::names::Address;
use coxswain_wire::{ClusterId, RunId};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::dead::{self, Machine};
use super::super::etcd::{EtcdLook, name_of};
use super::super::kube::ApiHost;
use super::super::way::Way;
use super::super::{Services, failure};
use super::fault::Fault;
use super::probe::{ANSWER, every_second};
use super::record::{Record, Replica};
use super::survivors::Survivors;
use super::track::CONTINUOUS;
use crate::world::{Kube, KubePod, PodOwner, WorldError};

/// Between two looks at nodes and lease, and at etcd.
const LOOK: Duration = Duration::from_secs(2);
/// For each of them. Nothing within it is no answer.
const LOOKED: Duration = Duration::from_secs(4);
/// Between two looks at all pods, which large clusters have many of.
const PODS: Duration = Duration::from_secs(4);
/// For one of them.
const LISTED: Duration = Duration::from_secs(7);
/// Another server is asked when one has not answered for this long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Samples of something that never answers must count as one look without a break.
const _: () = assert!(
    ANSWER.as_millis() < CONTINUOUS as u128
        && LOOKED.as_millis() < CONTINUOUS as u128
        && LISTED.as_millis() < CONTINUOUS as u128
);

/// Between two times that the record is stored: what came later is lost when the panel dies or a person stops the drill.
const STORE: Duration = Duration::from_secs(1);

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
    /// The cluster's endpoint, where it is none of them; plans of earlier versions do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Address>,
    /// What is done to the victim.
    pub fault: Fault,
}

impl Watched {
    /// Ways to the API that must stay: those that clients take. Plans of earlier versions without load balancers have the
    /// other servers instead.
    pub(crate) fn ways(&self) -> Vec<String> {
        if let Some(endpoint) = &self.endpoint {
            return vec![Way::endpoint(endpoint).name];
        }
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

    fn probed(&self) -> Vec<Way> {
        let endpoint = self.endpoint.iter().map(Way::endpoint);
        endpoint.chain(self.all().map(Way::of)).collect()
    }
}

/// A look-out over one drill.
pub(crate) struct Watch<'a> {
    services: &'a Services,
    run: RunId,
    watched: &'a Watched,
    record: Mutex<Record>,
    api: OnceCell<Survivors>,
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
        Self {
            services,
            run,
            watched,
            record: Mutex::new(record),
            api: OnceCell::new(),
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
        self.look_at_nodes().await?;
        self.look_at_pods(true).await?;
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
        let probed = self.watched.probed();
        let ways = async {
            join_all(probed.iter().map(|way| self.probe(way))).await;
            StepFailure::fatal("there is nothing to watch")
        };
        tokio::select! {
            nothing = ways => nothing,
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

    /// One way to the API, once a second.
    async fn probe(&self, way: &Way) -> Infallible {
        let ask = || async { way.answers(&*self.services.world).await.is_ok() };
        let take = |asked, up| {
            let mut record = self.record();
            record.look(asked);
            let track = record.ways.entry(way.name.clone()).or_default();
            track.see(asked, up);
        };
        every_second(ask, take, || self.now()).await
    }

    async fn nodes(&self) -> StepFailure {
        let mut tick = pace(LOOK);
        loop {
            tick.tick().await;
            if let Err(error) = self.look_at_nodes().await {
                let why = error.into_error().message;
                tracing::debug!(why, "nodes not seen");
            }
        }
    }

    async fn pods(&self) -> StepFailure {
        let mut tick = pace(PODS);
        loop {
            tick.tick().await;
            if let Err(error) = self.look_at_pods(false).await {
                let why = error.into_error().message;
                tracing::debug!(why, "pods not seen");
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

    /// Asks the other servers: the victim's API may hang.
    async fn ask<T, F>(
        &self,
        limit: Duration,
        question: impl Fn(Arc<dyn Kube>) -> F,
    ) -> Result<T, StepFailure>
    where
        F: Future<Output = crate::world::Result<T>>,
    {
        let answer = async {
            let connect = || Survivors::connect(&*self.services.world, &self.watched.others);
            let api = self.api.get_or_try_init(connect).await?;
            api.ask(PATIENCE, question).await.map_err(failure::world)
        };
        match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(failure::world(WorldError::TimedOut {
                what: "the Kubernetes API of the other servers".to_owned(),
                after: limit,
            })),
        }
    }

    async fn look_at_nodes(&self) -> Result<(), StepFailure> {
        let asked = self.now();
        let victim = &self.watched.victim.name;
        let (nodes, lease) = tokio::join!(
            self.ask(LOOKED, |kube| async move { kube.nodes().await }),
            self.ask(LOOKED, |kube| async move { kube.lease(victim).await }),
        );
        let mut record = self.record();
        if let Ok(Some(lease)) = lease
            && let Some(renewed) = lease.renewed_at_us
        {
            record.renewals.see(asked, renewed);
        }
        record.reads.see(asked, nodes.is_ok());
        for node in nodes? {
            let track = record.nodes.entry(node.name).or_default();
            track.see(asked, node.ready);
        }
        Ok(())
    }

    async fn look_at_pods(&self, before: bool) -> Result<(), StepFailure> {
        let asked = self.now();
        let list = |kube: Arc<dyn Kube>| async move { kube.pods(None).await };
        let pods = self.ask(LISTED, list).await?;
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
                    on_victim: pod.node == victim,
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
        let looks = self.watched.others.iter().map(|server| async move {
            let world = &*self.services.world;
            let look = EtcdLook::take_within(world, server.host, LOOKED);
            (server, timeout(LOOKED, look).await)
        });
        let looks = join_all(looks).await;
        let mut record = self.record();
        let mut leader = None;
        for (server, look) in looks {
            let seen = match look {
                Ok(Ok(Ok(etcd))) => Some(etcd),
                Ok(Ok(Err(_))) | Err(_) => None,
                Ok(Err(error)) => match dead::of_error(error) {
                    Machine::Silent(_) => None,
                    // A server that cannot be asked over SSH, but is there, says nothing about its etcd.
                    Machine::Answers(_) | Machine::Unknown(_) => continue,
                },
            };
            let healthy = seen.as_ref().is_some_and(|etcd| etcd.healthy);
            let track = record.members.entry(server.name.clone()).or_default();
            track.see(asked, healthy);
            let Some(etcd) = seen else { continue };
            let members = &etcd.members.members;
            record.listed = members.iter().map(|m| m.name.clone()).collect();
            let leads = members.iter().find(|m| Some(m.id) == etcd.leader);
            let name = |m| name_of(m, self.watched.all()).to_owned();
            leader = leader.or_else(|| leads.map(name));
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

/// What made a pod, if it would make it again elsewhere; its own name if nobody did. A Job's pod comes to its end: it
/// is no replica of anything.
pub(crate) fn workload(pod: &KubePod) -> Option<String> {
    if pod.finished {
        return None;
    }
    let namespace = &pod.id.namespace;
    match &pod.owner {
        PodOwner::DaemonSet | PodOwner::Node => None,
        PodOwner::Other(kind) if kind == "Job" => None,
        PodOwner::Nobody => Some(format!("pod {}", pod.id)),
        PodOwner::StatefulSet => Some(format!("StatefulSet {namespace}/{}", pod.owner_name)),
        PodOwner::Other(kind) => Some(format!("{kind} {namespace}/{}", pod.owner_name)),
    }
}

/// Workloads without a ready replica.
pub(crate) fn unready(pods: &[KubePod]) -> BTreeSet<String> {
    let of = |ready: bool| -> BTreeSet<String> {
        pods.iter()
            .filter(|pod| !ready || (pod.ready && pod.terminating_until.is_none()))
            .filter_map(workload)
            .collect()
    };
    &of(false) - &of(true)
}

/// The first of them in words, and how many more there are.
pub(crate) fn few(names: impl ExactSizeIterator<Item = impl Into<String>>) -> String {
    const NAMED: usize = 8;
    let more = names.len().saturating_sub(NAMED);
    let mut words: Vec<String> = names.take(NAMED).map(Into::into).collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words.join("; ")
}

pub(super) fn pace(period: Duration) -> tokio::time::Interval {
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clients_take_the_endpoint_and_plans_of_earlier_versions_are_read() {
        let host = |n: i64| json!({"host": n, "name": format!("node{n}"), "address": format!("10.0.0.{n}")});
        let mut stored = json!({
            "cluster": 1,
            "victim": host(1),
            "others": [host(2), host(3)],
            "load_balancers": [],
            "fault": {"kind": "stopped"},
        });
        let ways = |stored: &serde_json::Value| {
            let watched: Watched = serde_json::from_value(stored.clone()).unwrap();
            let probed: Vec<String> = watched.probed().into_iter().map(|way| way.name).collect();
            (watched.ways(), probed)
        };
        let (counted, probed) = ways(&stored);
        assert_eq!(counted, ["node2", "node3"]);
        assert_eq!(probed, ["node1", "node2", "node3"]);
        stored["endpoint"] = "10.0.0.100".into();
        let (counted, probed) = ways(&stored);
        assert_eq!(counted, ["endpoint 10.0.0.100"]);
        assert_eq!(probed, ["endpoint 10.0.0.100", "node1", "node2", "node3"]);
    }
}
