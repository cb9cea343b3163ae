//! Workflow `uninstall`: k3s off all hosts of a cluster, those that are lost for good left out, or off some of its
//! agents.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{ClusterPhase, Fact, HostId, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes, listed, node};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use super::{remove_node, step_list};
use crate::steps::leave_cluster;
use crate::steps::record_cluster::{self, Entry};
use crate::steps::remove_k3s;

/// See the module.
pub(super) struct Uninstall;

/// The field for hosts that nothing is done on.
const LOST: &str = "lost";

/// A host that was lost before.
struct Marked {
    host: HostId,
    /// From this cluster; else from one that is not in the inventory any more.
    from_here: bool,
}

/// The checked inputs.
struct Request {
    nodes: Nodes,
    /// In the order of the inventory.
    targets: Vec<Node>,
    /// Those of them that were lost before, and must be cleaned.
    marked: Vec<Marked>,
    /// Hosts of the cluster that are lost now: nothing is done on them.
    lost: Vec<Node>,
    /// Nothing of the cluster stays, but what is on lost hosts.
    whole: bool,
}

impl Request {
    /// Load balancers that lose the cluster's section.
    fn balancers(&self) -> impl Iterator<Item = &Node> {
        let all = self.nodes.load_balancers.iter();
        all.filter(|lb| self.whole && !self.lost.contains(lb))
    }

    /// Servers of a cluster that goes on without the targets: none of these may be one of its etcd members.
    fn going_on(&self) -> &[Node] {
        match self.nodes.cluster.phase {
            ClusterPhase::Running if !self.whole => &self.nodes.servers,
            ClusterPhase::Running | ClusterPhase::Planned => &[],
        }
    }

    /// It was lost before, and must be cleaned.
    fn was_lost(&self, node: &Node) -> bool {
        self.marked.iter().any(|m| m.host == node.host)
    }

    /// The removal from a target.
    fn removal(&self, node: &Node) -> Step {
        let left = self.going_on().first().map(|via| leave_cluster::Params {
            node: node.api(),
            via: via.api(),
        });
        let params = remove_k3s::Params {
            keep: Vec::new(),
            others: self.going_on().iter().skip(1).map(Node::api).collect(),
            lost: left.is_some() && self.was_lost(node),
            left,
        };
        step_list::remove(node, &params)
    }

    /// Lost hosts with k3s on their disks.
    fn lost_with_k3s(&self) -> Vec<&Node> {
        let lost = self.lost.iter();
        lost.filter(|n| !self.nodes.load_balancers.contains(n))
            .collect()
    }

    /// Lost hosts whose haproxy.cfg keeps the cluster's section.
    fn lost_balancers(&self) -> Vec<&Node> {
        let lost = self.lost.iter();
        lost.filter(|n| self.nodes.load_balancers.contains(n))
            .collect()
    }
}

#[async_trait]
impl Workflow for Uninstall {
    fn name(&self) -> &'static str {
        "uninstall"
    }

    fn info(&self) -> WorkflowInfo {
        let hosts = fields::hosts(
            "hosts",
            "Only these hosts",
            "Agents, and hosts that were lost from the cluster (or from one that was deleted since) and must be cleaned. None chosen: all hosts of the cluster, which is its end.",
        );
        let lost = fields::hosts(
            LOST,
            "Hosts that are lost for good",
            "Only where the whole cluster ends: servers, agents and load balancers that do not answer and will not come back. Nothing is done on them.",
        );
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Uninstall k3s".to_owned(),
            summary: "Removes k3s and all its data from the hosts of a cluster.".to_owned(),
            help: [
                "Each host gets k3s's own uninstall script, then what it leaves behind is removed, and looked for once more. The panel forgets token and kubeconfig.",
                "With the whole cluster its section is taken out of haproxy.cfg on the load balancers. Everything else in the file stays as it is, byte for byte; HAProxy checks the file first, is reloaded, and runs on if it ran.",
                "What it risks: everything that runs on these hosts ends, and its data with it. This cannot be undone: save a snapshot, and the token that belongs to it, if you may want the cluster back.",
                "A machine of the cluster that is dead does not keep the rest: name it among the lost hosts. It must not answer over SSH. Nothing is done on it, so k3s, its data and the cluster's keys stay on its disk; the inventory marks it, and it must be cleaned before it is used again. If it comes back, its k3s starts by itself.",
                "It takes about a minute. If a step fails, correct the cause and retry: what is removed already is found removed.",
                "A host that was removed from the cluster as lost, and has come back, is cleaned this way: choose it alone. It is then no longer marked.",
                "Single servers of a living cluster are not taken out this way: an etcd member has to leave first. The servers are asked who is one, whatever the inventory says.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![fields::cluster(""), hosts, lost],
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let request = request(&mut form, inventory);
        form.or_errors(request)
            .map(|request| plan(self.name(), inputs, &request))
    }

    async fn preflight(
        &self,
        context: &PreflightContext,
        plan: &Plan,
        stage: StageIndex,
        _state: &RunState,
    ) -> Vec<Fact> {
        facts::collect(context, plan, stage).await
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read(form, "cluster", inventory)?;
    let chosen: Vec<HostId> = form.ids("hosts").into_iter().map(HostId).collect();
    let marked = marked(&nodes, &chosen, inventory);
    let strangers: Vec<HostId> = chosen
        .iter()
        .copied()
        .filter(|host| {
            !marked.iter().any(|m| m.host == *host) && !nodes.with_k3s().any(|n| n.host == *host)
        })
        .collect();
    for host in &strangers {
        form.refuse(
            "hosts",
            format!("Host {host} is no server or agent of {}.", nodes.name),
        );
    }
    let lost = lost(form, &nodes)?;
    if !strangers.is_empty() {
        return None;
    }
    let mut targets: Vec<Node> = nodes
        .with_k3s()
        .filter(|n| chosen.is_empty() || chosen.contains(&n.host))
        .filter(|n| !lost.contains(n))
        .cloned()
        .collect();
    let whole = nodes
        .with_k3s()
        .all(|n| targets.contains(n) || lost.contains(n));
    for Marked { host, .. } in &marked {
        targets.push(node(form, "hosts", inventory, *host)?);
    }
    if targets.is_empty() && lost.is_empty() {
        form.refuse("cluster", format!("{} has no host with k3s.", nodes.name));
        return None;
    }
    if !whole && !lost.is_empty() {
        form.refuse(
            LOST,
            format!(
                "Hosts are left out as lost only where all of {} ends. To take {} out of a cluster that goes on, use \u{201c}Remove a node\u{201d}.",
                nodes.name,
                listed(&lost)
            ),
        );
        return None;
    }
    let servers: Vec<&Node> = targets
        .iter()
        .filter(|t| nodes.servers.contains(t))
        .collect();
    if !whole && !servers.is_empty() {
        form.refuse(
            "hosts",
            format!(
                "{} would be taken out of the living cluster {}: its etcd member has to leave before k3s stops, or the others may lose quorum for good. Removing a server is a workflow of its own; here choose agents only, or no host for the whole cluster.",
                listed(servers),
                nodes.name
            ),
        );
        return None;
    }
    Some(Request {
        nodes,
        targets,
        marked,
        lost,
        whole,
    })
}

/// The chosen hosts that no cluster has, because this one lost them, or one that was deleted since.
fn marked(nodes: &Nodes, chosen: &[HostId], inventory: &Inventory) -> Vec<Marked> {
    let here = nodes.cluster.id;
    let hosts = inventory.hosts.iter();
    let chosen = hosts.filter(|h| chosen.contains(&h.id) && !nodes.all().any(|n| n.host == h.id));
    let marked = chosen.filter_map(|host| {
        let from = host.unclean?.from;
        let exists = inventory.clusters.iter().any(|c| c.id == from);
        (from == here || !exists && host.cluster.is_none()).then_some(Marked {
            host: host.id,
            from_here: from == here,
        })
    });
    marked.collect()
}

/// The hosts that are said to be lost, each once; noted if one is none of the cluster's.
fn lost(form: &mut Form, nodes: &Nodes) -> Option<Vec<Node>> {
    let mut lost: Vec<Node> = Vec::new();
    let mut known = true;
    for id in form.ids(LOST) {
        match nodes.all().find(|n| n.host == HostId(id)) {
            Some(node) if lost.contains(node) => {}
            Some(node) => lost.push(node.clone()),
            None => {
                form.refuse(LOST, format!("Host {id} is no host of {}.", nodes.name));
                known = false;
            }
        }
    }
    known.then_some(lost)
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request {
        nodes,
        targets,
        marked,
        lost,
        whole,
    } = request;
    let title = if *whole {
        format!("Uninstall cluster {}", nodes.name)
    } else {
        format!("Uninstall {} of cluster {}", listed(targets), nodes.name)
    };
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for node in targets.iter().chain(lost).chain(request.balancers()) {
        draft.lock_host(node.host);
    }
    warnings(&mut draft, request);
    let title = if targets.is_empty() {
        format!(
            "Give up {}: all its servers and agents are lost",
            nodes.name
        )
    } else {
        format!("Delete k3s and its data on {}", listed(targets))
    };
    let mut gate = Some(Gate {
        title,
        confirm: Some(nodes.name.to_string()),
        preflight: json(&facts::Checks::of(request)),
    });
    // The gate is before the first stage, whichever that is.
    let mut stage = |title: &str, steps: Vec<Step>| {
        let gate = gate.take_if(|_| !steps.is_empty());
        draft.stage(title, gate, steps);
    };
    let removals = targets.iter().map(|node| request.removal(node));
    stage("Removal", removals.collect());
    let cleaned = |node: &Node| request.was_lost(node);
    if *whole {
        let balancers = request.balancers();
        let sections = balancers.map(|lb| step_list::remove_haproxy(nodes, lb));
        stage("Load balancer", sections.collect());
        let title = format!(
            "Record {} as planned, forget its token and kubeconfig",
            nodes.name
        );
        let mut records = vec![record(nodes, title, Entry::Planned)];
        let cleaned = targets.iter().filter(|node| cleaned(node));
        records.extend(cleaned.map(|node| clean(nodes, node)));
        records.extend(lost.iter().map(|node| {
            let entry = if nodes.load_balancers.contains(node) {
                Entry::Left(node.host)
            } else {
                Entry::Lost(node.host)
            };
            remove_node::record(nodes, node, entry)
        }));
        stage("Record", records);
    } else if let Some(via) = nodes.servers.first() {
        let goes_on = !request.going_on().is_empty();
        // Nobody else could know a host that was lost before.
        let stranger = |node: &Node| {
            let mut marked = marked.iter().filter(|m| m.host == node.host);
            marked.any(|m| !m.from_here || !goes_on)
        };
        let known = targets.iter().filter(|node| !stranger(node));
        stage("Nodes", known.map(|node| leave(node, via)).collect());
        let left = targets.iter().map(|node| {
            if cleaned(node) {
                clean(nodes, node)
            } else {
                let title = format!("Record that {} has left", node.name);
                record(nodes, title, Entry::Left(node.host))
            }
        });
        stage("Record", left.collect());
    }
    draft.finish()
}

fn warnings(draft: &mut Draft, request: &Request) {
    let Request { nodes, targets, .. } = request;
    if !request.whole {
        draft.warn(format!(
            "Pods on {} end, and move to other nodes where they can.",
            listed(targets)
        ));
        return;
    }
    draft.outage(format!(
        "the cluster {} and everything that runs on it ends.",
        nodes.name
    ));
    let gone = request.lost_with_k3s();
    if !gone.is_empty() {
        draft.warn(format!(
            "Nothing is done on {}: k3s, its data, and the keys and the token of {} stay there. {}",
            listed(gone.iter().copied()),
            nodes.name,
            remove_node::unclean(&gone)
        ));
    }
    let servers = gone.iter().filter(|n| nodes.servers.contains(n)).count();
    if servers * 2 > nodes.servers.len() {
        draft.warn(format!(
            "The lost hosts are more than half of the servers of {}: if they come back together, the cluster runs again on them. Keep them off the network until they are cleaned.",
            nodes.name
        ));
    }
    let balancers = request.lost_balancers();
    if !balancers.is_empty() {
        draft.warn(format!(
            "The section of {} stays in haproxy.cfg on {}: delete it there if the machine comes back.",
            nodes.name,
            listed(balancers)
        ));
    }
}

fn record(nodes: &Nodes, title: String, entry: Entry) -> Step {
    let params = record_cluster::Params {
        cluster: nodes.cluster.id,
        entry,
    };
    let mut recorded = step(record_cluster::KIND, title, &nodes.cluster.name, &params);
    recorded.irreversible = true;
    recorded
}

fn clean(nodes: &Nodes, node: &Node) -> Step {
    let title = format!("Record that {} may be used again", node.name);
    record(nodes, title, Entry::Cleaned(node.host))
}

fn leave(node: &Node, via: &Node) -> Step {
    let params = leave_cluster::Params {
        node: node.api(),
        via: via.api(),
    };
    let mut planned = step(
        leave_cluster::KIND,
        format!("Delete the node {}", node.name),
        node.name.as_str(),
        &params,
    );
    planned.host = Some(via.host);
    planned.irreversible = true;
    planned.commands = vec![format!("kubectl delete node {}", node.name)];
    planned
}
