//! Workflow `snapshot`: save, list, prune and delete etcd snapshots.

mod facts;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, Field, HostId, Inputs, Snapshot, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::{delete_snapshots, list_snapshots};

/// See the module.
pub(super) struct TakeSnapshot;

/// What is asked for, checked.
enum Task {
    Save(Node),
    List { checksums: bool },
    Delete(Removal),
}

/// Snapshots that go, and those that stay; both newest first.
struct Removal {
    gone: Vec<Snapshot>,
    kept: Vec<Snapshot>,
}

#[async_trait]
impl Workflow for TakeSnapshot {
    fn name(&self) -> &'static str {
        "snapshot"
    }

    fn info(&self) -> WorkflowInfo {
        let action = fields::choice(
            "action",
            "What to do",
            "",
            &[
                ("save", "Save a snapshot"),
                ("list", "List all snapshots"),
                ("prune", "Delete old snapshots"),
                ("delete", "Delete these snapshots"),
            ],
        );
        let server = fields::host(
            "server",
            "On this server",
            "A server whose etcd member is healthy. Empty: the first one.",
        );
        let checksums = fields::flag(
            "checksums",
            "Compute checksums",
            "Reads every snapshot on every server, which can take minutes.",
        );
        let keep = fields::text(
            "keep",
            "Keep the newest",
            "How many of the cluster's snapshots stay, over all servers; at least one.",
            "5",
        );
        let names = fields::list(
            "names",
            "File names",
            "As the list shows them. The last snapshot is never deleted.",
            "coxswain-12-1-node1-1795326133",
        );
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Snapshots".to_owned(),
            summary: "Saves, lists and deletes snapshots of etcd.".to_owned(),
            help: [
                "Save: k3s writes the whole database into a file on the chosen server. The panel notes its size and checksum, and puts the server token of that moment into its vault: without that token the snapshot cannot be used. It takes a few seconds and disturbs nothing.",
                "List: the snapshot files on all servers, those that k3s made by itself too, with what the panel knows of them. Servers that do not answer are named.",
                "Delete: only snapshots that the panel has taken. k3s cleans up after itself by its own rules. What is deleted cannot be brought back; where k3s copies snapshots to S3, it deletes the copy as well, if the API on the snapshot's server answers. The gate names every file, and looks whether those that stay are really there.",
                "A snapshot lies on one server's disk and is lost with it: download one from the cluster's page now and then, and keep it as you keep passwords. It holds every Secret of the cluster.",
                "Listing and deleting take seconds, too; checksums are read from the disk at its own speed. The one risk is to delete what is needed later: keep at least the last from before a change.",
                "If saving fails, read the step's output. A full disk and an etcd without quorum are told before anything is done. If a list or a deletion fails, the step names the server and the file; what was deleted until then stays deleted, and a retry goes on with the rest.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![
                fields::cluster(""),
                fields::preset("save", action),
                only_for("save", server),
                only_for("list", checksums),
                only_for("prune", fields::required(fields::preset("5", keep))),
                only_for("delete", fields::required(names)),
            ],
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let request = request(&mut form, inventory);
        form.or_errors(request)
            .map(|(nodes, task)| plan(self.name(), inputs, &nodes, task))
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

fn only_for(action: &str, field: Field) -> Field {
    fields::only_if("action", action, field)
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<(Nodes, Task)> {
    let nodes = Nodes::read_running(form, "cluster", inventory)?;
    let ours = || {
        inventory
            .snapshots
            .iter()
            .filter(|s| s.cluster == nodes.cluster.id)
            .cloned()
    };
    let task = match form.text("action") {
        Some("list") => Task::List {
            checksums: form.flag("checksums"),
        },
        Some("prune") => Task::Delete(prune(form, ours().collect())?),
        Some("delete") => Task::Delete(chosen(form, ours().collect())?),
        Some(_) | None => Task::Save(server(form, &nodes)?),
    };
    Some((nodes, task))
}

fn server(form: &mut Form, nodes: &Nodes) -> Option<Node> {
    let found = match form.id("server").map(HostId) {
        Some(host) => nodes.servers.iter().find(|s| s.host == host),
        None => nodes.servers.first(),
    };
    if found.is_none() {
        form.refuse(
            "server",
            format!("Choose a server of {}: it has the database.", nodes.name),
        );
    }
    found.cloned()
}

fn prune(form: &mut Form, mut all: Vec<Snapshot>) -> Option<Removal> {
    let keep = form
        .text("keep")
        .and_then(|text| text.parse::<u16>().ok())
        .map(usize::from);
    let Some(keep) = keep.filter(|keep| *keep > 0) else {
        form.refuse("keep", "This must be a number from 1 on.");
        return None;
    };
    if all.len() <= keep {
        form.refuse(
            "keep",
            format!(
                "The panel has taken {} snapshots of this cluster that are still there: none would be deleted.",
                all.len()
            ),
        );
        return None;
    }
    let gone = all.split_off(keep);
    Some(Removal { gone, kept: all })
}

fn chosen(form: &mut Form, all: Vec<Snapshot>) -> Option<Removal> {
    let names = form.list("names");
    let unknown: Vec<&String> = names
        .iter()
        .filter(|name| !all.iter().any(|s| s.name() == name.as_str()))
        .collect();
    for name in &unknown {
        form.refuse(
            "names",
            format!("{name} is no snapshot that the panel has taken of this cluster."),
        );
    }
    let (gone, kept): (Vec<Snapshot>, Vec<Snapshot>) = all
        .into_iter()
        .partition(|s| names.iter().any(|name| name == s.name()));
    if unknown.is_empty() && kept.is_empty() {
        form.refuse("names", "No snapshot would be left: save a new one first.");
    }
    Some(Removal { gone, kept })
}

fn plan(workflow: &str, inputs: &Inputs, nodes: &Nodes, task: Task) -> Plan {
    let draft = |title: String| Draft::new(workflow, title, inputs, &nodes.cluster);
    match task {
        Task::Save(server) => {
            let mut draft = draft(format!("Save a snapshot of cluster {}", nodes.name));
            draft.lock_nothing();
            draft.stage("Snapshot", None, vec![step_list::snapshot(&server)]);
            draft.finish()
        }
        Task::List { checksums } => {
            let mut draft = draft(format!("List the snapshots of cluster {}", nodes.name));
            draft.lock_nothing();
            draft.stage("List", None, vec![list(nodes, checksums)]);
            draft.finish()
        }
        Task::Delete(removal) => {
            let count = removal.gone.len();
            let title = format!("Delete {count} snapshot(s) of cluster {}", nodes.name);
            let mut draft = draft(title.clone());
            let gate = Gate {
                title,
                confirm: Some(nodes.name.to_string()),
                preflight: json(&facts::Checks::of(&removal.gone, &removal.kept)),
            };
            draft.stage("Deletion", Some(gate), delete(&removal.gone));
            draft.finish()
        }
    }
}

fn list(nodes: &Nodes, checksums: bool) -> Step {
    let params = list_snapshots::Params {
        cluster: nodes.cluster.id,
        servers: nodes.servers.iter().map(Node::api).collect(),
        checksums,
    };
    let title = "List the snapshots on all servers";
    let mut planned = step(list_snapshots::KIND, title, &nodes.cluster.name, &params);
    planned.deadline_s = if checksums { 900 } else { 180 };
    planned.commands = vec!["stat each file in the snapshot directory of each server".to_owned()];
    if checksums {
        planned.commands.push("sha256sum each of them".to_owned());
    }
    planned
}

/// One step for each server that loses files.
fn delete(gone: &[Snapshot]) -> Vec<Step> {
    let mut servers: Vec<(HostId, &str)> =
        gone.iter().map(|s| (s.host, s.server.as_str())).collect();
    servers.sort_unstable();
    servers.dedup();
    let of_server = |(host, name): (HostId, &str)| {
        let paths: Vec<String> = gone
            .iter()
            .filter(|s| s.host == host)
            .map(|s| s.path.clone())
            .collect();
        let commands = gone
            .iter()
            .filter(|s| s.host == host)
            .map(|s| format!("k3s etcd-snapshot delete {}; rm -f {}", s.name(), s.path));
        let title = format!("Delete {} snapshot(s) on {name}", paths.len());
        let mut planned = step(
            delete_snapshots::KIND,
            title,
            name,
            &delete_snapshots::Params {
                paths: paths.clone(),
            },
        );
        planned.host = Some(host);
        planned.irreversible = true;
        planned.deadline_s = 300;
        planned.commands = commands.collect();
        planned
    };
    servers.into_iter().map(of_server).collect()
}
