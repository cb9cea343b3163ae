//! Clusters in memory: who is a node, who is an etcd member. And the passing of time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coxswain_wire::HostId;
use tokio::time::Instant;

use super::State;
use super::k3s::Fate;
use super::serving::Shared;
use crate::world::PodOwner;

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
    /// The Secret with the certificate of :6443.
    pub(super) shared: Option<Shared>,
    /// When the servers take over a changed Secret.
    pub(super) followed_at: Option<Instant>,
    /// The password that is kept of each node name.
    pub(super) passwords: BTreeMap<String, String>,
    /// A newer k3s has made their Secrets anew, to change the type.
    pub(super) passwords_migrated: bool,
    /// Names of things that people have made.
    pub(super) objects: BTreeSet<String>,
    /// Pods by number, rising.
    pub(super) pods: BTreeMap<u64, Pod>,
    /// Number of the etcd member that leads.
    pub(super) leader: Option<u64>,
}

/// A Node.
pub(super) struct Node {
    pub(super) host: HostId,
    pub(super) uid: String,
    pub(super) server: bool,
    pub(super) cordoned: bool,
    /// What its kubelet has reported.
    pub(super) version: String,
    /// NotReady.
    pub(super) down: bool,
}

/// A pod. It comes back elsewhere when it has to leave its node, unless nobody owns it.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) node: String,
    pub(super) owner: PodOwner,
    /// A disruption budget lets it go only from then on.
    pub(super) held_until: Option<Instant>,
    /// Volumes that one node may use at a time.
    pub(super) claims: BTreeSet<String>,
    /// It goes at that time, if its node is up.
    pub(super) leaves: Option<Instant>,
    /// It crashes again and again.
    pub(super) crashes: bool,
    /// Another one was made in its place already.
    pub(super) replaced: bool,
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

/// Grace of a pod that is evicted.
pub(super) const POD_LEAVES: Duration = Duration::from_secs(30);

impl Cluster {
    /// Somewhere to run: the first node that takes new pods.
    pub(super) fn open_node(&self) -> Option<String> {
        let mut nodes = self.nodes.iter();
        let open = nodes.find(|(_, node)| !node.cordoned && !node.down);
        open.map(|(name, _)| name.clone())
    }

    /// A pod goes; its controller makes another one.
    pub(super) fn replace(&mut self, number: u64) {
        let Some(gone) = self.pods.remove(&number) else {
            return;
        };
        if gone.replaced {
            return;
        }
        let comes_back = match gone.owner {
            PodOwner::Nobody => None,
            PodOwner::DaemonSet | PodOwner::Node => {
                Some(gone.node.clone()).filter(|node| self.nodes.contains_key(node))
            }
            PodOwner::StatefulSet | PodOwner::Other(_) => self.open_node(),
        };
        if let Some(node) = comes_back {
            let next = self
                .pods
                .keys()
                .next_back()
                .map_or(1, |last| last + 1)
                .max(number + 1);
            self.pods.insert(
                next,
                Pod {
                    node,
                    held_until: None,
                    leaves: None,
                    ..gone
                },
            );
        }
    }

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
    SecretIsFollowed(u64),
    TimerRings(HostId, String),
}

impl State {
    /// Lets everything happen that is due by now, in its order.
    pub(super) fn advance(&mut self, now: Instant) {
        while let Some((at, next)) = self.due(now) {
            match next {
                Next::JobEnds(host, job) => self.end_job(host, job, at),
                Next::K3sIsUp(host) => self.come_up(host),
                Next::SecretIsFollowed(cluster) => self.follow(cluster),
                Next::TimerRings(host, unit) => self.ring(host, &unit, at),
            }
        }
        self.miss_nodes(now);
        self.let_pods_go(now);
        self.let_members_go(now);
    }

    /// Members whose Node was deleted.
    fn let_members_go(&mut self, now: Instant) {
        let mut left = Vec::new();
        for cluster in self.clusters.values_mut() {
            let goes = |m: &Member| m.leaves.is_some_and(|at| at <= now);
            let gone = cluster.members.extract_if(.., |m| goes(m));
            left.extend(gone.map(|m| m.host));
        }
        for host in left {
            self.end_removed(host, now);
        }
    }

    /// Pods whose grace is over go when their node's kubelet says so, and come back on another node.
    fn let_pods_go(&mut self, now: Instant) {
        let up: BTreeSet<HostId> = self
            .hosts
            .keys()
            .copied()
            .filter(|host| self.runs(*host) && !self.hosts[host].cut)
            .collect();
        for cluster in self.clusters.values_mut() {
            let nodes = &cluster.nodes;
            let alive = |name: &str| nodes.get(name).is_some_and(|n| up.contains(&n.host));
            let gone: Vec<u64> = cluster
                .pods
                .iter()
                .filter(|(_, pod)| pod.leaves.is_some_and(|at| at <= now) && alive(&pod.node))
                .map(|(number, _)| *number)
                .collect();
            for number in gone {
                cluster.replace(number);
            }
            let nodes = &cluster.nodes;
            // The garbage collector takes the pods of a Node that is deleted.
            let orphans: Vec<u64> = cluster
                .pods
                .iter()
                .filter(|(_, pod)| !nodes.contains_key(&pod.node))
                .map(|(number, _)| *number)
                .collect();
            for number in orphans {
                cluster.replace(number);
            }
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
        let followed = self
            .clusters
            .iter()
            .filter_map(|(number, c)| Some((c.followed_at?, Next::SecretIsFollowed(*number))));
        let starts = starts.filter(|(_, next)| match next {
            Next::K3sIsUp(host) => self.can_come_up(*host),
            Next::JobEnds(..) | Next::SecretIsFollowed(_) | Next::TimerRings(..) => true,
        });
        let timer = self
            .next_timer()
            .map(|(due, host, unit)| (due, Next::TimerRings(host, unit)));
        jobs.chain(starts)
            .chain(followed)
            .chain(timer)
            .filter(|(at, _)| *at <= now)
            .min_by_key(|(at, _)| *at)
    }

    /// The cluster whose API answers on a host itself.
    pub(super) fn api_on(&self, host: HostId) -> Option<u64> {
        let host = self.hosts.get(&host)?;
        let k3s = host.k3s.as_ref()?;
        match (k3s.agent(), &k3s.fate) {
            (false, Fate::Up { .. }) if !host.cut && self.quorum(k3s.cluster) => Some(k3s.cluster),
            (false, Fate::Up { .. } | Fate::Starts { .. } | Fate::Fails { .. } | Fate::Stopped)
            | (true, _) => None,
        }
    }

    /// More than half of the members run.
    pub(super) fn quorum(&self, number: u64) -> bool {
        let Some(cluster) = self.clusters.get(&number) else {
            return false;
        };
        let up = cluster
            .members
            .iter()
            .filter(|m| self.takes_part(m.host, number))
            .count();
        up > cluster.members.len() / 2
    }

    /// k3s is up on a host, in this cluster and with the others in reach.
    pub(super) fn takes_part(&self, host: HostId, cluster: u64) -> bool {
        let found = self.hosts.get(&host).filter(|host| !host.cut);
        let k3s = found.and_then(|host| host.k3s.as_ref());
        self.runs(host) && k3s.is_some_and(|k3s| k3s.cluster == cluster)
    }

    /// k3s is up on a host.
    pub(super) fn runs(&self, host: HostId) -> bool {
        let k3s = self.hosts.get(&host).and_then(|h| h.k3s.as_ref());
        k3s.is_some_and(|k3s| matches!(k3s.fate, Fate::Up { .. }))
    }
}
