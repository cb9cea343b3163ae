//! Workflow `bootstrap`: a highly available cluster on bare hosts.

mod steps;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::install::Source;
use coxswain_k3s::names::San;
use coxswain_k3s::settings::Settings;
use coxswain_wire::{ClusterPhase, Fact, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::facts::{self, Checks};
use super::form::Form;
use super::install_form::{self, args, args_field, sans, sans_field, source};
use super::nodes::{Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};

/// See the module.
pub(super) struct Bootstrap;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    source: Source,
    sans: Vec<San>,
    server_args: Vec<String>,
    agent_args: Vec<String>,
    clean_up: bool,
}

#[async_trait]
impl Workflow for Bootstrap {
    fn name(&self) -> &'static str {
        "bootstrap"
    }

    fn info(&self) -> WorkflowInfo {
        let clean_up = fields::flag(
            "clean_up",
            "Remove an old k3s first",
            "Removes k3s and all its data from every host, behind a gate of its own. This cannot be undone. config.yaml and registries.yaml stay.",
        );
        let of_the_inventory = "Its servers, agents and load balancer, as the inventory has them.";
        let mut form = vec![fields::cluster(of_the_inventory)];
        form.extend(install_form::fields(false));
        form.push(sans_field());
        form.push(args_field(
            "server_args",
            "More arguments for servers",
            "--disable=traefik",
        ));
        form.push(args_field(
            "agent_args",
            "More arguments for agents",
            "--node-label=zone=a",
        ));
        form.push(clean_up);
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Bootstrap a cluster".to_owned(),
            summary: "Installs k3s on bare hosts: highly available servers, HAProxy in front, agents.".to_owned(),
            help: [
                "The first server starts the cluster; its token goes into the vault; HAProxy is configured on the load balancer, if the cluster has one; the other servers join one by one, then the agents. At the end the kubeconfig is fetched into the vault, and everything is looked at once more: nodes, etcd, load balancer, certificate.",
                "Nothing is changed before the gate. There you see what each host is like now and whether the hosts reach each other.",
                "What it risks: a host that you name becomes k3s's own. Its firewall and other services stay as they are, but k3s takes ports, adds rules to iptables, and from then on anyone with the token may join.",
                "Three servers take about five minutes. A host that has data of an older k3s is refused, unless you choose to remove that first.",
                "If a step fails, the run stops there and says what k3s itself said. Correct the cause and retry, or unwind: what was installed is removed again, haproxy.cfg is put back.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: form,
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
    let nodes = Nodes::read(form, "cluster", inventory);
    if let Some(nodes) = &nodes {
        let servers = nodes.servers.len();
        if nodes.cluster.phase == ClusterPhase::Running {
            form.refuse("cluster", format!("k3s runs on {} already. Add hosts with \u{201c}join\u{201d}, or uninstall it first.", nodes.name));
        }
        if servers == 0 {
            form.refuse("cluster", format!("{} has no server.", nodes.name));
        } else if servers.is_multiple_of(2) {
            form.refuse(
                "cluster",
                format!(
                    "{} has {servers} servers. etcd wants an odd number: one, three or five.",
                    nodes.name
                ),
            );
        }
    }
    let source = source(form);
    let sans = sans(form);
    let server_args = args(form, "server_args", false);
    let told = Settings::effective(&server_args, &Config::default(), &EnvFile::default());
    let networks = told.values("cluster-cidr").join(",");
    if networks.contains(':') && networks.contains('.') {
        form.refuse(
            "server_args",
            "Pods with IPv4 and IPv6 need servers with two addresses each, which this form cannot give. Set up such a cluster by hand and import it; hosts can join it here.",
        );
    }
    let agent_args = args(form, "agent_args", true);
    let clean_up = form.flag("clean_up");
    Some(Request {
        nodes: nodes?,
        source: source?,
        sans,
        server_args,
        agent_args,
        clean_up,
    })
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let nodes = &request.nodes;
    let mut draft = Draft::new(
        workflow,
        format!("Bootstrap cluster {}", nodes.name),
        inputs,
        &nodes.cluster,
    );
    for node in nodes.all() {
        draft.lock_host(node.host);
    }
    if nodes.servers.len() == 1 {
        draft.warn("One server is not highly available: its loss is an outage.");
    }
    if nodes.load_balancers.is_empty() {
        draft.warn("There is no load balancer: nodes join through the first server, and clients use it alone.");
    }
    let all = nodes.with_k3s().count();
    if request.clean_up {
        let gate = Gate {
            title: format!("Delete the old k3s and its data on {all} hosts"),
            confirm: Some(nodes.name.to_string()),
            preflight: json(&checks(request, true)),
        };
        draft.stage("Clean-up", Some(gate), steps::clean_up(request));
    }
    draft.undo_outage(format!(
        "k3s is uninstalled again from all hosts that this run installed it on. If {} is in use by then, it is gone with everything in it.",
        nodes.name
    ));
    let gate = Gate {
        title: if all == 1 {
            "Install k3s on one host".to_owned()
        } else {
            format!("Install k3s on {all} hosts")
        },
        confirm: None,
        preflight: json(&checks(request, false)),
    };
    steps::add(&mut draft, request, gate);
    draft.finish()
}

fn checks(request: &Request, cleaning: bool) -> Checks {
    let nodes = &request.nodes;
    Checks {
        servers: nodes.servers.iter().map(super::nodes::Node::api).collect(),
        agents: nodes.agents.iter().map(super::nodes::Node::api).collect(),
        load_balancers: nodes
            .load_balancers
            .iter()
            .map(super::nodes::Node::api)
            .collect(),
        peers: Vec::new(),
        section: nodes.section(&nodes.servers),
        endpoint: nodes.endpoint.clone(),
        source: request.source.clone(),
        server_args: request.server_args.clone(),
        cleaning,
    }
}

/// The cluster's servers, in words.
fn server_names(request: &Request) -> String {
    listed(&request.nodes.servers)
}
