//! Workflow `snapshot_restore`: a cluster goes back to a snapshot, by way of a cluster of one.

mod facts;
mod room;
mod steps;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, Field, HostId, Inputs, SecretId, StageIndex, Timestamp, WorkflowInfo};
use serde::{Deserialize, Serialize};

use super::draft::{Draft, json};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use super::{remove_node, step_list};
use crate::steps::copy_snapshot;
use crate::steps::record_cluster::Entry;
use crate::steps::restart::{NodeRole, Target};

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
    /// The token of the snapshot's time, if the cluster has another one since.
    old_token: Option<SecretId>,
    /// On whose disk it lies.
    from: Node,
    /// The server that is reset.
    chosen: Node,
    /// The servers that join it again.
    others: Vec<Node>,
    /// The agents that are restarted.
    agents: Vec<Node>,
    lost: Vec<Node>,
    /// No copy is made to fall back on.
    only_copy: bool,
}

impl Request {
    /// The servers of the restored cluster, in the order that load balancers have them.
    fn servers(&self) -> Vec<Node> {
        let servers = self.nodes.servers.iter();
        servers
            .filter(|s| !self.lost.contains(s))
            .cloned()
            .collect()
    }

    /// Where a copy to fall back on lies: on a load balancer only if nothing else is left.
    fn second_machine(&self) -> Option<&Node> {
        let nodes = self.others.iter().chain(&self.agents);
        let mut machines = nodes.chain(&self.nodes.load_balancers);
        machines.next().filter(|_| !self.only_copy)
    }

    /// Load balancers that lose a server.
    fn balancers(&self) -> impl Iterator<Item = &Node> {
        let loses = self.lost.iter().any(|n| self.nodes.servers.contains(n));
        self.nodes.load_balancers.iter().filter(move |_| loses)
    }
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
                "A snapshot opens only with the server token of its time. If the token was rotated since, the vault still has the old one: every node is told it again before the reset, and the cluster goes on with it. Rotate it afterwards.",
                "It takes five to ten minutes with three servers. If a step fails, read its output, correct the cause and retry: each step looks first what is so already.",
                "Hosts that are lost for good leave the cluster: their Nodes are deleted, and the load balancer sends nothing to them any more. They must not come back by themselves with their old database: take them off the network. The inventory marks them, and they must be cleaned before they are joined again as new ones.",
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
        state: &RunState,
    ) -> Vec<Fact> {
        facts::collect(context, plan, stage, state).await
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
            "Nothing is done on them, and they leave the cluster. They must not come back with their old database.",
        ),
        fields::flag(
            "only_copy",
            "Without a second copy of the snapshot",
            "Only if no other machine can take one: if this disk fails now, the snapshot is gone. Download it first.",
        ),
    ]
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let situation = situation(form);
    let lost = nodes.chosen(form, "lost");
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
    let now = inventory.tokens.get(&nodes.cluster.id);
    // Saving one notes the token of the moment, also one that was changed past the panel.
    let mut taken = inventory.snapshots.iter();
    let newest = taken.find(|snapshot| snapshot.cluster == nodes.cluster.id);
    let newest = newest.map(|snapshot| &snapshot.token);
    let of_its_time = source.noted.as_ref().map(|noted| noted.token);
    Some(Request {
        others: living(&nodes.servers),
        agents: living(&nodes.agents),
        old_token: of_its_time.filter(|of_its_time| {
            let mut since = now.into_iter().chain(newest);
            since.any(|token| token != of_its_time)
        }),
        only_copy: form.flag("only_copy"),
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

    let copies = steps::copies(request);
    let file = match copies.iter().position(|copy| copy.to == *chosen) {
        Some(at) => Param::Output(OutputRef {
            from_step: draft.next() + u32::try_from(at).unwrap_or(u32::MAX),
            output: copy_snapshot::FILE.to_owned(),
        }),
        None => Param::Value(request.source.path.clone()),
    };
    let copied: Vec<Step> = copies
        .iter()
        .map(|copy| steps::copy_step(request, &copy.to))
        .collect();
    if !copied.is_empty() {
        draft.stage("Copies of the snapshot", gate.take(), copied);
    }
    draft.stage("Stop", gate.take(), vec![steps::stop(request)]);
    if let Some(token) = request.old_token {
        let servers = std::iter::once(chosen).chain(others);
        let told = servers
            .map(|node| steps::tell(node, NodeRole::Server, token))
            .chain(
                request
                    .agents
                    .iter()
                    .map(|node| steps::tell(node, NodeRole::Agent, token)),
            );
        draft.stage("Token of the snapshot's time", None, told.collect());
    }
    draft.stage("Reset", None, vec![steps::reset(request, file)]);
    if request.old_token.is_some() {
        draft.stage("Token", None, vec![step_list::read_token(nodes, chosen)]);
    }
    // A node that was made anew since has another password than the snapshot; k3s itself forgets the restored
    // server's only.
    let via = std::slice::from_ref(chosen);
    let renewed = others.iter().chain(&request.agents);
    let forgotten = renewed.map(|node| step_list::forget_password(node, via));
    draft.stage("Node passwords", None, forgotten.collect());
    for (joined, node) in others.iter().enumerate() {
        draft.stage(
            format!("Join {}", node.name),
            None,
            vec![steps::rejoin(node, chosen, joined + 1)],
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
    draft.stage("Verification", None, vec![steps::verify(request)]);
    part(&mut draft, request);
    draft.finish()
}

/// What is lost is no part of the cluster any more. Load balancers come last: one that does not answer keeps
/// nothing else from being done.
fn part(draft: &mut Draft, request: &Request) {
    let Request {
        nodes,
        chosen,
        lost,
        ..
    } = request;
    let server = |node: &Node| nodes.servers.contains(node);
    let departures = lost
        .iter()
        .map(|node| remove_node::leave(node, chosen, server(node)));
    draft.stage("Lost hosts", None, departures.collect());
    let records = lost
        .iter()
        .map(|node| remove_node::record(nodes, node, Entry::Lost(node.host)));
    draft.stage("Record", None, records.collect());
    let servers = request.servers();
    let following = request
        .balancers()
        .map(|lb| step_list::follow_haproxy(nodes, lb, &servers));
    draft.stage("Load balancer", None, following.collect());
}

fn warnings(draft: &mut Draft, request: &Request) {
    let name = &request.nodes.name;
    draft.outage(format!(
        "k3s stops on all servers of {name}; nothing can be changed until the first of them is back"
    ));
    draft.warn("Everything that was written since the snapshot is lost.");
    if request.old_token.is_some() {
        draft.warn("The token was changed since the snapshot: the cluster goes back to the one of that time, and whoever knows that one can join again. Rotate it afterwards.");
    }
    if !request.lost.is_empty() {
        draft.warn(format!(
            "{} must not come back with the old database: it would form the old cluster again.",
            listed(&request.lost)
        ));
    }
    if steps::copies(request).is_empty() {
        let why = if request.only_copy {
            "The snapshot is not copied to a second machine"
        } else {
            "There is no second machine to copy the snapshot to"
        };
        draft.warn(format!(
            "{why}: {} holds the only copy. Download it first.",
            request.from.name
        ));
    }
    let balancers = &request.nodes.load_balancers;
    if let Some(copy) = steps::copies(request)
        .iter()
        .find(|copy| balancers.contains(&copy.to))
    {
        draft.warn(format!(
            "No other server or agent is left: the copy of the snapshot goes to the load balancer {}, into {}, where only root reads it. It holds the cluster's Secrets: delete it when it is not needed any more.",
            copy.to.name,
            copy_snapshot::DIRECTORY
        ));
    }
}
