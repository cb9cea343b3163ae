//! Workflow `stuck_pods`: pods that wait in Terminating on a dead node are force-deleted, once it is sure that
//! the node is dead.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, HostId, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::delete_stuck_pods;

/// See the module.
pub(super) struct StuckPods;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    node: Node,
    /// Servers that are asked: all others.
    via: Vec<Node>,
}

#[async_trait]
impl Workflow for StuckPods {
    fn name(&self) -> &'static str {
        "stuck_pods"
    }

    fn info(&self) -> WorkflowInfo {
        let node = fields::host(
            "node",
            "Dead node",
            "The server or agent whose machine is off, and whose pods stay in Terminating.",
        );
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Free stuck pods".to_owned(),
            summary: "Force-deletes pods that stay in Terminating on a node whose machine is off.".to_owned(),
            help: [
                "When a node dies, its pods are replaced on others after about six minutes, but the old ones stay in Terminating until the node is back: only its kubelet can say that they have ended. Pods of a StatefulSet wait for that before they start anew, and so do pods with a ReadWriteOnce volume.",
                "Nothing but a machine that is off proves that its pods do not run. That a node is NotReady or does not answer over SSH may be the network alone. So a person has to see that the machine is off, or cut from its storage, and type it at the gate. A node that answers in any way is refused.",
                "What it risks: if the machine still runs, two pods of a StatefulSet run at a time, and two machines may write one volume: data is damaged. The gate names these pods and volumes. Keep the machine off until it is repaired or replaced.",
                "A snapshot is taken first. It takes about two minutes. What is deleted cannot be put back; its controllers make new pods on other nodes. A pod that nobody owns is gone.",
                "If a step fails, nothing more is deleted: correct the cause and retry. If the node came back meanwhile, its kubelet ends these pods itself, and the run is to be abandoned.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![
                fields::cluster("It must be running."),
                fields::required(node),
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
        facts::collect(context, plan, stage).await
    }
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let id = HostId(form.id("node")?);
    let Some(node) = nodes.with_k3s().find(|n| n.host == id).cloned() else {
        form.refuse(
            "node",
            format!("Host {id} is no server or agent of {}.", nodes.name),
        );
        return None;
    };
    let via = nodes.without(id).servers;
    if via.is_empty() {
        form.refuse(
            "node",
            format!(
                "{} is the only server of {}: without it there is no cluster to ask.",
                node.name, nodes.name
            ),
        );
        return None;
    }
    Some(Request { nodes, node, via })
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request { nodes, node, via } = request;
    let title = format!(
        "Free the stuck pods of {} in cluster {}",
        node.name, nodes.name
    );
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    draft.lock_host(node.host);
    let Some(first) = via.first() else {
        return draft.finish();
    };
    draft.warn(format!(
        "If the machine of {} still runs, its pods do, too: two of a StatefulSet at a time, and two writers of one volume.",
        node.name
    ));
    let params = delete_stuck_pods::Params {
        node: node.api(),
        via: via.iter().map(Node::api).collect(),
    };
    let gate = Gate {
        title: format!("Force-delete pods of {}", node.name),
        // What a person has seen, in words.
        confirm: Some(format!("{} is off", node.name)),
        preflight: json(&params),
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(first)]);
    let mut delete = step(
        delete_stuck_pods::KIND,
        format!("Delete what is Terminating on {}", node.name),
        node.name.as_str(),
        &params,
    );
    delete.commands = vec![
        format!(
            "kubectl get pods --all-namespaces --field-selector spec.nodeName={}",
            node.name
        ),
        "kubectl delete pod \u{2039}each that is Terminating\u{203a} --grace-period=0 --force"
            .to_owned(),
    ];
    delete.irreversible = true;
    draft.stage("Pods", None, vec![delete]);
    draft.finish()
}
