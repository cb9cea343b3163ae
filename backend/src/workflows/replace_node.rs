//! Workflow `replace_node`: a server or agent leaves a running cluster and another machine takes its place, or
//! the same one, installed anew. A removal and a join in one run: the steps are theirs.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, HostId, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::install_form::{self, args_field, sans_field};
use super::join::{self, Joining};
use super::nodes::{Node, listed};
use super::remove_node::{self, Leaving};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::record_cluster::Entry;

/// See the module.
pub(super) struct ReplaceNode;

/// The checked inputs.
struct Request {
    leaving: Leaving,
    joining: Joining,
}

#[async_trait]
impl Workflow for ReplaceNode {
    fn name(&self) -> &'static str {
        "replace_node"
    }

    fn info(&self) -> WorkflowInfo {
        let replacement = fields::host(
            "replacement",
            "Its replacement",
            "The machine that takes its place: another enrolled host, or the same one. Choose the same one also if a new machine took over its entry in the inventory, and so its name.",
        );
        let mut form = remove_node::form();
        form.push(fields::required(replacement));
        form.extend(install_form::fields(true));
        form.push(sans_field());
        form.push(join::second_ip_field());
        form.push(args_field("args", "More arguments", "--disable=traefik"));
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Replace a node".to_owned(),
            summary: "Takes a server or an agent out of a running cluster and joins another machine, or the same one anew, in its place.".to_owned(),
            help: [
                "A snapshot is taken first. Then the old node leaves as in a removal: if its machine answers, it is drained, taken out of the load balancer, stopped, deleted, and k3s is removed from it; if it is lost, its Node and etcd member are removed from the others. Then the replacement joins as a server or agent, as the old node was, with the cluster's token and the arguments of this form, and is added to the load balancer.",
                "Nothing else is taken over from the old node: labels, taints, kubelet arguments and other flags it was started with must be given here again, the cluster's version and critical flags too. The gate names those that the cluster remembers of the old node and the new one would not get, and compares the critical ones with the servers that stay.",
                "If more machines are lost, name all of them: they leave in the same run, because etcd lets no server join while a member is down. More than half of the servers must still be healthy. One of them is replaced; join others in place of the rest afterwards.",
                "If the name is used again, the password that the cluster keeps for it is deleted, too: k3s would refuse the new machine otherwise. To give a new machine the name of a lost one, put its address into the old host's entry in the inventory, confirm its host keys, and choose that host twice here.",
                "What it risks: until the replacement has joined, the cluster has one server less, and tolerates less. The gate counts the quorum without the old node. An old machine that comes back with its data must be cleaned first: it is marked so in the inventory.",
                "It takes five to ten minutes, longer if disruption budgets hold pods back.",
                "If a step fails, correct the cause and retry, or unwind. Once the old member has left it does not come back: a failed join is then taken back alone, and the cluster runs on with the servers that stayed.",
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

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let leaving = remove_node::leaving(form, inventory)?;
    let after = leaving.after();
    let replacement = HostId(form.id("replacement")?);
    if leaving.also_lost.iter().any(|n| n.host == replacement) {
        form.refuse(
            "replacement",
            format!("Host {replacement} is named as lost, too."),
        );
        return None;
    }
    if after.cluster.members.iter().any(|m| m.host == replacement) {
        form.refuse(
            "replacement",
            format!(
                "Host {replacement} belongs to {} already.",
                leaving.nodes.name
            ),
        );
        return None;
    }
    let server = leaving.server();
    let joining = join::joining(form, Some(after), "replacement", server, inventory)?;
    Some(Request { leaving, joining })
}

impl Request {
    /// The machine stays, with what is on it or with nothing.
    fn same_machine(&self) -> bool {
        self.leaving.node.host == self.joining.node.host
    }
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request { leaving, joining } = request;
    let (nodes, old, new) = (&leaving.nodes, &leaving.node, &joining.node);
    let what = if request.same_machine() {
        format!("Replace {} by the same machine", old.name)
    } else {
        format!("Replace {} by {}", old.name, new.name)
    };
    let title = format!("{what} in cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
    for (node, _) in leaving.gone() {
        draft.lock_host(node.host);
    }
    if !request.same_machine() {
        draft.lock_host(new.host);
    }
    let servers = leaving.staying();
    let Some(first) = servers.first() else {
        return draft.finish();
    };
    warn(&mut draft, request);
    let gate = Gate {
        title: what,
        confirm: Some(leaving.typed()),
        preflight: json(&facts::Checks::new(request, first)),
    };
    let keep = if request.same_machine() {
        step_list::kept_by_clean_up(&joining.source)
    } else {
        Vec::new()
    };
    remove_node::depart(&mut draft, leaving, gate, keep);
    let entry = if leaving.lost && !request.same_machine() {
        Entry::Lost(old.host)
    } else {
        Entry::Left(old.host)
    };
    draft.stage("Record the departure", None, leaving.records(entry));
    if old.name == new.name {
        draft.stage(
            "Node password",
            None,
            vec![step_list::forget_password(old, &servers)],
        );
    }
    join::arrive(&mut draft, joining);
    draft.finish()
}

fn warn(draft: &mut Draft, request: &Request) {
    let Request { leaving, joining } = request;
    let gone = leaving.gone().map(|(node, _)| node);
    let unclean: Vec<&Node> = gone
        .filter(|node| leaving.lost && node.host != joining.node.host)
        .collect();
    if !unclean.is_empty() {
        draft.warn(remove_node::unclean(&unclean));
    }
    if !leaving.also_lost.is_empty() {
        draft.warn(format!(
            "Nothing takes the place of {}: join as many others afterwards.",
            listed(&leaving.also_lost)
        ));
    }
    let staying = leaving.staying().len();
    if !leaving.server() {
        if leaving.servers_go() {
            draft.warn(remove_node::servers_left(staying));
        }
        return;
    }
    draft.warn(match staying {
        1 => format!(
            "Until {} has joined, one server is left: its loss is an outage, and may cost data.",
            joining.node.name
        ),
        n => format!(
            "Until {} has joined, {n} servers are left.",
            joining.node.name
        ),
    });
    if (staying + 1).is_multiple_of(2) {
        draft.warn(remove_node::servers_left(staying + 1));
    }
}
