//! Workflow `join`: one more server or agent for a running cluster.

mod facts;

use std::net::IpAddr;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::install::{InstallRequest, Role, Source};
use coxswain_k3s::names::San;
use coxswain_wire::{Fact, Field, HostId, Inputs, Member, MemberRole, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::facts::Checks;
use super::form::Form;
use super::install_form::{self, args, args_field, sans, sans_field, source_like};
use super::nodes::{Node, Nodes, node};
use super::step_list::{self, Install};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::record_cluster::{self, Entry};
use crate::steps::{fetch_kubeconfig, read_token};

pub(super) use facts::{JoinChecks, of_checks};

/// See the module.
pub(super) struct Join;

/// A host that joins: the checked inputs.
pub(super) struct Joining {
    nodes: Nodes,
    pub(super) node: Node,
    /// Its address of the other family, in a dual-stack cluster.
    second_ip: Option<IpAddr>,
    server: bool,
    pub(super) source: Source,
    sans: Vec<San>,
    args: Vec<String>,
}

#[async_trait]
impl Workflow for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn info(&self) -> WorkflowInfo {
        let role = fields::choice(
            "role",
            "As",
            "A server is control plane and etcd member; an agent is a worker.",
            &[("server", "Server"), ("agent", "Agent")],
        );
        let mut form = vec![
            fields::cluster("It must be running."),
            fields::required(fields::host("host", "Host", "The machine that joins.")),
            fields::preset("server", role),
        ];
        form.extend(install_form::fields(true));
        form.push(sans_field());
        form.push(second_ip_field());
        form.push(args_field("args", "More arguments", "--disable=traefik"));
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Join a host".to_owned(),
            summary: "Adds a server or an agent to a running cluster.".to_owned(),
            help: [
                "A snapshot is taken first. Then k3s is installed on the host with the cluster's token, joins through the load balancer or the first server, and is watched until it is healthy. A new server is added to the load balancer.",
                "A server must have the same version and the same critical flags as the others; the gate compares them, and looks for an old registration of the same node name.",
                "What it risks: a server that joins takes part in every vote of etcd. A slow disk or a bad line between the servers slows every write of the cluster.",
                "It takes one to three minutes, longer where the download of k3s is slow.",
                "Two servers tolerate no loss, like one, and four no more than three: go on to the next odd number soon.",
                "If a step fails, correct the cause and retry, or unwind: the node is taken out of the cluster again and k3s off the host.",
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
        state: &RunState,
    ) -> Vec<Fact> {
        facts::collect(context, plan, stage, state).await
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Joining> {
    let nodes = Nodes::read_running(form, "cluster", inventory);
    let server = form.text("role") == Some("server");
    joining(form, nodes, "host", server, inventory)
}

/// The form's question for the other address of a node in a dual-stack cluster.
pub(super) fn second_ip_field() -> Field {
    fields::text(
        "second_ip",
        "Second address",
        "Only where pods have IPv4 and IPv6: the host's address of the other family, as other nodes reach it.",
        "fd00::14",
    )
}

/// Reads which host joins from `field`, and what is installed there. The cluster is as it will be then.
pub(super) fn joining(
    form: &mut Form,
    nodes: Option<Nodes>,
    field: &str,
    server: bool,
    inventory: &Inventory,
) -> Option<Joining> {
    let host = form.id(field).map(HostId);
    let joining = host.and_then(|host| node(form, field, inventory, host));
    let source = source_like(form, nodes.as_ref());
    let sans = sans(form);
    let args = args(form, "args", !server);
    let second_ip = form.parsed::<IpAddr>("second_ip");
    let (nodes, joining) = (nodes?, joining?);
    let role = if server {
        MemberRole::Server
    } else {
        MemberRole::Agent
    };
    if nodes
        .cluster
        .members
        .iter()
        .any(|m| m.host == joining.host && m.role != role)
    {
        form.refuse(
            "role",
            format!(
                "{} has another role in {} already.",
                joining.name, nodes.name
            ),
        );
    }
    let elsewhere = inventory
        .clusters
        .iter()
        .find(|c| c.id != nodes.cluster.id && c.members.iter().any(|m| m.host == joining.host));
    if let Some(other) = elsewhere {
        form.refuse(
            field,
            format!("{} belongs to cluster {}.", joining.name, other.name),
        );
    }
    if nodes
        .all()
        .any(|n| n.host != joining.host && (n.name == joining.name || n.address == joining.address))
    {
        form.refuse(
            field,
            format!(
                "A host of {} has the same name or node address.",
                nodes.name
            ),
        );
    }
    if second_ip.is_some_and(|ip| ip.is_ipv6() == joining.address.is_ipv6()) {
        form.refuse(
            "second_ip",
            format!(
                "{} has an address of this family already: {}.",
                joining.name, joining.address
            ),
        );
    }
    if !nodes.servers.iter().any(|s| s.host != joining.host) {
        form.refuse(
            "cluster",
            format!("{} has no other server to join.", nodes.name),
        );
    }
    Some(Joining {
        nodes,
        node: joining,
        second_ip,
        server,
        source: source?,
        sans,
        args,
    })
}

impl Joining {
    /// Servers that run already.
    fn running(&self) -> Vec<Node> {
        self.nodes
            .servers
            .iter()
            .filter(|s| s.host != self.node.host)
            .cloned()
            .collect()
    }

    /// Servers when it has joined.
    fn servers(&self) -> Vec<Node> {
        let mut servers = self.running();
        servers.extend(self.server.then(|| self.node.clone()));
        servers
    }

    /// What is installed; `first` is a server to join where there is no load balancer.
    fn install(&self, first: &Node) -> InstallRequest {
        let server_url = self.nodes.join_url(first);
        InstallRequest {
            source: self.source.clone(),
            role: if self.server {
                Role::JoinServer { server_url }
            } else {
                Role::Agent { server_url }
            },
            node_name: Some(self.node.name.clone()),
            node_ip: Some(self.node.address),
            second_ip: self.second_ip,
            sans: if self.server {
                self.nodes.sans(&self.sans)
            } else {
                Vec::new()
            },
            extra_args: self.args.clone(),
        }
    }

    /// What its gate looks at.
    pub(super) fn checks(&self, first: &Node) -> JoinChecks {
        JoinChecks {
            checks: checks(self, &self.servers()),
            install: self.install(first),
            node: self.node.api(),
            cluster: self.nodes.cluster.id,
            leaving: None,
            also_lost: Vec::new(),
        }
    }
}

fn plan(workflow: &str, inputs: &Inputs, joining: &Joining) -> Plan {
    let Joining {
        nodes,
        node,
        server,
        ..
    } = joining;
    let title = format!("Join {} to cluster {}", node.name, nodes.name);
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    draft.lock_host(node.host);
    let running = joining.running();
    let Some(first) = running.first() else {
        return draft.finish();
    };
    let total = running.len() + 1;
    if *server && total.is_multiple_of(2) {
        draft.warn(format!(
            "{total} servers tolerate no more losses than {}: go on to an odd number soon.",
            total - 1
        ));
    }
    let gate = Gate {
        title: format!(
            "Join {} as {}",
            node.name,
            if *server { "a server" } else { "an agent" }
        ),
        confirm: None,
        preflight: json(&joining.checks(first)),
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(first)]);
    arrive(&mut draft, joining);
    draft.finish()
}

/// The stages of a join behind its snapshot.
pub(super) fn arrive(draft: &mut Draft, joining: &Joining) {
    let Joining {
        nodes,
        node,
        server,
        ..
    } = joining;
    let running = joining.running();
    let Some(first) = running.first() else {
        return;
    };
    let servers = joining.servers();
    let mut agents: Vec<Node> = nodes
        .agents
        .iter()
        .filter(|a| a.host != node.host)
        .cloned()
        .collect();
    agents.extend((!server).then(|| node.clone()));
    let token = Param::Output(OutputRef {
        from_step: draft.next(),
        output: read_token::TOKEN.to_owned(),
    });
    draft.stage("Token", None, vec![step_list::read_token(nodes, first)]);
    let forecast = server.then(|| step_list::growth(running.len()));
    let install = Install {
        node: node.clone(),
        request: joining.install(first),
        via: Some(first.clone()),
        token: Some(token),
    };
    draft.stage("Join", None, vec![step_list::install(&install, forecast)]);
    if *server {
        let balancers = nodes.load_balancers.iter();
        draft.stage(
            "Load balancer",
            None,
            balancers
                .map(|lb| step_list::follow_haproxy(nodes, lb, &servers))
                .collect(),
        );
    }
    let kubeconfig = Param::Output(OutputRef {
        from_step: draft.next(),
        output: fetch_kubeconfig::KUBECONFIG.to_owned(),
    });
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, first)],
    );
    let mut more = joining.sans.clone();
    more.push(nodes.join_url(first).address().to_san());
    if *server {
        // k3s names every server in the certificate by itself.
        more.extend([node.name.to_san(), node.url().address().to_san()]);
    }
    draft.stage(
        "Verification",
        None,
        vec![step_list::verify(
            nodes,
            &servers,
            &agents,
            &nodes.needed(&more),
            kubeconfig,
        )],
    );
    let role = if *server {
        MemberRole::Server
    } else {
        MemberRole::Agent
    };
    let entry = Entry::Joined(Member {
        host: node.host,
        role,
    });
    let params = record_cluster::Params {
        cluster: nodes.cluster.id,
        entry,
    };
    let mut record = step(
        record_cluster::KIND,
        format!("Record {} as a member of {}", node.name, nodes.name),
        &nodes.cluster.name,
        &params,
    );
    record.undo = Some("take the record back".to_owned());
    draft.stage("Record", None, vec![record]);
}

fn checks(request: &Joining, servers: &[Node]) -> Checks {
    let nodes = &request.nodes;
    let joining = vec![request.node.api()];
    let (as_server, as_agent) = if request.server {
        (joining, Vec::new())
    } else {
        (Vec::new(), joining)
    };
    Checks {
        servers: as_server,
        agents: as_agent,
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        peers: request.running().iter().map(Node::api).collect(),
        section: nodes.section(servers),
        endpoint: nodes.endpoint.clone(),
        source: request.source.clone(),
        server_args: Vec::new(),
        cleaning: false,
    }
}
