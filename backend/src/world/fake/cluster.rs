//! Clusters in memory: who is a node, who is an etcd member, which names the certificate has. And the
//! passing of time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coxswain_wire::HostId;
use tokio::time::Instant;

use super::State;
use super::k3s::Fate;

/// Clusters by number.
pub(super) type Clusters = BTreeMap<u64, Cluster>;

/// From the deletion of a Node to that of its member.
const MEMBER_LEAVES: Duration = Duration::from_secs(8);

/// One cluster.
#[derive(Default)]
pub(super) struct Cluster {
    pub(super) ca: String,
    pub(super) password: String,
    pub(super) nodes: BTreeMap<String, Node>,
    pub(super) members: Vec<Member>,
    /// Names in the certificate of :6443.
    pub(super) sans: BTreeSet<String>,
    /// Names whose node password is kept.
    pub(super) passwords: BTreeSet<String>,
}

/// A Node.
pub(super) struct Node {
    pub(super) host: HostId,
    pub(super) uid: String,
    pub(super) server: bool,
}

/// An etcd member.
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) host: HostId,
    /// `<node>-<8 hex>`.
    pub(super) name: String,
    /// Its Node was deleted.
    pub(super) leaves: Option<Instant>,
}

impl Cluster {
    pub(super) fn delete_node(&mut self, name: &str) -> bool {
        let Some(node) = self.nodes.remove(name) else {
            return false;
        };
        self.passwords.remove(name);
        for member in self.members.iter_mut().filter(|m| m.host == node.host) {
            member.leaves = Some(Instant::now() + MEMBER_LEAVES);
        }
        true
    }
}

/// Something that happens by itself.
enum Next {
    JobEnds(HostId, crate::world::JobId),
    K3sIsUp(HostId),
}

impl State {
    /// Lets everything happen that is due by now, in its order.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((at, next)) = self.due(now) {
            match next {
                Next::JobEnds(host, job) => self.end_job(host, job, at),
                Next::K3sIsUp(host) => self.come_up(host),
            }
        }
        for cluster in self.clusters.values_mut() {
            cluster
                .members
                .retain(|m| m.leaves.is_none_or(|at| at > now));
        }
    }

    fn due(&self, now: Instant) -> Option<(Instant, Next)> {
        let jobs = self.hosts.values().flat_map(|host| {
            host.jobs
                .iter()
                .filter_map(|(id, job)| Some((job.due()?, Next::JobEnds(host.id, *id))))
        });
        let starts = self
            .hosts
            .values()
            .filter_map(|host| match host.k3s.as_ref()?.fate {
                Fate::Starts { up_at } => Some((up_at, Next::K3sIsUp(host.id))),
                Fate::Up { .. } | Fate::Fails { .. } | Fate::Stopped => None,
            });
        jobs.chain(starts)
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
    }

    /// The cluster whose API answers on a host itself.
    pub(super) fn api_on(&self, host: HostId) -> Option<u64> {
        let host = self.hosts.get(&host)?;
        let k3s = host.k3s.as_ref()?;
        match (k3s.agent(), &k3s.fate) {
            (false, Fate::Up { .. }) if self.quorum(k3s.cluster) => Some(k3s.cluster),
            (false, Fate::Up { .. } | Fate::Starts { .. } | Fate::Fails { .. } | Fate::Stopped)
            | (true, _) => None,
        }
    }

    /// More than half of the members run.
    pub(super) fn quorum(&self, cluster: u64) -> bool {
        let Some(cluster) = self.clusters.get(&cluster) else {
            return false;
        };
        let up = cluster.members.iter().filter(|m| self.runs(m.host)).count();
        up > cluster.members.len() / 2
    }

    /// k3s is up on a host.
    pub(super) fn runs(&self, host: HostId) -> bool {
        let k3s = self.hosts.get(&host).and_then(|h| h.k3s.as_ref());
        k3s.is_some_and(|k3s| matches!(k3s.fate, Fate::Up { .. }))
    }
}
