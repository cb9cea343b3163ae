//! All hosts together: one cluster, the same nodes, members, versions and flags, and nobody unknown.

use std::collections::BTreeSet;

use coxswain_k3s::critical::differences;
use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::preflight::DatastoreKind;
use coxswain_wire::{Fact, Verdict};

use super::host::Read;
use super::{Expected, NodeRole, World, fact, fail, pass, warn};
use crate::steps::etcd::EtcdLook;
use crate::steps::kube::{ApiHost, of_server};
use crate::world::{Kube, KubeNode};

/// Where Rancher keeps its credentials for a cluster that it manages.
const RANCHER_NAMESPACE: &str = "cattle-system";
const RANCHER_SECRET: &str = "cattle-credentials-";

pub(super) async fn facts(
    world: &dyn World,
    cluster: &str,
    expected: &Expected,
    hosts: &[Read<'_>],
) -> Vec<Fact> {
    let mut facts = same_ca(hosts);
    let sqlite = |h: &&Read<'_>| h.datastore == DatastoreKind::Sqlite;
    let on_sqlite = hosts.iter().filter(sqlite).count();
    if on_sqlite == 0 {
        facts.extend(members(world, cluster, expected).await);
    } else if expected.servers.len() > 1 {
        let advice =
            "Two servers with SQLite are two clusters: make a cluster of the inventory for each.";
        facts.push(fail(
            cluster,
            "Members",
            "a server has SQLite, which cannot be shared",
            advice,
        ));
    }
    facts.extend(flags(hosts));
    match ask(world, expected).await {
        Err(why) => facts.push(fail(
            cluster,
            "API",
            why,
            "Without its API a cluster cannot be taken over. Bring it up first.",
        )),
        Ok((nodes, rancher)) => {
            facts.extend(of_nodes(cluster, expected, &nodes));
            if rancher || hosts.iter().any(|h| h.rancher) {
                let advice = "Do not upgrade it or change its settings here: Rancher puts its own back. Looking, logs and kubeconfig do no harm.";
                facts.push(warn(cluster, "Rancher", "manages this cluster", advice));
            }
        }
    }
    facts
}

/// Every host trusts the CA of the first server.
fn same_ca(hosts: &[Read<'_>]) -> Vec<Fact> {
    const NAME: &str = "Cluster";
    let trimmed = |ca: &[u8]| String::from_utf8_lossy(ca).trim().to_owned();
    let of = |h: &Read<'_>| h.ca.as_deref().map(trimmed);
    let Some((first, ca)) = hosts.iter().find_map(|h| Some((h.node, of(h)?))) else {
        return Vec::new();
    };
    let same = format!("its CA is that of {}", first.name);
    let advice = "It belongs to another cluster: take it out of this one in the inventory.";
    hosts
        .iter()
        .filter(|h| h.node.host != first.host)
        .filter_map(|h| Some((h, of(h)?)))
        .map(|(h, own)| {
            if own == ca {
                pass(&h.node.name, NAME, same.as_str())
            } else {
                fail(
                    &h.node.name,
                    NAME,
                    format!("its CA is not that of {}", first.name),
                    advice,
                )
            }
        })
        .collect()
}

/// etcd's members are the servers.
async fn members(world: &dyn World, cluster: &str, expected: &Expected) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut listed: Option<BTreeSet<String>> = None;
    for server in &expected.servers {
        let name = server.name.as_str();
        let look = match EtcdLook::take(world, server.host).await {
            Ok(Ok(look)) => look,
            Ok(Err(why)) => {
                let advice = "A cluster with a member down can be taken over; bring it back before anything else.";
                facts.push(warn(name, "etcd", why, advice));
                continue;
            }
            Err(failure) => {
                let why = failure.into_error().message;
                facts.push(fail(
                    name,
                    "etcd",
                    why,
                    "Check the connection to this server.",
                ));
                continue;
            }
        };
        facts.push(if look.healthy && look.votes(server) {
            pass(name, "etcd", "a healthy member that votes")
        } else {
            let advice = "A cluster with a member in trouble can be taken over; heal it before anything else.";
            warn(name, "etcd", "no healthy member that votes", advice)
        });
        let names = look.names(expected.servers.iter()).into_iter();
        listed.get_or_insert_with(|| names.map(str::to_owned).collect());
    }
    let Some(listed) = listed else {
        let advice = "Quorum may be lost: bring the cluster up first.";
        facts.push(fail(
            cluster,
            "Members",
            "no server gives a member list",
            advice,
        ));
        return facts;
    };
    let servers: BTreeSet<String> = expected.servers.iter().map(|s| s.name.clone()).collect();
    let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    facts.push(if listed == servers {
        pass(cluster, "Members", words(&listed))
    } else {
        fail(
            cluster,
            "Members",
            format!(
                "etcd has {}; the inventory has the servers {}",
                words(&listed),
                words(&servers)
            ),
            "Enroll the missing servers and add them to the cluster in the inventory; take out those that are no members; rename hosts that are called otherwise in the cluster.",
        )
    });
    facts
}

/// Critical flags of every server against the first one's.
fn flags(hosts: &[Read<'_>]) -> Vec<Fact> {
    const NAME: &str = "Critical flags";
    let mut servers = hosts
        .iter()
        .filter(|h| h.role == NodeRole::Server)
        .filter_map(|h| Some((h.node, h.told.as_ref()?)));
    let Some((first, there)) = servers.next() else {
        return Vec::new();
    };
    servers
        .map(|(node, own)| {
            let found = differences(own, there);
            if found.is_empty() {
                return pass(&node.name, NAME, format!("equal to those of {}", first.name));
            }
            let words: Vec<String> = found.iter().map(ToString::to_string).collect();
            let advice = format!("\u{201c}Here\u{201d} is this server, \u{201c}there\u{201d} {}. At its next start k3s may refuse to join: make them equal.", first.name);
            warn(&node.name, NAME, words.join("; "), advice)
        })
        .collect()
}

/// The nodes, and whether Rancher's credentials are there, from the first server whose API answers.
async fn ask(world: &dyn World, expected: &Expected) -> Result<(Vec<KubeNode>, bool), String> {
    let mut whys = Vec::new();
    for server in &expected.servers {
        match of_server(world, server).await {
            Ok(Some(kube)) => match both(&*kube).await {
                Ok(answer) => return Ok(answer),
                Err(e) => whys.push(e.to_string()),
            },
            Ok(None) => whys.push(format!("{} has no kubeconfig", server.name)),
            Err(failure) => whys.push(failure.into_error().message),
        }
    }
    Err(whys.join("; "))
}

async fn both(kube: &dyn Kube) -> crate::world::Result<(Vec<KubeNode>, bool)> {
    let secrets = kube.secret_names(RANCHER_NAMESPACE).await?;
    let rancher = secrets.iter().any(|name| name.starts_with(RANCHER_SECRET));
    Ok((kube.nodes().await?, rancher))
}

fn of_nodes(cluster: &str, expected: &Expected, nodes: &[KubeNode]) -> Vec<Fact> {
    let mut facts: Vec<Fact> = expected
        .with_k3s()
        .map(|(host, role)| of_host(host, role, nodes))
        .collect();
    let known = |node: &KubeNode| {
        expected
            .with_k3s()
            .any(|(host, _)| host.name == node.name || host.address == node.address)
    };
    let strangers: Vec<String> = nodes
        .iter()
        .filter(|node| !known(node))
        .map(|node| {
            let role = if is_server(node) { "server" } else { "agent" };
            format!("{} ({}, {role})", node.name, node.address)
        })
        .collect();
    facts.push(if strangers.is_empty() {
        pass(cluster, "Nodes", "every node of the cluster is in the inventory")
    } else {
        fail(
            cluster,
            "Nodes",
            format!("missing in the inventory: {}", strangers.join("; ")),
            "Enroll each as a host, add it to the cluster in its role, then collect the evidence again. A node that no longer exists: kubectl delete node.",
        )
    });
    facts.push(versions(cluster, nodes));
    facts
}

fn is_server(node: &KubeNode) -> bool {
    node.roles
        .iter()
        .any(|role| role == "control-plane" || role == "master")
}

fn of_host(host: &ApiHost, role: NodeRole, nodes: &[KubeNode]) -> Fact {
    const NAME: &str = "Node";
    let by_address = nodes.iter().find(|n| n.address == host.address);
    let Some(node) = nodes.iter().find(|n| n.name == host.name) else {
        return match by_address {
            Some(other) => fail(
                &host.name,
                NAME,
                format!("the node at {} is called {}", host.address, other.name),
                format!("Rename the host to {} in the inventory.", other.name),
            ),
            None => fail(
                &host.name,
                NAME,
                format!(
                    "the cluster has no node of this name, nor at {}",
                    host.address
                ),
                "Correct name and node address of the host in the inventory, or take it out of the cluster.",
            ),
        };
    };
    if node.address != host.address {
        return fail(
            &host.name,
            NAME,
            format!(
                "its node address is {} in the cluster, {} in the inventory",
                node.address, host.address
            ),
            format!(
                "Set the host's node address to {} in the inventory.",
                node.address
            ),
        );
    }
    if is_server(node) != (role == NodeRole::Server) {
        let is = if is_server(node) {
            "a server"
        } else {
            "an agent"
        };
        let advice = format!("Edit the cluster and make this host {is}.");
        return fail(&host.name, NAME, format!("the cluster says {is}"), advice);
    }
    let state = match (node.ready, node.cordoned) {
        (true, false) => "Ready",
        (true, true) => "Ready, cordoned",
        (false, false) => "not Ready",
        (false, true) => "not Ready, cordoned",
    };
    let value = format!(
        "{state}, {}, {}, {}",
        node.address,
        node.version,
        roles(node)
    );
    if node.ready {
        pass(&host.name, NAME, value)
    } else {
        let advice = "The cluster can be taken over; bring this node back soon.";
        warn(&host.name, NAME, value, advice)
    }
}

fn roles(node: &KubeNode) -> String {
    if node.roles.is_empty() {
        "no role".to_owned()
    } else {
        node.roles.join(" ")
    }
}

fn versions(cluster: &str, nodes: &[KubeNode]) -> Fact {
    const NAME: &str = "Version";
    let all: BTreeSet<&str> = nodes.iter().map(|n| n.version.as_str()).collect();
    let listed = all.iter().copied().collect::<Vec<_>>().join(", ");
    let old = all.iter().any(|version| {
        version
            .parse::<K3sVersion>()
            .is_ok_and(|v| !v.is_supported())
    });
    let odd = all
        .iter()
        .any(|version| version.parse::<K3sVersion>().is_err());
    if old || odd {
        let advice =
            "Supported are releases of k3s from v1.21 on. Upgrade it with its own means first.";
        return fail(cluster, NAME, listed, advice);
    }
    if all.len() > 1 {
        let advice = "An upgrade may be half done: finish it before anything else.";
        return warn(cluster, NAME, listed, advice);
    }
    fact(cluster, NAME, listed, Verdict::Pass)
}
