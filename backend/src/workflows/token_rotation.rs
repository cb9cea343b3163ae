//! Workflow `token_rotation`: a new token for servers and agents to join with, and every node started with it.

mod facts;
mod steps;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::rotate_token;
use facts::Checks;

/// See the module.
pub(super) struct TokenRotation;

#[async_trait]
impl Workflow for TokenRotation {
    fn name(&self) -> &'static str {
        "token_rotation"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Rotate the token".to_owned(),
            summary: "Gives the cluster a new token to join with, and starts every node with it.".to_owned(),
            help: [
                "A snapshot is taken first. k3s then makes a new token, which is read into the vault from the server's own file: it never stands in an argument. Every node is told it for its next start, then they restart one at a time: servers first, each healthy again before the next. In the end every server is seen to refuse the old token and to accept the new one.",
                "The token goes where k3s is told it today: the environment file of the unit (0600), or config.yaml. One that stands on the command line, where everybody on the host may read it, goes into the environment file.",
                "What it risks: each server is away for about 20 seconds, and connections through it break; etcd tolerates no further loss meanwhile. Between the new token and its own restart, a server that is started by somebody else with the old token does not come up: therefore all nodes are told the new one before the first restart. It takes about a minute a node.",
                "There is no way back: the cluster has no use for the old token any more. The vault keeps it, since snapshots of its time can be restored only with it.",
                "The panel joins hosts with the new token by itself. Scripts and notes of your own need it too: it stands in /var/lib/rancher/k3s/server/token on every server.",
                "If a step fails, read its output, correct the cause and retry. A node that was down is told the token when it is back: retry then, and leave it down until it was told.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![fields::cluster("It must be running.")],
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let nodes = Nodes::read_restartable(&mut form, "cluster", inventory);
        form.or_errors(nodes)
            .map(|nodes| plan(self.name(), inputs, &nodes))
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

fn plan(workflow: &str, inputs: &Inputs, nodes: &Nodes) -> Plan {
    let title = format!("Rotate the token of cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
    let targets: Vec<(Node, Target)> = nodes
        .with_k3s()
        .filter_map(|node| Some((node.clone(), nodes.target(node)?)))
        .collect();
    for (node, _) in &targets {
        draft.lock_host(node.host);
    }
    let Some(first) = nodes.servers.first() else {
        return draft.finish();
    };
    draft.warn("The servers restart one by one: connections through a server break while it does.");
    draft.warn("There is no way back: the old token is of no use to the cluster afterwards.");
    let gate = Gate {
        title,
        confirm: None,
        preflight: json(&Checks {
            living: nodes.living().of_all_nodes(),
            targets: targets.iter().map(|(_, target)| target.clone()).collect(),
            cluster: nodes.cluster.id,
        }),
    };
    draft.stage(
        "Old token",
        Some(gate),
        vec![step_list::read_token(nodes, first)],
    );
    draft.stage("Snapshot", None, vec![step_list::snapshot(first)]);
    let made = draft.next();
    let output = |name: &str| {
        Param::Output(OutputRef {
            from_step: made,
            output: name.to_owned(),
        })
    };
    draft.stage("New token", None, vec![steps::rotate(nodes, first)]);
    let placed = targets
        .iter()
        .map(|(node, target)| steps::place(node, target.role, output(rotate_token::NEW)));
    draft.stage("Told for the next start", None, placed.collect());
    for (node, target) in &targets {
        let kind = match target.role {
            NodeRole::Server => "Server",
            NodeRole::Agent => "Agent",
        };
        let forecast = step_list::forecast(nodes, target);
        let mut restart = step_list::restart(target, forecast);
        // It runs with the new token then.
        restart.irreversible = true;
        draft.stage(format!("{kind} {}", node.name), None, vec![restart]);
    }
    let verify = steps::verify(nodes, output(rotate_token::OLD), output(rotate_token::NEW));
    draft.stage("Verification", None, vec![verify]);
    draft.finish()
}
