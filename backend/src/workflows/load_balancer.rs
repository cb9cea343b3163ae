//! Workflow `load_balancer`: HAProxy in front of a cluster that runs, written anew from the inventory.

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::haproxy::Section;
use coxswain_wire::{Fact, Inputs, StageIndex, WorkflowInfo};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json};
use super::facts::balancer::{self, Foreign};
use super::facts::checks_of;
use super::facts::living::{self, Living};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::{ApiHost, fetch_kubeconfig};

/// See the module.
pub(super) struct LoadBalancer;

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    living: Living,
    load_balancers: Vec<ApiHost>,
    section: Section,
}

#[async_trait]
impl Workflow for LoadBalancer {
    fn name(&self) -> &'static str {
        "load_balancer"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Configure the load balancer".to_owned(),
            summary: "Writes HAProxy's section for the cluster's servers, and sees every server up behind it."
                .to_owned(),
            help: [
                "Each load balancer of the cluster gets a section that passes TLS on :6443 through to all servers. Its health check asks each API server inside TLS, so that a server whose port is open but whose API is dead gets no traffic.",
                "Only the section between Coxswain's own marks is written; everything else in haproxy.cfg stays as it is, byte for byte. HAProxy checks the new file before it takes the old one's place, and is reloaded, not restarted: connections go on.",
                "What it risks: this one program stands before every server. A file that HAProxy does not accept, or cannot listen with, is not kept: the old one comes back. A port that another program or section holds is refused before anything is written. The file that was replaced stays beside it as haproxy.cfg.coxswain-before.",
                "It takes a few seconds for each load balancer.",
                "If a step fails, haproxy.cfg is either as it was or has been accepted by HAProxy. Correct the cause and retry, or unwind: the old file is put back.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![fields::cluster("It must be running.")],
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let nodes = request(&mut form, inventory);
        form.or_errors(nodes)
            .map(|nodes| plan(self.name(), inputs, &nodes))
    }

    async fn preflight(
        &self,
        context: &PreflightContext,
        plan: &Plan,
        stage: StageIndex,
        _state: &RunState,
    ) -> Vec<Fact> {
        let checks: Checks = match checks_of(plan, stage) {
            Ok(checks) => checks,
            Err(facts) => return facts,
        };
        let mut facts = living::facts(context, &plan.cluster_name, &checks.living).await;
        let world = &*context.services.world;
        let (of_balancers, _) = balancer::facts(
            world,
            &checks.load_balancers,
            &checks.section,
            Foreign::Refused,
        )
        .await;
        facts.extend(of_balancers);
        facts
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Nodes> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    if nodes.load_balancers.is_empty() {
        form.refuse(
            "cluster",
            format!(
                "{} has no load balancer: enroll a host with HAProxy and add it to the cluster first.",
                nodes.name
            ),
        );
        return None;
    }
    Some(nodes)
}

fn plan(workflow: &str, inputs: &Inputs, nodes: &Nodes) -> Plan {
    let title = format!("Configure the load balancer of cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for lb in &nodes.load_balancers {
        draft.lock_host(lb.host);
    }
    if nodes.load_balancers.len() == 1 {
        draft.warn(format!(
            "{} is a single point of failure: while it is down, the API is reached at the servers only.",
            listed(&nodes.load_balancers)
        ));
    }
    let checks = Checks {
        living: nodes.living().reached_at(nodes.needed(&[])),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        section: nodes.section(&nodes.servers),
    };
    let mut gate = Some(Gate {
        title: format!("Change haproxy.cfg on {}", listed(&nodes.load_balancers)),
        confirm: None,
        preflight: json(&checks),
    });
    let up: Vec<_> = nodes.servers.iter().map(|s| s.name.clone()).collect();
    // One after the other: while one is reloaded, the others serve.
    for lb in &nodes.load_balancers {
        let configure = step_list::configure_haproxy(nodes, lb, &nodes.servers, &up);
        draft.stage(
            format!("HAProxy on {}", lb.name),
            gate.take(),
            vec![configure],
        );
    }
    if let Some(first) = nodes.servers.first() {
        let kubeconfig = Param::Output(OutputRef {
            from_step: draft.next(),
            output: fetch_kubeconfig::KUBECONFIG.to_owned(),
        });
        let fetch = step_list::fetch_kubeconfig(nodes, first);
        draft.stage("Kubeconfig", None, vec![fetch]);
        let verify = step_list::verify(
            nodes,
            &nodes.servers,
            &nodes.agents,
            &nodes.needed(&[]),
            kubeconfig,
        );
        draft.stage("Verification", None, vec![verify]);
    }
    draft.finish()
}
