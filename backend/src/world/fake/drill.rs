//! Faults in memory: a cut network, a switched power, a timer that ends a fault by itself; and what a cluster makes of a
//! node that is gone (facts A, a node dies).

use std::time::Duration;

use coxswain_wire::HostId;
use tokio::time::Instant;

use super::State;
use super::cluster::{Cluster, Pod};
use super::k3s::Fate;
use crate::world::PodOwner;

/// From the last sign of a node until it reads NotReady.
const GRACE: Duration = Duration::from_secs(40);
/// From then until its pods are evicted: the taint and the toleration.
const TOLERATED: Duration = Duration::from_secs(305);
/// A killed k3s is started again after so long.
const RESTART: Duration = Duration::from_secs(5);
/// From its start until it is up.
const START: Duration = Duration::from_secs(15);

/// Since when a node gives no sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    /// Since then.
    Since(Instant),
    /// For so long that all its consequences are there.
    ForLong,
}

impl Silent {
    fn for_at_least(self, time: Duration, now: Instant) -> bool {
        match self {
            Silent::Since(since) => now.saturating_duration_since(since) >= time,
            Silent::ForLong => true,
        }
    }
}

/// A timer that ends a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    due: Instant,
    ends: Ends,
}

/// What it ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// k3s is started.
    Stop,
    /// The network is mended.
    Cut,
}

impl State {
    /// Nothing comes from a host or gets there, but SSH.
    pub(super) fn cut(&mut self, id: HostId, from: Vec<String>) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.cut = true;
        host.cut_from = from;
        // Without its peers it has no quorum: it ends, and systemd starts it again and again.
        host.lose_quorum();
    }

    pub(super) fn mend(&mut self, id: HostId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.cut = false;
        }
    }

    /// SIGKILL for k3s; systemd starts it again.
    pub(super) fn kill(&mut self, id: HostId) {
        let invocation = self.unique();
        let k3s = self.hosts.get_mut(&id).and_then(|h| h.k3s.as_mut());
        if let Some(k3s) = k3s.filter(|k3s| matches!(k3s.fate, Fate::Up { .. })) {
            k3s.invocation = invocation;
            k3s.fate = Fate::Starts {
                up_at: Instant::now() + RESTART + START,
            };
        }
    }

    /// `systemctl start`.
    pub(super) fn start_stopped(&mut self, id: HostId, at: Instant) {
        let invocation = self.unique();
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let has_data = host.has_database();
        let Some(k3s) = host.k3s.as_mut() else { return };
        if let Fate::Stopped = k3s.fate {
            k3s.invocation = invocation;
            self.start(id, at, has_data);
        }
    }

    /// Switches a host's power. What was only in memory is gone.
    pub(super) fn power(&mut self, id: HostId, on: bool) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if host.off != on {
            return;
        }
        host.off = !on;
        host.reachable = on;
        if !on {
            host.stop_k3s();
            return;
        }
        host.reboot();
        host.cut = false;
        host.timers.clear();
        if host.k3s.as_ref().is_some_and(|k3s| k3s.enabled) {
            self.start_stopped(id, Instant::now());
        }
    }

    /// Arms a timer; `script` is what it will run.
    pub(super) fn arm(&mut self, id: HostId, unit: &str, seconds: u64, script: &str) {
        let ends = if script.contains("systemctl start") {
            Ends::Stop
        } else {
            Ends::Cut
        };
        let due = Instant::now() + Duration::from_secs(seconds);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.timers.insert(unit.to_owned(), Timer { due, ends });
            for file in ["sh", "heal", "due"] {
                let path = format!("/run/coxswain/{unit}.{file}");
                host.files.insert(path, String::new());
            }
        }
    }

    pub(super) fn disarm(&mut self, id: HostId, unit: &str) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.timers.remove(unit);
            for file in ["sh", "heal", "due"] {
                host.files.remove(&format!("/run/coxswain/{unit}.{file}"));
            }
        }
    }

    /// What the host says of a timer.
    pub(super) fn timer(&self, id: HostId, unit: &str) -> String {
        let host = &self.hosts[&id];
        let files = host.files.contains_key(&format!("/run/coxswain/{unit}.sh"));
        let files = if files { "yes" } else { "no" };
        match host.timers.get(unit) {
            None => format!("timer=inactive\nservice=inactive\nfiles={files}\n"),
            Some(timer) => {
                let left = timer.due.saturating_duration_since(Instant::now());
                format!(
                    "timer=active\nservice=inactive\nleft={}\nfiles={files}\n",
                    left.as_secs()
                )
            }
        }
    }

    /// The timer that goes off next.
    pub(super) fn next_timer(&self) -> Option<(Instant, HostId, String)> {
        self.hosts
            .values()
            .filter(|host| !host.off)
            .flat_map(|host| {
                host.timers
                    .iter()
                    .map(|(unit, timer)| (timer.due, host.id, unit.clone()))
            })
            .min_by_key(|(due, _, _)| *due)
    }

    /// A timer goes off.
    pub(super) fn ring(&mut self, id: HostId, unit: &str, at: Instant) {
        let timer = self.hosts.get_mut(&id).and_then(|h| h.timers.remove(unit));
        match timer.map(|timer| timer.ends) {
            Some(Ends::Stop) => self.start_stopped(id, at),
            Some(Ends::Cut) => self.mend(id),
            None => {}
        }
    }

    /// What nodes that give no sign bring about.
    pub(super) fn miss_nodes(&mut self, now: Instant) {
        let alive: Vec<(HostId, bool)> = self
            .hosts
            .keys()
            .map(|id| (*id, self.runs(*id) && !self.hosts[id].cut))
            .collect();
        for (id, alive) in alive {
            if let Some(host) = self.hosts.get_mut(&id) {
                if alive {
                    host.silent = None;
                } else {
                    host.silent.get_or_insert(Silent::Since(now));
                }
            }
        }
        let numbers: Vec<u64> = self.clusters.keys().copied().collect();
        for number in numbers {
            let judged = self.quorum(number);
            let Some(cluster) = self.clusters.get_mut(&number) else {
                continue;
            };
            // Without an API nobody judges.
            if !judged {
                continue;
            }
            let mut evicted = Vec::new();
            for (name, node) in &mut cluster.nodes {
                let silent = self.hosts.get(&node.host).and_then(|h| h.silent);
                let missed = |time| silent.is_some_and(|s| s.for_at_least(time, now));
                node.down = missed(GRACE);
                if missed(GRACE + TOLERATED) {
                    evicted.push(name.clone());
                }
            }
            for node in evicted {
                evict(cluster, &node, now);
            }
            let led = |host: &HostId| self.hosts.get(host).is_some_and(|h| h.silent.is_none());
            let leads = cluster
                .members
                .iter()
                .any(|m| Some(m.id) == cluster.leader && led(&m.host));
            if !leads {
                cluster.leader = cluster.members.iter().find(|m| led(&m.host)).map(|m| m.id);
            }
        }
    }
}

/// Pods of a dead node are deleted; they stay Terminating, and most are made anew elsewhere.
fn evict(cluster: &mut Cluster, node: &str, now: Instant) {
    let there: Vec<u64> = cluster
        .pods
        .iter()
        .filter(|(_, pod)| pod.node == node && pod.leaves.is_none())
        .map(|(number, _)| *number)
        .collect();
    for number in there {
        let elsewhere = cluster.open_node();
        let next = cluster.pods.keys().next_back().map_or(1, |last| last + 1);
        let Some(pod) = cluster.pods.get_mut(&number) else {
            continue;
        };
        let again = match pod.owner {
            // They tolerate it for ever.
            PodOwner::DaemonSet | PodOwner::Node => continue,
            // Only when the old one is surely gone.
            PodOwner::StatefulSet | PodOwner::Nobody => false,
            PodOwner::Other(_) => true,
        };
        pod.leaves = Some(now);
        pod.replaced = again;
        let copy = Pod {
            leaves: None,
            replaced: false,
            ..pod.clone()
        };
        if let (true, Some(node)) = (again, elsewhere) {
            cluster.pods.insert(next, Pod { node, ..copy });
        }
    }
}
