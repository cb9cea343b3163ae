//! Workflow `move_token`: tokens out of k3s's unit file, where everybody on a host may read them, into the unit's
//! environment file. Nothing is restarted.

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{
    ClusterId, Fact, FieldValue, HostId, Inputs, NextRun, StageIndex, WorkflowInfo,
};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json};
use super::facts::{at_once, checks_of, fail, jobs, pass};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::ApiHost;
use crate::steps::move_token::MoveToken;
use crate::steps::node_files::env_path;
use crate::steps::restart::NodeRole;

/// Stored name.
const NAME: &str = "move_token";

/// See the module.
pub(super) struct MoveTokens;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    on: Vec<(Node, NodeRole)>,
}

/// What the gate looks at; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checks {
    on: Vec<(ApiHost, NodeRole)>,
}

/// This workflow's form for one node, for the evidence of others.
pub(super) fn offer(cluster: ClusterId, host: HostId) -> NextRun {
    let inputs = [
        ("cluster", FieldValue::Id(cluster.0)),
        ("hosts", FieldValue::Ids(vec![host.0])),
    ];
    NextRun {
        title: "Move the token".to_owned(),
        why: "Into the environment file of mode 0600. Nothing is restarted.".to_owned(),
        workflow: NAME.to_owned(),
        inputs: inputs.map(|(name, value)| (name.to_owned(), value)).into(),
    }
}

#[async_trait]
impl Workflow for MoveTokens {
    fn name(&self) -> &'static str {
        NAME
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Move tokens out of unit files".to_owned(),
            summary: "Puts a token that stands in k3s's unit file into a file that only root may read.".to_owned(),
            help: [
                "A token in k3s's unit file, on the command line or in Environment=, can be read by everybody with a login on the host; one on the command line also in the list of processes. It goes into the unit's environment file of mode 0600. What k3s is told at its next start is the same, and that is checked before anything is written.",
                "k3s is not restarted: its list of processes shows the token until it is, for example at the next upgrade. Who may have read the token still knows it: rotate it if that matters.",
                "The gate says for each node what would be moved. It takes a few seconds a node and risks nothing that runs.",
                "If a step fails, its error says why and nothing was written on that host. Unwinding puts both files back as they were.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![
                fields::cluster("It must be running. For one that is not in the panel yet, import it: its form can move tokens too."),
                fields::hosts("hosts", "Nodes", "Empty: every server and agent."),
            ],
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
        let checks = match checks_of::<Checks>(plan, stage) {
            Ok(checks) => checks,
            Err(facts) => return facts,
        };
        let looks = checks
            .on
            .iter()
            .map(|(node, role)| of_node(context, node, *role));
        let facts = at_once(looks.collect()).await;
        facts.into_iter().flatten().collect()
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let chosen = nodes.chosen(form, "hosts")?;
    let servers = nodes.servers.iter().map(|node| (node, NodeRole::Server));
    let agents = nodes.agents.iter().map(|node| (node, NodeRole::Agent));
    let on = servers
        .chain(agents)
        .filter(|(node, _)| chosen.is_empty() || chosen.contains(node))
        .map(|(node, role)| (node.clone(), role))
        .collect();
    Some(Request { nodes, on })
}

fn plan(workflow: &str, inputs: &Inputs, Request { nodes, on }: &Request) -> Plan {
    let title = format!(
        "Move tokens out of the unit files of {}",
        listed(on.iter().map(|(node, _)| node))
    );
    let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
    for (node, _) in on {
        draft.lock_host(node.host);
    }
    let checks = Checks {
        on: on.iter().map(|(node, role)| (node.api(), *role)).collect(),
    };
    let mut gate = Some(Gate {
        title,
        confirm: None,
        preflight: json(&checks),
    });
    // One after the other: what goes wrong on the first node is not repeated on the others.
    for (node, role) in on {
        let step = step_list::moved_token(node, *role);
        draft.stage(format!("Token of {}", node.name), gate.take(), vec![step]);
    }
    draft.finish()
}

async fn of_node(context: &PreflightContext, node: &ApiHost, role: NodeRole) -> Vec<Fact> {
    const NAME: &str = "Token";
    let services = &context.services;
    let name = node.name.as_str();
    let moved = MoveToken(services.clone()).preview(node.host, role).await;
    let mut facts = vec![match moved {
        Ok(None) => pass(name, NAME, format!("none stands in {}", role.unit())),
        Ok(Some(variables)) => {
            let mut fact = pass(name, NAME, format!("stands in {}", role.unit()));
            let lines = variables.iter().map(|variable| {
                format!(
                    "+{variable}=\u{2039}the token\u{203a} in {}\n",
                    env_path(role)
                )
            });
            let gone = format!("-a token in {}\n", role.unit());
            fact.diff = Some(std::iter::once(gone).chain(lines).collect());
            fact
        }
        Err(failure) => {
            let error = failure.into_error();
            let advice = error
                .advice
                .unwrap_or_else(|| "Check the connection to this host.".to_owned());
            fail(name, NAME, error.message, advice)
        }
    }];
    facts.extend(jobs(&*services.world, node, context.run).await);
    facts
}
