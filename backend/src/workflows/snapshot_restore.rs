//! Workflow `snapshot_restore`: a cluster goes back to a snapshot, by way of a cluster of one.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{
    Fact, Field, HostId, Inputs, SecretId, StageIndex, Timestamp, WorkflowInfo, step_number,
};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::{copy_snapshot, rejoin_server, reset_cluster, stop_servers, verify_restore};

/// See the module.
pub(super) struct SnapshotRestore;

/// Why a restore, and only for these two reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Situation {
    /// Too few servers are left for any write.
    QuorumLost,
    /// All is well but the data.
    DataWrong,
}

/// The snapshot, as far as it is known when planning.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    host: HostId,
    path: String,
    /// What was noted when the panel took it; none if it did not.
    noted: Option<Noted>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noted {
    size: u64,
    sha256: String,
    taken_at: Timestamp,
    version: Option<String>,
    token: SecretId,
}

/// The checked inputs.
struct Request {
    nodes: Nodes,
    situation: Situation,
    source: Source,
    /// On whose disk it lies.
    from: Node,
    /// The server that is reset.
    chosen: Node,
    /// The servers that join it again.
    others: Vec<Node>,
    /// The agents that are restarted.
    agents: Vec<Node>,
    lost: Vec<Node>,
}

#[async_trait]
impl Workflow for SnapshotRestore {
    fn name(&self) -> &'static str {
        "snapshot_restore"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Restore a snapshot".to_owned(),
            summary: "Puts a cluster back to what it was when a snapshot was taken. An outage.".to_owned(),
            help: [
                "First: what has happened? One server is lost and the others work: nothing is lost, replace that server; a restore would make it worse. More than half of the servers are lost: nothing can be written any more, and a restore brings the cluster back. All servers work but the data is wrong, because somebody deleted or damaged it: a restore brings the old data back.",
                "What it does: it copies the snapshot to a second machine, stops k3s on all servers, lets one of them replace its database by the snapshot, and starts it as a cluster of one. Then the others join it one by one with an empty database, agents are restarted, and the whole is looked at. Workloads go on running where their machines are up, but nothing can be changed or rescheduled meanwhile.",
                "What it risks: everything that was written since the snapshot is gone: workloads, Secrets, changes. The gate shows its age. Volumes are not part of it: databases that run on the cluster keep their data, which may be newer than what the cluster remembers.",
                "The old databases are kept: k3s keeps the one of the chosen server beside the new one (etcd-old-…), the panel moves those of the others to db.coxswain-<run>, with their certificates and keys if these have changed since the snapshot. Nothing is deleted. Until the reset all can be undone: k3s is started and enabled again as it was. The reset itself cannot.",
                "It takes five to ten minutes with three servers. If a step fails, read its output, correct the cause and retry: each step looks first what is so already.",
                "Servers that are lost for good must not come back by themselves with their old database: take them off the network, and join them later as new ones.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: form(),
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

fn form() -> Vec<Field> {
    let situation = fields::choice(
        "situation",
        "What has happened?",
        "Only the last two are reasons for a restore.",
        &[
            ("one_lost", "One server is lost, the others work"),
            (
                "quorum_lost",
                "Too many servers are lost: nothing can be written",
            ),
            ("data_wrong", "All servers work, but the data is wrong"),
        ],
    );
    let source = fields::choice(
        "source",
        "Which snapshot",
        "",
        &[
            ("panel", "One that the panel has taken"),
            ("file", "A file on a server, for instance one of k3s's own"),
        ],
    );
    let snapshot = fields::snapshot(
        "snapshot",
        "Snapshot",
        "What was written to the cluster since then is lost.",
    );
    let file_path = fields::text(
        "file_path",
        "Path of the file",
        "The panel does not know its checksum nor its server token: it works only if the token has not been changed since.",
        "/var/lib/rancher/k3s/server/db/snapshots/etcd-snapshot-node1-1795326133",
    );
    let with_the_file = fields::host("file_server", "Server with the file", "");
    let of_source = |source, field| fields::only_if("source", source, fields::required(field));
    vec![
        fields::cluster(""),
        situation,
        fields::preset("panel", source),
        of_source("panel", snapshot),
        of_source("file", with_the_file),
        of_source("file", file_path),
        fields::host(
            "server",
            "Restore on this server",
            "The others join it. Empty: the server that the snapshot lies on.",
        ),
        fields::hosts(
            "lost",
            "Hosts that are lost for good",
            "Nothing is done on them. They must not come back with their old database.",
        ),
    ]
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let situation = situation(form);
    let lost = lost(form, &nodes);
    let source = source(form, &nodes, inventory);
    let (situation, lost, (source, from)) = (situation?, lost?, source?);
    if lost.contains(&from) {
        form.refuse(
            "lost",
            format!("{} is lost, but the snapshot lies on it.", from.name),
        );
    }
    let chosen = match form.id("server").map(HostId) {
        None => Some(&from),
        Some(host) => nodes.servers.iter().find(|s| s.host == host),
    };
    let chosen = chosen
        .filter(|chosen| nodes.servers.contains(chosen) && !lost.contains(chosen))
        .cloned();
    let Some(chosen) = chosen else {
        form.refuse(
            "server",
            format!("Choose a server of {} that is not lost.", nodes.name),
        );
        return None;
    };
    let living = |of: &[Node]| -> Vec<Node> {
        of.iter()
            .filter(|n| n.host != chosen.host && !lost.contains(n))
            .cloned()
            .collect()
    };
    Some(Request {
        others: living(&nodes.servers),
        agents: living(&nodes.agents),
        nodes,
        situation,
        source,
        from,
        chosen,
        lost,
    })
}

fn situation(form: &mut Form) -> Option<Situation> {
    match form.text("situation") {
        Some("quorum_lost") => Some(Situation::QuorumLost),
        Some("data_wrong") => Some(Situation::DataWrong),
        Some(_) | None => {
            form.refuse("situation", facts::REPLACE);
            None
        }
    }
}

fn lost(form: &mut Form, nodes: &Nodes) -> Option<Vec<Node>> {
    let ids = form.ids("lost");
    let mut lost = Vec::new();
    let mut known = true;
    for id in ids {
        match nodes.with_k3s().find(|n| n.host == HostId(id)) {
            Some(node) => lost.push(node.clone()),
            None => {
                form.refuse(
                    "lost",
                    format!("Host {id} is no server or agent of {}.", nodes.name),
                );
                known = false;
            }
        }
    }
    known.then_some(lost)
}

/// The snapshot and the server it lies on.
fn source(form: &mut Form, nodes: &Nodes, inventory: &Inventory) -> Option<(Source, Node)> {
    let server = |host: HostId| nodes.servers.iter().find(|s| s.host == host).cloned();
    if form.text("source") == Some("file") {
        let from = form.id("file_server").map(HostId).and_then(server);
        let path = form.text("file_path").unwrap_or_default().to_owned();
        let plain = path.starts_with('/')
            && !path.ends_with('/')
            && !path.split('/').any(|part| part == "..")
            && !path.chars().any(char::is_control);
        if !plain {
            form.refuse("file_path", "This must be the absolute path of a file.");
        }
        let Some(from) = from else {
            form.refuse("file_server", format!("Choose a server of {}.", nodes.name));
            return None;
        };
        let source = Source {
            host: from.host,
            path,
            noted: None,
        };
        return Some((source, from));
    }
    let name = form.text("snapshot").unwrap_or_default().to_owned();
    let found = inventory
        .snapshots
        .iter()
        .find(|s| s.cluster == nodes.cluster.id && s.name() == name);
    let Some(found) = found else {
        form.refuse(
            "snapshot",
            format!("The panel has taken no snapshot {name} of {}.", nodes.name),
        );
        return None;
    };
    let Some(from) = server(found.host) else {
        form.refuse(
            "snapshot",
            format!("It lies on {}, which is no server any more.", found.server),
        );
        return None;
    };
    let source = Source {
        host: found.host,
        path: found.path.clone(),
        noted: Some(Noted {
            size: found.size,
            sha256: found.sha256.clone(),
            taken_at: found.taken_at,
            version: found.version.clone(),
            token: found.token,
        }),
    };
    Some((source, from))
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request {
        nodes,
        chosen,
        others,
        ..
    } = request;
    let title = format!("Restore cluster {} from a snapshot", nodes.name);
    let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
    for node in nodes.with_k3s() {
        draft.lock_host(node.host);
    }
    warnings(&mut draft, request);
    let mut gate = Some(Gate {
        title,
        confirm: Some(nodes.name.to_string()),
        preflight: json(&facts::Checks::of(request)),
    });

    let copies = copies(request);
    let file = match copies.iter().position(|copy| copy.to == *chosen) {
        Some(at) => Param::Output(OutputRef {
            from_step: draft.next() + u32::try_from(at).unwrap_or(u32::MAX),
            output: copy_snapshot::FILE.to_owned(),
        }),
        None => Param::Value(request.source.path.clone()),
    };
    let steps: Vec<Step> = copies
        .iter()
        .map(|copy| copy_step(request, &copy.to))
        .collect();
    if !steps.is_empty() {
        draft.stage("Copies of the snapshot", gate.take(), steps);
    }
    draft.stage("Stop", gate.take(), vec![stop(request)]);
    draft.stage("Reset", None, vec![reset(request, file)]);
    for (joined, node) in others.iter().enumerate() {
        draft.stage(
            format!("Join {}", node.name),
            None,
            vec![rejoin(node, chosen, joined + 1)],
        );
    }
    let agents = request.agents.iter().map(|agent| {
        let target = Target {
            node: agent.api(),
            role: NodeRole::Agent,
            servers: std::iter::once(chosen)
                .chain(others)
                .map(Node::api)
                .collect(),
        };
        step_list::restart(&target, None)
    });
    draft.stage("Agents", None, agents.collect());
    draft.stage("Verification", None, vec![verify(request)]);
    draft.finish()
}

fn warnings(draft: &mut Draft, request: &Request) {
    let name = &request.nodes.name;
    draft.outage(format!(
        "k3s stops on all servers of {name}; nothing can be changed until the first of them is back"
    ));
    draft.warn("Everything that was written since the snapshot is lost.");
    if !request.lost.is_empty() {
        draft.warn(format!(
            "{} must not come back with the old database: it would form the old cluster again.",
            listed(&request.lost)
        ));
    }
    if request.others.is_empty() && copies(request).is_empty() {
        draft.warn(format!(
            "There is no second machine to copy the snapshot to: {} holds the only copy. Download it first.",
            request.from.name
        ));
    }
}

/// Where a copy of the snapshot goes.
struct Copy {
    to: Node,
}

/// To the server that is reset, if it lies elsewhere; else to another machine, as a copy to fall back on.
fn copies(request: &Request) -> Vec<Copy> {
    let to = if request.from == request.chosen {
        request.others.first().or(request.agents.first())
    } else {
        Some(&request.chosen)
    };
    to.map(|to| Copy { to: to.clone() }).into_iter().collect()
}

fn copy_step(request: &Request, to: &Node) -> Step {
    let params = copy_snapshot::Params {
        from: request.from.api(),
        path: request.source.path.clone(),
        to: to.api(),
        sha256: request.source.noted.as_ref().map(|n| n.sha256.clone()),
    };
    let title = format!(
        "Copy the snapshot from {} to {}",
        request.from.name, to.name
    );
    let mut planned = step(copy_snapshot::KIND, title, to.name.as_str(), &params);
    planned.host = Some(to.host);
    planned.deadline_s = 1800;
    planned.commands = vec![
        format!(
            "scp {}:{} {}:{}/",
            request.from.name,
            request.source.path,
            to.name,
            copy_snapshot::DIRECTORY
        ),
        "sha256sum on both".to_owned(),
    ];
    planned.undo = Some("delete the copy".to_owned());
    planned
}

fn stop(request: &Request) -> Step {
    let Request {
        nodes,
        chosen,
        others,
        ..
    } = request;
    let params = stop_servers::Params {
        chosen: chosen.api(),
        others: others.iter().map(Node::api).collect(),
    };
    let mut planned = step(
        stop_servers::KIND,
        "Stop k3s on all servers",
        &nodes.cluster.name,
        &params,
    );
    planned.deadline_s = 300;
    planned.commands = others
        .iter()
        .map(|node| format!("{}: systemctl disable k3s; systemctl stop k3s", node.name))
        .chain([format!("{}: systemctl stop k3s", chosen.name)])
        .collect();
    planned.undo = Some("enable and start k3s again where it was so".to_owned());
    planned.forecast = Some("the cluster is down from here on".to_owned());
    planned
}

fn reset(request: &Request, file: Param<String>) -> Step {
    let chosen = &request.chosen;
    let shown = match &file {
        Param::Value(path) => path.clone(),
        Param::Output(made) => format!(
            "\u{2039}{} from step {}\u{203a}",
            made.output,
            step_number(made.from_step)
        ),
    };
    let params = reset_cluster::Params {
        server: chosen.api(),
        file,
    };
    let mut planned = step(
        reset_cluster::KIND,
        format!("Restore the snapshot on {} and start it alone", chosen.name),
        chosen.name.as_str(),
        &params,
    );
    planned.host = Some(chosen.host);
    planned.irreversible = true;
    planned.interruptible = false;
    planned.deadline_s = reset_cluster::DEADLINE_S;
    planned.commands = vec![
        format!(
            "k3s server \u{2039}the unit's own arguments, without --server; its environment; --etcd-s3=false where S3 is set\u{203a} --cluster-reset --cluster-reset-restore-path={shown}"
        ),
        "systemctl start --no-block k3s".to_owned(),
        "etcd: POST /v3/cluster/member/list, until there is one member".to_owned(),
    ];
    planned
}

fn rejoin(node: &Node, chosen: &Node, members: usize) -> Step {
    let params = rejoin_server::Params {
        node: node.api(),
        via: chosen.api(),
    };
    let mut planned = step(
        rejoin_server::KIND,
        format!("Let {} join with an empty database", node.name),
        node.name.as_str(),
        &params,
    );
    planned.host = Some(node.host);
    planned.irreversible = true;
    planned.interruptible = false;
    planned.deadline_s = rejoin_server::DEADLINE_S;
    planned.commands = vec![
        "mv /var/lib/rancher/k3s/server/db /var/lib/rancher/k3s/server/db.coxswain-\u{2039}run\u{203a}, snapshots kept".to_owned(),
        "mv \u{2026}/server/tls \u{2026}/server/cred beside it, if their keys are not those of the restored server".to_owned(),
        format!("systemctl start --no-block k3s, for this once with --server {}", chosen.url()),
        "systemctl enable k3s, when it is healthy".to_owned(),
    ];
    planned.forecast = Some(step_list::growth(members));
    planned
}

fn verify(request: &Request) -> Step {
    let params = verify_restore::Params {
        servers: std::iter::once(&request.chosen)
            .chain(&request.others)
            .map(Node::api)
            .collect(),
        agents: request.agents.iter().map(|a| a.name.to_string()).collect(),
    };
    let mut planned = step(
        verify_restore::KIND,
        format!("Verify {}", request.nodes.name),
        &request.nodes.cluster.name,
        &params,
    );
    planned.deadline_s = 300;
    planned.commands = vec![
        "etcd on each server: POST /v3/cluster/member/list, GET /health".to_owned(),
        "kubectl get --raw /readyz on each server; kubectl get nodes,deployments".to_owned(),
    ];
    planned
}
