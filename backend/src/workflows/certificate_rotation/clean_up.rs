//! Deleting old certificates: they are listed, a gate shows the list, and exactly what is on it goes.

use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, Inputs, StepIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::draft::{Draft, json};
use super::super::facts::{at_once, fail, jobs, pass, warn};
use super::super::form::Form;
use super::super::nodes::{Node, Nodes, listed};
use super::facts::Checks;
use super::steps;
use crate::steps::list_backups::{Place, noted, on};
use crate::steps::{ApiHost, certificates};

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// The step that has made the list.
    by: StepIndex,
    /// Nodes on it.
    nodes: Vec<ApiHost>,
}

/// A run that does nothing else.
pub(super) struct Request {
    pub(super) nodes: Nodes,
    pub(super) on: Vec<Node>,
}

/// The cluster may have two servers or a node that is down: none is restarted.
pub(super) fn request(form: &mut Form, nodes: Nodes) -> Option<Request> {
    let chosen = nodes.chosen(form, "hosts")?;
    let on = if chosen.is_empty() {
        nodes.with_k3s().cloned().collect()
    } else {
        chosen
    };
    Some(Request { nodes, on })
}

pub(super) fn plan(workflow: &str, inputs: &Inputs, Request { nodes, on }: &Request) -> Plan {
    let title = format!("Delete old certificates on {}", listed(on));
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for node in on {
        draft.lock_host(node.host);
    }
    let place = |node: &Node| Place {
        node: node.api(),
        except: Param::Value(Vec::new()),
    };
    stages(&mut draft, nodes, on.iter().map(place).collect());
    draft.finish()
}

/// The list, and behind a gate the deletion.
pub(super) fn stages(draft: &mut Draft, nodes: &Nodes, places: Vec<Place>) {
    let by = draft.next();
    let on_nodes: Vec<ApiHost> = places.iter().map(|place| place.node.clone()).collect();
    let list = steps::list_backups(nodes, places, false);
    draft.stage("List", None, vec![list]);
    let remove = |node: &ApiHost| {
        let folders = Param::Output(OutputRef {
            from_step: by,
            output: on(node.host),
        });
        steps::remove_backups(node, folders)
    };
    let removals = on_nodes.iter().map(remove).collect();
    let gate = Gate {
        title: format!("Delete old certificates on the nodes of {}", nodes.name),
        confirm: Some(nodes.name.to_string()),
        preflight: json(&Checks::CleanUp(Listed {
            by,
            nodes: on_nodes,
        })),
    };
    draft.stage("Clean-up", Some(gate), removals);
}

/// The facts for the gate.
pub(super) async fn facts(
    context: &PreflightContext,
    state: &RunState,
    listed: &Listed,
) -> Vec<Fact> {
    let memo = state.steps.get(listed.by as usize).map(|step| &step.memo);
    let looks = listed.nodes.iter().map(async |node| {
        let list = memo.and_then(|memo| noted(memo, node.host));
        let mut facts = of_node(context, node, list.as_deref()).await;
        facts.extend(jobs(&*context.services.world, node, context.run).await);
        facts
    });
    let facts = at_once(looks.collect()).await;
    facts.into_iter().flatten().collect()
}

async fn of_node(context: &PreflightContext, node: &ApiHost, list: Option<&[String]>) -> Vec<Fact> {
    const NAME: &str = "Is deleted";
    let Some(list) = list else {
        let advice = "Start a new run.";
        return vec![fail(&node.name, NAME, "nothing was listed", advice)];
    };
    let found = match certificates::backups(&*context.services.world, node.host).await {
        Ok(found) => found,
        Err(failure) => {
            let advice = "Check the connection to this host.";
            let why = failure.into_error().message;
            return vec![fail(&node.name, NAME, why, advice)];
        }
    };
    let (goes, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(path, _)| list.contains(path));
    let lines: String = goes
        .iter()
        .map(|(path, kib)| format!("-{path} ({kib} KiB)\n"))
        .collect();
    let mut facts = vec![match goes.len() {
        0 => pass(&node.name, NAME, "nothing"),
        1 => pass(&node.name, NAME, "1 folder"),
        many => pass(&node.name, NAME, format!("{many} folders")),
    }];
    if let Some(fact) = facts.first_mut().filter(|_| !goes.is_empty()) {
        fact.diff = Some(lines);
    }
    if !others.is_empty() {
        let paths: Vec<&str> = others.iter().map(|(path, _)| path.as_str()).collect();
        let advice = "They are not on this run's list. A later run can delete them.";
        facts.push(warn(&node.name, "Stays", paths.join("\n"), advice));
    }
    facts
}
