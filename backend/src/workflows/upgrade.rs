//! Workflow `upgrade`: a newer k3s on every node of a cluster, servers one by one, then agents.

mod facts;
mod steps;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::install::{Release, Source};
use coxswain_k3s::names::{HttpUrl, K3sVersion};
use coxswain_wire::{Fact, Field, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::install_form::{self, source};
use super::nodes::{Node, Nodes};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields, step_list};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::verify_versions::Placed;
use crate::steps::{drain_node, fetch_kubeconfig, resolve_release};
use facts::Checks;

/// Where k3s's own channels are named.
const CHANNELS: &str = "https://update.k3s.io/v1-release/channels";
/// Seconds that a drain may be asked to wait.
const DRAIN: RangeInclusive<u32> = 30..=7200;

/// See the module.
pub(super) struct Upgrade;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    source: Source,
    channels: HttpUrl,
    drain_s: u32,
}

#[async_trait]
impl Workflow for Upgrade {
    fn name(&self) -> &'static str {
        "upgrade"
    }

    fn info(&self) -> WorkflowInfo {
        let mut form = vec![fields::cluster("It must be running.")];
        form.extend(install_form::fields(false));
        form.insert(5, channels_field());
        form.push(drain_field());
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Upgrade k3s".to_owned(),
            summary: "Brings every node to a newer version, one at a time: servers first.".to_owned(),
            help: [
                "A snapshot is taken first. Then each server, and after the servers each agent, is drained, gets the new k3s, restarts, is seen healthy in the new version, and takes pods again before the next one is touched. Arguments, environment file and configuration stay byte for byte what they were: what the installer writes instead is put back.",
                "No minor version is skipped and nothing goes back: from v1.31 to v1.33 takes two upgrades. Agents are never newer than servers, and not so old that they do not work with them. A channel is asked once which version it means; every node gets exactly that one.",
                "What it risks: each server is away for about 20 seconds, and connections through it break; etcd tolerates no further loss meanwhile. Pods move off each node in turn; those of which there is only one are away while they do. A flag that the new version does not know keeps k3s from starting: read its release notes first.",
                "It takes about three minutes a node, longer if disruption budgets hold pods back: a drain waits for as long as you say, then the run fails and the node takes pods again.",
                "There is no way back once a node has started with the new version: its data may be in a newer form. Until then the old binary is kept on the host (/var/lib/coxswain/kept) and put back when the run is unwound. A server that does not come up leaves the others at work: read its journal, correct the cause, and retry. The snapshot of the beginning can be restored only with the old version.",
                "A retry, or a new run to the same version, leaves nodes alone that have it already.",
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

fn channels_field() -> Field {
    let channels = fields::text(
        "channels_url",
        "Channel server",
        "Asked which version the channel means, by the first server. Not used if a version is given.",
        CHANNELS,
    );
    let channels = fields::required(fields::preset(CHANNELS, channels));
    fields::only_if("source", "online", channels)
}

fn drain_field() -> Field {
    let default = drain_node::DEADLINE_S.to_string();
    let drain = fields::text(
        "drain_s",
        "Longest wait for a drain, seconds",
        "Disruption budgets may hold pods back for a while. From 30 to 7200.",
        &default,
    );
    fields::required(fields::preset(&default, drain))
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read_restartable(form, "cluster", inventory);
    let source = source(form);
    let channels = match form.text("channels_url") {
        Some(_) => form.parsed::<HttpUrl>("channels_url"),
        None => CHANNELS.parse().ok(),
    };
    let drain = form.number("drain_s", &DRAIN);
    Some(Request {
        nodes: nodes?,
        source: source?,
        channels: channels?,
        drain_s: drain?,
    })
}

/// Where to, in words.
fn aim(source: &Source) -> String {
    match source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => version.to_string(),
        Source::Online {
            release: Release::Channel(channel),
            ..
        } => format!("the newest of channel {channel}"),
        Source::AirGap { binary_path, .. } => format!("the k3s in {binary_path}"),
    }
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request {
        nodes,
        source,
        channels,
        drain_s: _,
    } = request;
    let title = format!("Upgrade cluster {} to {}", nodes.name, aim(source));
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
    draft.warn("The servers restart one by one: connections through a server break while it does. Pods move off each node in turn.");
    draft.warn("There is no way back once a node has started with the new version. Until then the old binary is put back when the run is unwound.");
    let release = resolve_release::Params {
        source: source.clone(),
        channels: channels.clone(),
        nodes: targets.iter().map(|(node, _)| node.api()).collect(),
    };
    let gate = Gate {
        title,
        confirm: None,
        preflight: json(&Checks {
            living: nodes
                .living()
                .reached_at(nodes.needed(&[]))
                .by_another_version(),
            targets: targets.iter().map(|(_, target)| target.clone()).collect(),
            release: release.clone(),
        }),
    };
    let mut opening = vec![step_list::snapshot(first)];
    let version: Param<K3sVersion> = match source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => Param::Value(version.clone()),
        Source::Online {
            release: Release::Channel(_),
            ..
        }
        | Source::AirGap { .. } => {
            opening.insert(0, steps::resolve(nodes, &release));
            Param::Output(OutputRef {
                from_step: draft.next(),
                output: resolve_release::VERSION.to_owned(),
            })
        }
    };
    let mut gate = Some(gate);
    for step in opening {
        let title = match step.kind.as_str() {
            resolve_release::KIND => "Version",
            _ => "Snapshot",
        };
        draft.stage(title, gate.take(), vec![step]);
    }
    let mut placed = Vec::new();
    for (node, target) in &targets {
        let step = one(&mut draft, request, node, target, &version);
        placed.push(Placed {
            node: node.api(),
            role: target.role,
            step,
        });
    }
    draft.stage(
        "Versions",
        None,
        vec![steps::verify(nodes, placed, &version)],
    );
    let kubeconfig = Param::Output(OutputRef {
        from_step: draft.next(),
        output: fetch_kubeconfig::KUBECONFIG.to_owned(),
    });
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, first)],
    );
    let verify = step_list::verify(
        nodes,
        &nodes.servers,
        &nodes.agents,
        &nodes.needed(&[]),
        kubeconfig,
    );
    draft.stage("Verification", None, vec![verify]);
    draft.finish()
}

/// The stages of one node; gives the position of the step that places k3s.
fn one(
    draft: &mut Draft,
    request: &Request,
    node: &Node,
    target: &Target,
    version: &Param<K3sVersion>,
) -> u32 {
    let nodes = &request.nodes;
    let name = &node.name;
    let drained = draft.next();
    let drain = steps::drain(nodes, node, target, version, request.drain_s);
    draft.stage(format!("Drain {name}"), None, vec![drain]);
    let placed = draft.next();
    let place = steps::place(node, target, &request.source, version);
    draft.stage(format!("k3s for {name}"), None, vec![place]);
    let kind = match target.role {
        NodeRole::Server => "Server",
        NodeRole::Agent => "Agent",
    };
    let forecast = step_list::forecast(nodes, target);
    let restart = steps::restart(target, version, forecast);
    draft.stage(format!("{kind} {name}"), None, vec![restart]);
    let uncordon = steps::uncordon(node, target, drained);
    draft.stage(format!("Pods back on {name}"), None, vec![uncordon]);
    placed
}
