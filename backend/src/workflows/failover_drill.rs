//! Workflow `failover_drill`: one server gets a fault on purpose, and what the cluster does is seen, judged and compared.

mod endpoint;
mod facts;
mod form;
mod steps;
mod workloads;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, HostId, Inputs, PowerControl, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow};
use crate::steps::drill::{Fault, Watched};
use crate::steps::restart::Target;

/// See the module.
pub(super) struct FailoverDrill;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    victim: Node,
    target: Target,
    fault: Fault,
    /// Name of the host that switches the power.
    switch: Option<String>,
    observe_s: u32,
    api_away_s: u32,
    downtime_s: u32,
    only_replicas: bool,
}

#[async_trait]
impl Workflow for FailoverDrill {
    fn name(&self) -> &'static str {
        "failover_drill"
    }

    fn info(&self) -> WorkflowInfo {
        form::info(self.name())
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
    let nodes = Nodes::read_restartable(form, "cluster", inventory);
    let chosen = form.text("fault").unwrap_or_default().to_owned();
    let killed = chosen == form::KILLED;
    let default = if killed {
        form::KILLED_S
    } else {
        form::OBSERVE_S
    };
    let observe_s = form.number_or("observe_s", &form::OBSERVED, default);
    let api_away_s = form.number_or("api_away_s", &form::AWAY, form::API_AWAY_S);
    let downtime_s = form.number_or("downtime_s", &form::DOWNTIME, form::DOWNTIME_S);
    let only_replicas = form.flag("only_replicas");
    let nodes = nodes?;
    let id = HostId(form.id("host")?);
    let victim = nodes.servers.iter().find(|s| s.host == id).cloned();
    let Some((target, victim)) = victim.and_then(|v| Some((nodes.target(&v)?, v))) else {
        let message = format!("Host {id} is no server of {}.", nodes.name);
        form.refuse("host", message);
        return None;
    };
    let host = inventory.hosts.iter().find(|h| h.id == id)?;
    let mut switch = None;
    let fault = match chosen.as_str() {
        form::KILLED => Fault::Killed,
        form::CUT => Fault::Cut {
            peers: nodes
                .all()
                .filter(|node| node.host != id)
                .map(|node| node.address)
                .collect(),
            ssh_port: host.ssh_port,
        },
        form::POWER_OFF => {
            let (control, name) = power(form, inventory, &host.name, host.power.as_ref())?;
            switch = Some(name);
            Fault::PowerOff { control }
        }
        _ => Fault::Stopped,
    };
    Some(Request {
        nodes,
        victim,
        target,
        fault,
        switch,
        observe_s: observe_s?,
        api_away_s: api_away_s?,
        downtime_s: downtime_s?,
        only_replicas,
    })
}

/// How a host's power is switched, and the name of the host that does it.
fn power(
    form: &mut Form,
    inventory: &Inventory,
    host: &str,
    control: Option<&PowerControl>,
) -> Option<(PowerControl, String)> {
    let Some(control) = control else {
        form.refuse(
            "fault",
            format!("The panel cannot switch the power of {host} on again: give it a power control on its page, or choose another fault."),
        );
        return None;
    };
    super::nodes::node(form, "fault", inventory, control.via)
        .map(|via| (control.clone(), via.name.to_string()))
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request { nodes, victim, .. } = request;
    let title = format!(
        "Failover drill on {}: {} {}",
        nodes.name,
        victim.name,
        form::what(&request.fault)
    );
    let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
    draft.lock_host(victim.host);
    let others: Vec<&Node> = nodes
        .servers
        .iter()
        .filter(|s| s.host != victim.host)
        .collect();
    let Some(other) = others.first() else {
        return draft.finish();
    };
    let watched = Watched {
        cluster: nodes.cluster.id,
        victim: victim.api(),
        others: others.iter().map(|s| s.api()).collect(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        endpoint: endpoint::own_way(nodes),
        fault: request.fault.clone(),
    };
    form::warn(&mut draft, request);
    let gate = Gate {
        title,
        confirm: Some(victim.name.to_string()),
        preflight: json(&facts::Checks::new(request)),
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(other)]);
    draft.stage(
        "Steady state",
        None,
        vec![steps::steady(
            request,
            "See that all is well before the fault",
        )],
    );
    let timer = draft.next();
    let armed = steps::arm(request, &watched.fault);
    let is_armed = armed.is_some();
    draft.stage("Timer on the host", None, armed.into_iter().collect());
    let fault = draft.next();
    draft.stage("Fault", None, vec![steps::inject(request, &watched)]);
    draft.stage("Observation", None, vec![steps::observe(request, &watched)]);
    draft.stage("Healing", None, vec![steps::end(request, &watched, fault)]);
    let disarmed = is_armed.then(|| steps::disarm(request, timer));
    draft.stage("Timer off", None, disarmed.into_iter().collect());
    draft.stage("Recovery", None, vec![steps::recovery(request, &watched)]);
    draft.stage("Report", None, vec![steps::report(request, &watched)]);
    draft.stage(
        "Steady state again",
        None,
        vec![steps::steady(
            request,
            "See that all is well after the fault",
        )],
    );
    draft.finish()
}
