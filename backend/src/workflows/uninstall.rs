//! Workflow `uninstall`: k3s off all hosts of a cluster, or off some of its agents.

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_k3s::haproxy::{CONFIG_FILE, section_in};
use coxswain_k3s::names::ClusterName;
use coxswain_k3s::preflight::Leftover;
use coxswain_wire::{Fact, FactKind, HostId, Inputs, StageIndex, Verdict, WorkflowInfo};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json, step};
use super::facts::{at_once, checks_of, connection, fail, jobs, pass, warn};
use super::form::Form;
use super::nodes::{Node, Nodes, listed, node};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::ApiHost;
use crate::steps::inspect::{inspect, paths, remains};
use crate::steps::leave_cluster;
use crate::steps::record_cluster::{self, Entry};
use crate::steps::remove_k3s;

/// See the module.
pub(super) struct Uninstall;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    /// In the order of the inventory.
    targets: Vec<Node>,
    /// Those of them that were lost from the cluster before, and must be cleaned.
    lost: Vec<HostId>,
    /// Nothing of the cluster stays.
    whole: bool,
}

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    targets: Vec<ApiHost>,
    whole: bool,
    /// Those that lose the cluster's section.
    load_balancers: Vec<ApiHost>,
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
            "Agents, and hosts that were lost from the cluster and must be cleaned. None chosen: all hosts of the cluster, which is its end.",
        );
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Uninstall k3s".to_owned(),
            summary: "Removes k3s and all its data from the hosts of a cluster.".to_owned(),
            help: [
                "Each host gets k3s's own uninstall script, then what it leaves behind is removed, and looked for once more. The panel forgets token and kubeconfig.",
                "With the whole cluster its section is taken out of haproxy.cfg on the load balancers. Everything else in the file stays as it is, byte for byte; HAProxy checks the file first, is reloaded, and runs on if it ran.",
                "Everything that runs on these hosts ends, and its data with it. This cannot be undone: save a snapshot, and the token that belongs to it, if you may want the cluster back.",
                "It takes about a minute. If a step fails, correct the cause and retry: what is removed already is found removed.",
                "A host that was removed from the cluster as lost, and has come back, is cleaned this way: choose it alone. It is then no longer marked.",
                "Single servers of a living cluster are not taken out this way: an etcd member has to leave first.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![fields::cluster(""), hosts],
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
        match checks_of::<Checks>(plan, stage) {
            Ok(checks) => facts(context, &plan.cluster_name, &checks).await,
            Err(facts) => facts,
        }
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read(form, "cluster", inventory)?;
    let chosen: Vec<HostId> = form.ids("hosts").into_iter().map(HostId).collect();
    let lost: Vec<HostId> = inventory
        .hosts
        .iter()
        .filter(|h| h.unclean.is_some_and(|mark| mark.from == nodes.cluster.id))
        .map(|h| h.id)
        .filter(|host| chosen.contains(host) && !nodes.all().any(|n| n.host == *host))
        .collect();
    let strangers: Vec<HostId> = chosen
        .iter()
        .copied()
        .filter(|host| !lost.contains(host) && !nodes.with_k3s().any(|n| n.host == *host))
        .collect();
    if !strangers.is_empty() {
        for host in strangers {
            form.refuse(
                "hosts",
                format!("Host {host} is no server or agent of {}.", nodes.name),
            );
        }
        return None;
    }
    let mut targets: Vec<Node> = nodes
        .with_k3s()
        .filter(|n| chosen.is_empty() || chosen.contains(&n.host))
        .cloned()
        .collect();
    let whole = targets.len() == nodes.with_k3s().count();
    for host in &lost {
        targets.push(node(form, "hosts", inventory, *host)?);
    }
    if targets.is_empty() {
        form.refuse("cluster", format!("{} has no host with k3s.", nodes.name));
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
        lost,
        whole,
    })
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request {
        nodes,
        targets,
        lost,
        whole,
    } = request;
    let title = if *whole {
        format!("Uninstall cluster {}", nodes.name)
    } else {
        format!("Uninstall {} of cluster {}", listed(targets), nodes.name)
    };
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for node in targets {
        draft.lock_host(node.host);
    }
    if *whole {
        draft.outage(format!(
            "the cluster {} and everything that runs on it ends.",
            nodes.name
        ));
        for lb in &nodes.load_balancers {
            draft.lock_host(lb.host);
        }
    } else {
        draft.warn(format!(
            "Pods on {} end, and move to other nodes where they can.",
            listed(targets)
        ));
    }
    let gate = Gate {
        title: format!("Delete k3s and its data on {}", listed(targets)),
        confirm: Some(nodes.name.to_string()),
        preflight: json(&Checks {
            targets: targets.iter().map(Node::api).collect(),
            whole: *whole,
            load_balancers: if *whole {
                nodes.load_balancers.iter().map(Node::api).collect()
            } else {
                Vec::new()
            },
        }),
    };
    let params = remove_k3s::Params { keep: Vec::new() };
    draft.stage(
        "Removal",
        Some(gate),
        targets
            .iter()
            .map(|node| step_list::remove(node, &params))
            .collect(),
    );
    let record = |title: String, entry: Entry| -> Step {
        let mut recorded = step(
            record_cluster::KIND,
            title,
            &nodes.cluster.name,
            &record_cluster::Params {
                cluster: nodes.cluster.id,
                entry,
            },
        );
        recorded.irreversible = true;
        recorded
    };
    if *whole {
        let balancers = nodes.load_balancers.iter();
        draft.stage(
            "Load balancer",
            None,
            balancers
                .map(|lb| step_list::remove_haproxy(nodes, lb))
                .collect(),
        );
        let title = format!(
            "Record {} as planned, forget its token and kubeconfig",
            nodes.name
        );
        let mut records = vec![record(title, Entry::Planned)];
        let cleaned = targets.iter().filter(|node| lost.contains(&node.host));
        records.extend(cleaned.map(|node| record(clean(node), Entry::Cleaned(node.host))));
        draft.stage("Record", None, records);
    } else if let Some(via) = nodes.servers.first() {
        draft.stage(
            "Nodes",
            None,
            targets.iter().map(|node| leave(node, via)).collect(),
        );
        let left = targets.iter().map(|node| {
            if lost.contains(&node.host) {
                record(clean(node), Entry::Cleaned(node.host))
            } else {
                let title = format!("Record that {} has left", node.name);
                record(title, Entry::Left(node.host))
            }
        });
        draft.stage("Record", None, left.collect());
    }
    draft.finish()
}

fn clean(node: &Node) -> String {
    format!("Record that {} may be used again", node.name)
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

async fn facts(context: &PreflightContext, cluster: &str, checks: &Checks) -> Vec<Fact> {
    let of_hosts: Vec<Vec<Fact>> = at_once(
        checks
            .targets
            .iter()
            .map(|node| of_host(context, node))
            .collect(),
    )
    .await;
    let mut facts: Vec<Fact> = of_hosts.into_iter().flatten().collect();
    for lb in &checks.load_balancers {
        facts.push(of_balancer(context, cluster, lb).await);
    }
    if checks.whole {
        facts.push(warn(
            cluster,
            "Outage",
            "intended: nothing of the cluster stays",
            "Save a snapshot and its token first if you may want it back.",
        ));
    }
    facts
}

/// Whether the cluster's section can be taken out.
async fn of_balancer(context: &PreflightContext, cluster: &str, lb: &ApiHost) -> Fact {
    let world = &*context.services.world;
    let file = match world.read_file(lb.host, CONFIG_FILE, 1024 * 1024).await {
        Ok(file) => file.unwrap_or_default(),
        Err(error) => return connection(&lb.name, &error),
    };
    let looked = match (std::str::from_utf8(&file), cluster.parse::<ClusterName>()) {
        (Ok(text), Ok(cluster)) => section_in(text, &cluster).map_err(|e| e.to_string()),
        (Err(_), _) => Err("is not UTF-8 text".to_owned()),
        (_, Err(e)) => Err(e.to_string()),
    };
    match looked {
        Ok(Some(_)) => pass(
            &lb.name,
            "haproxy.cfg",
            format!("the section of {cluster} is taken out"),
        ),
        Ok(None) => pass(
            &lb.name,
            "haproxy.cfg",
            format!("has no section of {cluster}"),
        ),
        Err(why) => fail(
            &lb.name,
            "haproxy.cfg",
            why,
            "Correct the file on the load balancer.",
        ),
    }
}

async fn of_host(context: &PreflightContext, node: &ApiHost) -> Vec<Fact> {
    let name = node.name.as_str();
    let found = match inspect(&*context.services.world, node.host).await {
        Ok(found) => found,
        Err(error) => return vec![connection(name, &error)],
    };
    let left: Vec<&Leftover> = remains(&found.leftovers, &[]);
    let mut facts = vec![pass(name, "Connection", "signed in over SSH, root by sudo")];
    let unit = [&found.k3s_unit, &found.agent_unit]
        .into_iter()
        .find(|unit| unit.is_alive());
    facts.push(match unit {
        Some(unit) => pass(name, "k3s", format!("{} is {}", unit.unit, unit.state)),
        None => pass(name, "k3s", "does not run"),
    });
    facts.push(Fact {
        subject: name.to_owned(),
        name: "Is deleted".to_owned(),
        value: if left.is_empty() {
            "nothing is there".to_owned()
        } else {
            paths(&left)
        },
        diff: None,
        kind: FactKind::Shown,
        verdict: Verdict::Pass,
        advice: None,
    });
    facts.extend(jobs(&*context.services.world, node, context.run).await);
    facts
}
