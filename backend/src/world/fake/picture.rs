//! What a world in memory looks like, to be compared: without numbers that differ from run to run, and
//! without what jobs leave to be swept.

use std::collections::BTreeMap;

use super::State;
use super::k3s::Fate;

/// Paths that do not count: job leftovers, and snapshots, which are kept on purpose.
const SWEPT: [&str; 3] = [
    "/run/coxswain/",
    "/var/lib/coxswain/",
    "/var/lib/rancher/k3s/server/db/snapshots/",
];

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldPicture {
    /// By host name.
    pub hosts: BTreeMap<String, HostPicture>,
    /// Clusters that have a node.
    pub clusters: Vec<ClusterPicture>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPicture {
    /// Files with their content.
    pub files: BTreeMap<String, String>,
    /// The unit of k3s, whether it starts at boot, its state and its words.
    pub k3s: Option<(String, bool, String, Vec<String>)>,
    /// Whether HAProxy runs, and with which configuration.
    pub haproxy: Option<(bool, String)>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPicture {
    /// Node names.
    pub nodes: Vec<String>,
    /// Names of the hosts that are etcd members.
    pub members: Vec<String>,
    /// Names of things that people have made.
    pub objects: Vec<String>,
    /// Nodes that take no new pods.
    pub cordoned: Vec<String>,
}

pub(super) fn take(state: &State) -> WorldPicture {
    let hosts = state.hosts.values().map(|host| {
        let files = host
            .files
            .iter()
            .filter(|(path, _)| !SWEPT.iter().any(|swept| path.starts_with(swept)));
        let picture = HostPicture {
            files: files
                .map(|(path, text)| (path.clone(), text.clone()))
                .collect(),
            k3s: host.k3s.as_ref().map(|k3s| {
                // On its way, with nothing to wait for, is as good as there.
                let comes = matches!(k3s.fate, Fate::Starts { .. }) && state.can_come_up(host.id);
                let runs = if comes { "active" } else { k3s.state() };
                (
                    k3s.unit.clone(),
                    k3s.enabled,
                    runs.to_owned(),
                    k3s.words.clone(),
                )
            }),
            haproxy: host
                .haproxy
                .as_ref()
                .map(|haproxy| (haproxy.active, haproxy.loaded.clone())),
        };
        (host.name.clone(), picture)
    });
    let clusters = state
        .clusters
        .values()
        .filter(|c| !c.nodes.is_empty())
        .map(|cluster| {
            let mut members: Vec<String> = cluster
                .members
                .iter()
                .map(|m| state.hosts[&m.host].name.clone())
                .collect();
            members.sort_unstable();
            ClusterPicture {
                nodes: cluster.nodes.keys().cloned().collect(),
                cordoned: cluster
                    .nodes
                    .iter()
                    .filter(|(_, node)| node.cordoned)
                    .map(|(name, _)| name.clone())
                    .collect(),
                members,
                objects: cluster.objects.iter().cloned().collect(),
            }
        });
    WorldPicture {
        hosts: hosts.collect(),
        clusters: clusters.collect(),
    }
}
