//! Hosts of the inventory as nodes of a cluster.

use std::collections::BTreeSet;
use std::net::IpAddr;

use coxswain_k3s::haproxy::{Backend, Section};
use coxswain_k3s::names::{Address, ClusterName, K3sVersion, NodeName, San, ServerUrl};
use coxswain_wire::{Cluster, ClusterId, ClusterPhase, Enrolment, Host, HostId, MemberRole};

use super::Inventory;
use super::facts::living::{Living, Strangers};
use super::form::Form;
use crate::steps::ApiHost;
use crate::steps::restart::{NodeRole, Target};

/// A checked host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) host: HostId,
    pub(super) name: NodeName,
    pub(super) address: IpAddr,
}

impl Node {
    pub(super) fn api(&self) -> ApiHost {
        ApiHost {
            host: self.host,
            name: self.name.to_string(),
            address: self.address.to_string(),
        }
    }

    pub(super) fn url(&self) -> ServerUrl {
        ServerUrl::new(address(self.address), ServerUrl::DEFAULT_PORT)
    }
}

/// A cluster with its checked hosts.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    pub(super) cluster: Cluster,
    pub(super) name: ClusterName,
    pub(super) endpoint: Address,
    pub(super) servers: Vec<Node>,
    pub(super) agents: Vec<Node>,
    pub(super) load_balancers: Vec<Node>,
}

impl Nodes {
    /// The cluster of an input, with its hosts. What cannot be used is noted against that input.
    pub(super) fn read(form: &mut Form, field: &str, inventory: &Inventory) -> Option<Self> {
        let id = ClusterId(form.id(field)?);
        let Some(cluster) = inventory.clusters.iter().find(|c| c.id == id) else {
            form.refuse(field, format!("There is no cluster {id}."));
            return None;
        };
        let name = noted(form, field, cluster.name.parse::<ClusterName>());
        let endpoint = noted(form, field, cluster.endpoint.parse::<Address>());
        let mut found = Self {
            cluster: cluster.clone(),
            name: name?,
            endpoint: endpoint?,
            servers: Vec::new(),
            agents: Vec::new(),
            load_balancers: Vec::new(),
        };
        let mut whole = true;
        for member in &cluster.members {
            let Some(node) = node(form, field, inventory, member.host) else {
                whole = false;
                continue;
            };
            match member.role {
                MemberRole::Server => found.servers.push(node),
                MemberRole::Agent => found.agents.push(node),
                MemberRole::LoadBalancer => found.load_balancers.push(node),
            }
        }
        whole &= found.distinct(form, field);
        whole.then_some(found)
    }

    /// The same, of a cluster that runs: anything else is noted against the input.
    pub(super) fn read_running(
        form: &mut Form,
        field: &str,
        inventory: &Inventory,
    ) -> Option<Self> {
        let nodes = Self::read(form, field, inventory)?;
        match nodes.cluster.phase {
            ClusterPhase::Running if !nodes.servers.is_empty() => Some(nodes),
            ClusterPhase::Running => {
                form.refuse(field, format!("{} has no server.", nodes.name));
                None
            }
            ClusterPhase::Planned => {
                form.refuse(
                    field,
                    format!("{} does not run yet: bootstrap it first.", nodes.name),
                );
                None
            }
        }
    }

    /// The version that the servers run, as last seen; else why it is not known, as a field's error.
    pub(super) fn version(&self) -> Result<K3sVersion, String> {
        let unseen = || {
            format!(
                "The panel does not see which version the servers of {} run now: give it here.",
                self.name
            )
        };
        let live = self.cluster.live.as_ref();
        let seen = live.and_then(|l| l.nodes.as_ref()).ok_or_else(unseen)?;
        let versions: BTreeSet<&str> = seen
            .iter()
            .filter(|n| self.servers.iter().any(|s| s.name.as_str() == n.name))
            .map(|n| n.version.as_str())
            .collect();
        let versions: Vec<&str> = versions.into_iter().collect();
        match versions.as_slice() {
            [] => Err(unseen()),
            [version] => version.parse().map_err(|e| format!("{e}.")),
            several => Err(format!(
                "The servers of {} run different versions ({}): say here which one joins.",
                self.name,
                several.join(", ")
            )),
        }
    }

    /// The same, of one whose servers can be restarted one by one: with fewer than three, etcd stops with
    /// each of them.
    pub(super) fn read_restartable(
        form: &mut Form,
        field: &str,
        inventory: &Inventory,
    ) -> Option<Self> {
        let nodes = Self::read_running(form, field, inventory)?;
        if nodes.servers.len() >= 3 {
            return Some(nodes);
        }
        form.refuse(
            field,
            format!(
                "{} has {} of the three servers needed: none can be restarted without an outage. Join more first.",
                nodes.name,
                nodes.servers.len()
            ),
        );
        None
    }

    /// The same without a host.
    pub(super) fn without(&self, host: HostId) -> Self {
        let mut rest = self.clone();
        rest.cluster.members.retain(|m| m.host != host);
        for nodes in [
            &mut rest.servers,
            &mut rest.agents,
            &mut rest.load_balancers,
        ] {
            nodes.retain(|n| n.host != host);
        }
        rest
    }

    /// Hosts of a field, each once; noted against it if one is no server or agent.
    pub(super) fn chosen(&self, form: &mut Form, field: &str) -> Option<Vec<Node>> {
        let mut chosen: Vec<Node> = Vec::new();
        let mut known = true;
        for id in form.ids(field) {
            match self.with_k3s().find(|n| n.host == HostId(id)) {
                Some(node) if chosen.contains(node) => {}
                Some(node) => chosen.push(node.clone()),
                None => {
                    form.refuse(
                        field,
                        format!("Host {id} is no server or agent of {}.", self.name),
                    );
                    known = false;
                }
            }
        }
        known.then_some(chosen)
    }

    /// The cluster as evidence looks at it.
    pub(super) fn living(&self) -> Living {
        Living {
            servers: self.servers.iter().map(Node::api).collect(),
            agents: self.agents.iter().map(Node::api).collect(),
            leaving: None,
            begun: None,
            also_lost: Vec::new(),
            strangers: Strangers::default(),
            needed: Vec::new(),
            other_version: false,
        }
    }

    /// One of the cluster's servers or agents as something to restart. A load balancer is none.
    pub(super) fn target(&self, node: &Node) -> Option<Target> {
        let others = |role: NodeRole| Target {
            node: node.api(),
            role,
            servers: self
                .servers
                .iter()
                .filter(|s| s.host != node.host)
                .map(Node::api)
                .collect(),
        };
        if self.servers.contains(node) {
            Some(others(NodeRole::Server))
        } else if self.agents.contains(node) {
            Some(others(NodeRole::Agent))
        } else {
            None
        }
    }

    /// Node names and addresses tell nodes apart.
    fn distinct(&self, form: &mut Form, field: &str) -> bool {
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        let mut fine = true;
        for node in self.all() {
            if !names.insert(&node.name) {
                form.refuse(
                    field,
                    format!("Two hosts have the node name {}.", node.name),
                );
                fine = false;
            }
            if !addresses.insert(node.address) {
                form.refuse(
                    field,
                    format!("Two hosts have the node address {}.", node.address),
                );
                fine = false;
            }
        }
        fine
    }

    /// All hosts, servers first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Node> {
        self.servers
            .iter()
            .chain(&self.agents)
            .chain(&self.load_balancers)
    }

    /// Hosts that run k3s, servers first.
    pub(super) fn with_k3s(&self) -> impl Iterator<Item = &Node> {
        self.servers.iter().chain(&self.agents)
    }

    /// Names that the certificate of a cluster that runs must have for its clients. What a load balancer shows has to
    /// be good for the endpoint, and need not be for its own address.
    pub(super) fn needed(&self, more: &[San]) -> Vec<San> {
        let mut sans = vec![self.endpoint.to_san()];
        for san in more {
            if !sans.contains(san) {
                sans.push(san.clone());
            }
        }
        sans
    }

    /// Names that a server is told for the API's certificate, besides those k3s knows by itself.
    pub(super) fn sans(&self, more: &[San]) -> Vec<San> {
        let own = std::iter::once(self.endpoint.to_san()).chain(
            self.load_balancers
                .iter()
                .map(|lb| address(lb.address).to_san()),
        );
        let mut sans: Vec<San> = Vec::new();
        for san in own.chain(more.iter().cloned()) {
            if !sans.contains(&san) {
                sans.push(san);
            }
        }
        sans
    }

    /// Where joiners find the API: the load balancer, else this server.
    pub(super) fn join_url(&self, first: &Node) -> ServerUrl {
        self.load_balancers.first().unwrap_or(first).url()
    }

    /// The load balancers' section for these servers.
    pub(super) fn section(&self, servers: &[Node]) -> Section {
        let backend = |node: &Node| Backend {
            name: node.name.clone(),
            address: address(node.address),
        };
        Section {
            cluster: self.name.clone(),
            port: ServerUrl::DEFAULT_PORT,
            servers: servers.iter().map(backend).collect(),
        }
    }
}

/// A host of the inventory that may be worked on.
pub(super) fn node(
    form: &mut Form,
    field: &str,
    inventory: &Inventory,
    id: HostId,
) -> Option<Node> {
    let Some(host) = inventory.hosts.iter().find(|h| h.id == id) else {
        form.refuse(field, format!("There is no host {id}."));
        return None;
    };
    if host.enrolment == Enrolment::Unconfirmed {
        form.refuse(
            field,
            format!("The host keys of {} are not confirmed yet.", host.name),
        );
        return None;
    }
    checked(form, field, host)
}

fn checked(form: &mut Form, field: &str, host: &Host) -> Option<Node> {
    let name = noted(form, field, host.name.parse::<NodeName>());
    let address = host.node_address.parse::<IpAddr>().map_err(|_| {
        format!(
            "The node address of {}, {:?}, is no IP address",
            host.name, host.node_address
        )
    });
    let address = noted(form, field, address);
    Some(Node {
        host: host.id,
        name: name?,
        address: address?,
    })
}

fn noted<T, E: std::fmt::Display>(form: &mut Form, field: &str, result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(why) => {
            form.refuse(field, format!("{why}."));
            None
        }
    }
}

fn address(ip: IpAddr) -> Address {
    ip.to_string()
        .parse()
        .expect("an IP address that is a node's is an address")
}

/// `a, b and c`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a Node>) -> String {
    let names: Vec<&str> = names.into_iter().map(|n| n.name.as_str()).collect();
    names.join(", ")
}
