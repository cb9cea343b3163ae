//! Workflow `import`: a cluster that somebody else made becomes one of the inventory. On its hosts nothing
//! is changed, unless a token is to be moved out of a world-readable unit file.

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{ClusterPhase, Fact, Inputs, StageIndex, WorkflowInfo};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json, step};
use super::facts::{at_once, checks_of, jobs};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::compare_inventory;
use crate::steps::record_cluster::{self, Entry};
use crate::steps::restart::NodeRole;
use crate::steps::survey::{Expected, survey};

use super::step_list;

/// See the module.
pub(super) struct Import;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    move_token: bool,
}

/// What a gate looks at; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    expected: Expected,
}

#[async_trait]
impl Workflow for Import {
    fn name(&self) -> &'static str {
        "import"
    }

    fn info(&self) -> WorkflowInfo {
        let cluster = fields::cluster(
            "A planned cluster of the inventory, with the hosts and roles that the living one has.",
        );
        let move_token = fields::flag(
            "move_token",
            "Move a token out of the unit file",
            "Where a token stands on k3s's command line, everybody with a login on the host can read it. It goes into the environment file of mode 0600, behind a gate of its own. k3s is not restarted: its list of processes shows the token until it is.",
        );
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Import a cluster".to_owned(),
            summary: "Takes a cluster that runs already into the inventory. Nothing is changed on its hosts.".to_owned(),
            help: [
                "First enroll every host of the cluster and make a cluster of the inventory with their roles. Then this reads what is really there: unit files, configuration, nodes, etcd members, versions, the certificate and who asks for each name in it.",
                "The gate shows all of it. What does not agree with the inventory stands in the way and says what to do; what is only odd (a token that everybody can read, flags that differ between servers, SQLite, Rancher) is shown and does not.",
                "After the approval the server token and the admin kubeconfig are put into the vault, the kubeconfig pointed at the endpoint and proven by a call, everything is compared once more, and the cluster counts as running. It takes about a minute.",
                "It risks nothing that runs: the hosts are only read, unless you ask for the move of a token, which restarts nothing. From then on the panel's operators may act on the cluster.",
                "If a step fails, correct the cause and retry, or unwind: the panel forgets token and kubeconfig, and the cluster is planned again. A cluster with an external datastore is refused.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![cluster, move_token],
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
            Ok(checks) => facts(context, &plan.cluster_name, &checks.expected).await,
            Err(facts) => facts,
        }
    }
}

async fn facts(context: &PreflightContext, cluster: &str, expected: &Expected) -> Vec<Fact> {
    let world = &*context.services.world;
    let mut facts = survey(world, cluster, expected).await;
    let hosts = expected.servers.iter().chain(&expected.agents);
    let ours = hosts.map(|node| jobs(world, node, context.run)).collect();
    facts.extend(at_once(ours).await.into_iter().flatten());
    facts
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read(form, "cluster", inventory)?;
    let move_token = form.flag("move_token");
    if nodes.cluster.phase == ClusterPhase::Running {
        form.refuse("cluster", format!("{} is in the panel already. Its tokens are moved by \u{201c}Move tokens out of unit files\u{201d}.", nodes.name));
    }
    if nodes.servers.is_empty() {
        form.refuse("cluster", format!("{} has no server.", nodes.name));
        return None;
    }
    Some(Request { nodes, move_token })
}

fn expected(nodes: &Nodes) -> Expected {
    Expected {
        servers: nodes.servers.iter().map(Node::api).collect(),
        agents: nodes.agents.iter().map(Node::api).collect(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        endpoint: nodes.endpoint.clone(),
        section: nodes.section(&nodes.servers),
    }
}

fn plan(workflow: &str, inputs: &Inputs, Request { nodes, move_token }: &Request) -> Plan {
    let title = format!("Import cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for node in nodes.all() {
        draft.lock_host(node.host);
    }
    let servers = nodes.servers.len();
    if servers == 1 {
        draft.warn("One server is not highly available: its loss is an outage.");
    } else if servers.is_multiple_of(2) {
        draft.warn(format!(
            "{servers} servers tolerate no more losses than {}.",
            servers - 1
        ));
    }
    let Some(first) = nodes.servers.first() else {
        return draft.finish();
    };
    let gate = |title: String| Gate {
        title,
        confirm: None,
        preflight: json(&Checks {
            expected: expected(nodes),
        }),
    };
    let take = gate(format!("Take {} into the inventory as it is", nodes.name));
    draft.stage(
        "Token",
        Some(take),
        vec![step_list::read_token(nodes, first)],
    );
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, first)],
    );
    draft.stage("Comparison", None, vec![compare(nodes)]);
    draft.stage("Record", None, vec![record(nodes)]);
    if *move_token {
        let title = format!(
            "Move tokens out of the unit files of {}",
            listed(nodes.with_k3s())
        );
        let servers = nodes
            .servers
            .iter()
            .map(|n| step_list::moved_token(n, NodeRole::Server));
        let agents = nodes
            .agents
            .iter()
            .map(|n| step_list::moved_token(n, NodeRole::Agent));
        draft.stage("Tokens", Some(gate(title)), servers.chain(agents).collect());
    }
    draft.finish()
}

fn compare(nodes: &Nodes) -> Step {
    let params = compare_inventory::Params {
        expected: expected(nodes),
    };
    let title = format!("Compare {} with the inventory", nodes.name);
    let mut planned = step(compare_inventory::KIND, title, &nodes.cluster.name, &params);
    planned.commands = vec![
        "systemctl cat k3s k3s-agent; cat /etc/rancher/k3s/config.yaml and its drop-ins".to_owned(),
        "kubectl get nodes; etcd: POST /v3/cluster/member/list, GET /health".to_owned(),
        "TLS handshake with each server on :6443".to_owned(),
    ];
    planned
}

fn record(nodes: &Nodes) -> Step {
    let params = record_cluster::Params {
        cluster: nodes.cluster.id,
        entry: Entry::Running,
    };
    let title = format!("Record {} as running", nodes.name);
    let mut recorded = step(record_cluster::KIND, title, &nodes.cluster.name, &params);
    recorded.undo = Some("record it as planned again".to_owned());
    recorded
}
