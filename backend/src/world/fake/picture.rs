//! What a world in memory looks like, to be compared: without numbers that differ from run to run, and
//! without what jobs leave to be swept.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_k3s::serving::CACHE_FILE;

use super::State;
use super::k3s::Fate;
use super::serving::Serving;

/// Paths that do not count: job leftovers, snapshots, which are kept on purpose, and the copy of the
/// certificate of :6443, whose serial number differs.
const SWEPT: [&str; 4] = [
    "/run/coxswain/",
    "/var/lib/coxswain/",
    "/var/lib/rancher/k3s/server/db/snapshots/",
    CACHE_FILE,
];

/// Old certificates that k3s has put aside: each rotation leaves some.
const BACKUPS: &str = "/tls-";

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
    /// Its power is off.
    pub off: bool,
    /// Its network is cut.
    pub cut: bool,
    /// Timers that would end a fault.
    pub timers: Vec<String>,
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
    /// What each node's kubelet has reported.
    pub versions: BTreeMap<String, String>,
    /// Nodes that take no new pods.
    pub cordoned: Vec<String>,
    /// Names of the certificate of :6443 by host, without those of hosts, which come and stay with them.
    pub served: BTreeMap<String, BTreeSet<String>>,
    /// All servers that run serve the same certificate, and the Secret holds it.
    pub agreed: bool,
}

pub(super) fn take(state: &State) -> WorldPicture {
    let hosts = state.hosts.values().map(|host| {
        let files = host.files.iter().filter(|(path, _)| {
            !SWEPT.iter().any(|swept| path.starts_with(swept)) && !path.contains(BACKUPS)
        });
        let picture = HostPicture {
            files: files
                .map(|(path, text)| (path.clone(), without_numbers(path, text)))
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
            off: host.off,
            cut: host.cut,
            timers: host.timers.keys().cloned().collect(),
        };
        (host.name.clone(), picture)
    });
    let clusters = state
        .clusters
        .iter()
        .filter(|(_, c)| !c.nodes.is_empty())
        .map(|(number, cluster)| {
            let mut members: Vec<String> = cluster
                .members
                .iter()
                .map(|m| state.hosts[&m.host].name.clone())
                .collect();
            members.sort_unstable();
            let servings: Vec<(&str, &Serving)> = state
                .hosts
                .values()
                .filter_map(|host| {
                    let k3s = host.k3s.as_ref().filter(|k3s| {
                        k3s.cluster == *number && matches!(k3s.fate, Fate::Up { .. })
                    })?;
                    Some((host.name.as_str(), k3s.serving.as_ref()?))
                })
                .collect();
            let shared = cluster.shared.as_ref().map(|s| &s.serving);
            ClusterPicture {
                served: servings
                    .iter()
                    .map(|(name, serving)| ((*name).to_owned(), strange(state, serving)))
                    .collect(),
                agreed: servings.iter().all(|(_, serving)| Some(*serving) == shared),
                versions: cluster
                    .nodes
                    .iter()
                    .map(|(name, node)| (name.clone(), node.version.clone()))
                    .collect(),
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

/// Names in a certificate that are none of a host's.
fn strange(state: &State, serving: &Serving) -> BTreeSet<String> {
    let of_a_host = |name: &&String| {
        state.hosts.values().any(|host| {
            let mut more = host.more_addresses.iter();
            host.name == **name
                || host.address == **name
                || more.any(|address| address.to_string() == **name)
        })
    };
    let names = serving.names.iter();
    names.filter(|name| !of_a_host(name)).cloned().collect()
}

/// A file without what is another with each certificate.
fn without_numbers(path: &str, text: &str) -> String {
    if path.ends_with(".crt") {
        return "a certificate".to_owned();
    }
    text.lines()
        .filter(|line| !line.contains("client-certificate-data"))
        .map(|line| format!("{line}\n"))
        .collect()
}
