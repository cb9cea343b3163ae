//! Workflow `remove_node`: one server or agent out of a running cluster, whether its host still answers or not.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, Field, HostId, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::record_cluster::{self, Entry};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::stop_k3s::Outage;
use crate::steps::{fetch_kubeconfig, hold_k3s, leave_cluster, remove_k3s};

pub(super) use facts::{Checks, of_checks, unasked};

/// See the module.
pub(super) struct RemoveNode;

/// Answers to the question that decides the order of things.
const REACHABLE: &str = "reachable";
const LOST: &str = "lost";
/// The field for further lost hosts.
pub(super) const ALSO_LOST: &str = "also_lost";

/// A node that leaves: the checked inputs.
pub(super) struct Leaving {
    pub(super) nodes: Nodes,
    pub(super) node: Node,
    target: Target,
    pub(super) lost: bool,
    /// Further lost nodes, which leave with it.
    pub(super) also_lost: Vec<Node>,
}

#[async_trait]
impl Workflow for RemoveNode {
    fn name(&self) -> &'static str {
        "remove_node"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Remove a node".to_owned(),
            summary: "Takes a server or an agent out of a running cluster for good.".to_owned(),
            help: [
                "A snapshot is taken first. The node is drained, taken out of the load balancer, stopped, and deleted; k3s then removes its etcd member. At the end k3s and its data are removed from the host.",
                "With two members left, the member leaves while both servers run: stopping one first would lose the quorum for good. Its k3s is kept from starting again before that: it would join anew. A cluster's only server is not removed: that is an uninstall.",
                "If the machine is lost, nothing is done on it: its Node and etcd member are removed from the others. Should it ever come back, it must be cleaned before it is used again: the inventory marks it so.",
                "If more machines are lost, name all of them: they leave in the same run. More than half of the servers must still be healthy, and every server and agent that you do not name.",
                "What it risks: fewer servers tolerate fewer losses; the plan says how many are left. Pods on the node are evicted and start elsewhere; data that they kept on the node itself (local-path) is deleted with it.",
                "It takes two to five minutes, longer if disruption budgets hold pods back.",
                "If a step fails, correct the cause and retry. Until the member has left, everything can be unwound: the node is uncordoned, started, and put back into the load balancer. After that it comes back only by a join.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: form(),
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let request = leaving(&mut form, inventory);
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

/// What a departure asks: cluster, host, and whether its machine still answers.
pub(super) fn form() -> Vec<Field> {
    let state = fields::choice(
        "state",
        "Its machine",
        "Lost means: it does not come back, or not with its data. Nothing is done on it then.",
        &[(REACHABLE, "Answers over SSH"), (LOST, "Is lost")],
    );
    let host = fields::host("host", "Host", "The server or agent that goes.");
    let also_lost = fields::hosts(
        ALSO_LOST,
        "Other hosts that are lost too",
        "Servers and agents that do not come back either: they leave in the same run, because etcd lets no server join while a member is down. One that will come back is not lost: bring it back first.",
    );
    vec![
        fields::cluster("It must be running."),
        fields::required(host),
        fields::preset(REACHABLE, state),
        fields::only_if("state", LOST, also_lost),
    ]
}

/// Reads [`form`].
pub(super) fn leaving(form: &mut Form, inventory: &Inventory) -> Option<Leaving> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let id = HostId(form.id("host")?);
    let found = nodes
        .with_k3s()
        .find(|n| n.host == id)
        .cloned()
        .and_then(|node| Some((nodes.target(&node)?, node)));
    let Some((target, node)) = found else {
        form.refuse(
            "host",
            format!("Host {id} is no server or agent of {}.", nodes.name),
        );
        return None;
    };
    if target.servers.is_empty() {
        form.refuse(
            "host",
            format!(
                "{} is the only server of {}: without it there is no cluster. Uninstall it instead.",
                node.name, nodes.name
            ),
        );
        return None;
    }
    let mut also_lost = nodes.chosen(form, ALSO_LOST)?;
    also_lost.retain(|other| other.host != node.host);
    let leaving = Leaving {
        lost: form.text("state") == Some(LOST),
        nodes,
        node,
        target,
        also_lost,
    };
    if leaving.staying().is_empty() {
        form.refuse(
            ALSO_LOST,
            format!(
                "No server of {} is left then: restore a snapshot on one that comes back.",
                leaving.nodes.name
            ),
        );
        return None;
    }
    Some(leaving)
}

impl Leaving {
    /// It is control plane and etcd member.
    pub(super) fn server(&self) -> bool {
        match self.target.role {
            NodeRole::Server => true,
            NodeRole::Agent => false,
        }
    }

    /// Everything that leaves, and whether it is a server.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&Node, bool)> {
        let gone = std::iter::once(&self.node).chain(&self.also_lost);
        gone.map(|node| (node, self.nodes.servers.contains(node)))
    }

    /// At least one of them is a server.
    pub(super) fn servers_go(&self) -> bool {
        self.gone().any(|(_, server)| server)
    }

    /// What leaves, in words.
    pub(super) fn names(&self) -> String {
        listed(self.gone().map(|(node, _)| node))
    }

    /// What must be typed: the node's name, or the cluster's where several leave.
    pub(super) fn typed(&self) -> String {
        if self.also_lost.is_empty() {
            self.node.name.to_string()
        } else {
            self.nodes.name.to_string()
        }
    }

    /// Load balancers that send traffic to them.
    fn balancers(&self) -> impl Iterator<Item = &Node> {
        let balancers = self.nodes.load_balancers.iter();
        balancers.filter(|_| self.servers_go())
    }

    /// The cluster as it is afterwards.
    pub(super) fn after(&self) -> Nodes {
        let mut after = self.nodes.clone();
        for (node, _) in self.gone() {
            after = after.without(node.host);
        }
        after
    }

    /// Servers that stay.
    pub(super) fn staying(&self) -> Vec<Node> {
        self.after().servers
    }

    /// The book says what has left, of `node` this.
    pub(super) fn records(&self, entry: Entry) -> Vec<Step> {
        let also = self.also_lost.iter().map(|n| (n, Entry::Lost(n.host)));
        std::iter::once((&self.node, entry))
            .chain(also)
            .map(|(node, entry)| record(&self.nodes, node, entry))
            .collect()
    }
}

fn plan(workflow: &str, inputs: &Inputs, leaving: &Leaving) -> Plan {
    let Leaving { nodes, node, .. } = leaving;
    let names = leaving.names();
    let title = format!("Remove {names} from cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for (node, _) in leaving.gone() {
        draft.lock_host(node.host);
    }
    let servers = leaving.staying();
    warn(&mut draft, leaving, servers.len());
    let gate = Gate {
        title: format!("Remove {names} from {}", nodes.name),
        confirm: Some(leaving.typed()),
        preflight: json(&Checks::new(leaving)),
    };
    depart(&mut draft, leaving, gate, Vec::new());
    see(&mut draft, leaving, &servers);
    let entry = if leaving.lost {
        Entry::Lost(node.host)
    } else {
        Entry::Left(node.host)
    };
    draft.stage("Record", None, leaving.records(entry));
    draft.finish()
}

/// The stages of a departure, a snapshot first, behind `gate`. Of a machine that answers, `keep` stays on it.
pub(super) fn depart(draft: &mut Draft, leaving: &Leaving, gate: Gate, keep: Vec<String>) {
    let Leaving {
        nodes,
        node,
        target,
        lost,
        also_lost: _,
    } = leaving;
    let servers = leaving.staying();
    let Some(via) = servers.first() else {
        return;
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(via)]);
    if !lost {
        draft.stage("Drain", None, vec![step_list::drain(nodes, node, via)]);
    }
    if leaving.servers_go() {
        draft.stage(
            "Load balancer",
            None,
            leaving
                .balancers()
                .map(|lb| step_list::follow_haproxy(nodes, lb, &servers))
                .collect(),
        );
    }
    // With two members, stopping one before its member has left loses the quorum for good.
    let stop_first = !lost && (!leaving.server() || servers.len() > 1);
    if stop_first {
        let stop = step_list::stop(target, Outage::Refused, step_list::forecast(nodes, target));
        draft.stage("Stop", None, vec![stop]);
    }
    let leaves_alive = !lost && !stop_first;
    let held = draft.next();
    if leaves_alive {
        draft.stage("Hold", None, vec![hold(node, via)]);
    }
    let departures = leaving.gone().map(|(node, server)| {
        let mut planned = leave(node, via, server);
        if leaves_alive {
            planned.restores = vec![held];
        }
        planned
    });
    draft.stage("Departure", None, departures.collect());
    if !lost {
        let left = leaves_alive.then(|| leave_cluster::Params {
            node: node.api(),
            via: via.api(),
        });
        let params = remove_k3s::Params {
            keep,
            left,
            others: Vec::new(),
            lost: false,
        };
        draft.stage("Removal", None, vec![step_list::remove(node, &params)]);
    }
    if leaves_alive {
        // A kubelet that was still running may have registered its Node once more.
        let again = leave(node, via, leaving.server());
        draft.stage("Departure seen", None, vec![again]);
    }
}

fn warn(draft: &mut Draft, leaving: &Leaving, staying: usize) {
    if leaving.lost {
        let gone: Vec<&Node> = leaving.gone().map(|(node, _)| node).collect();
        draft.warn(unclean(&gone));
    }
    if leaving.servers_go() {
        draft.warn(servers_left(staying));
    }
}

/// What so many servers are good for, in words.
pub(super) fn servers_left(servers: usize) -> String {
    match servers {
        1 => "One server stays: its loss is an outage.".to_owned(),
        even if even.is_multiple_of(2) => format!(
            "{even} servers stay, and tolerate no more losses than {}: go on to an odd number soon.",
            even - 1
        ),
        odd => format!("{odd} servers stay."),
    }
}

/// What becomes of lost machines, in words.
pub(super) fn unclean(lost: &[&Node]) -> String {
    let names = listed(lost.iter().copied());
    match lost {
        [_] => format!(
            "{names} must be cleaned before it is used again: with its old data it would come up as what it was."
        ),
        _ => format!(
            "{names} must be cleaned before they are used again: with their old data they would come up as what they were."
        ),
    }
}

/// k3s ends when its member is removed. It must not start again, and join anew, before it is removed itself.
fn hold(node: &Node, via: &Node) -> Step {
    let params = hold_k3s::Params {
        node: node.api(),
        via: via.api(),
    };
    let title = format!("Keep k3s on {} from starting again", node.name);
    let mut planned = step(hold_k3s::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.commands = vec![
        format!("Restart=no in {}", hold_k3s::DROP_IN),
        "systemctl daemon-reload".to_owned(),
        "systemctl disable k3s.service".to_owned(),
    ];
    planned.compensation =
        Some("let k3s start again as before, unless its member has left".to_owned());
    planned
}

/// Node and member leave. The member does not come back.
pub(super) fn leave(node: &Node, via: &Node, server: bool) -> Step {
    let params = leave_cluster::Params {
        node: node.api(),
        via: via.api(),
    };
    let title = if server {
        format!("Delete node {} and see its etcd member gone", node.name)
    } else {
        format!("Delete node {}", node.name)
    };
    let mut planned = step(leave_cluster::KIND, title, node.name.as_str(), &params);
    planned.irreversible = true;
    planned.commands = vec![format!("kubectl delete node {}", node.name)];
    planned
}

/// What stays is looked at.
fn see(draft: &mut Draft, leaving: &Leaving, servers: &[Node]) {
    let nodes = &leaving.after();
    let Some(via) = servers.first() else { return };
    let kubeconfig = Param::Output(OutputRef {
        from_step: draft.next(),
        output: fetch_kubeconfig::KUBECONFIG.to_owned(),
    });
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, via)],
    );
    let verify = step_list::verify(
        nodes,
        servers,
        &nodes.agents,
        &nodes.needed(&[]),
        kubeconfig,
    );
    draft.stage("Verification", None, vec![verify]);
}

/// The book says that it has left.
pub(super) fn record(nodes: &Nodes, node: &Node, entry: Entry) -> Step {
    let title = match entry {
        Entry::Lost(_) => format!(
            "Record that {} left {}, and must be cleaned before it is used again",
            node.name, nodes.name
        ),
        Entry::Left(_) | Entry::Running | Entry::Planned | Entry::Joined(_) | Entry::Cleaned(_) => {
            format!("Record that {} left {}", node.name, nodes.name)
        }
    };
    let params = record_cluster::Params {
        cluster: nodes.cluster.id,
        entry,
    };
    let mut planned = step(record_cluster::KIND, title, &nodes.cluster.name, &params);
    planned.irreversible = true;
    planned
}
