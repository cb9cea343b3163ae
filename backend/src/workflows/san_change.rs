//! Workflow `san_change`: names come into the API's certificate, or leave it.

mod facts;
mod steps;

use std::collections::BTreeSet;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::certs::{AltName, STANDARD_NAMES};
use coxswain_k3s::names::San;
use coxswain_k3s::sans::SanChange;
use coxswain_wire::{Fact, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::{fetch_kubeconfig, keep_names};

/// See the module.
pub(super) struct SanChangeRun;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    change: SanChange,
}

#[async_trait]
impl Workflow for SanChangeRun {
    fn name(&self) -> &'static str {
        "san_change"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Change the API's names".to_owned(),
            summary: "Adds names and addresses to the API's certificate, or takes them out.".to_owned(),
            help: [
                "A snapshot is taken first. Then the names are changed on every server, where they stand today: in the unit file's command line or in config.yaml. Where names stand in both, new ones go to the command line, and those to go are taken out of both; the gate says so, and shows the change of each file. The servers restart one by one, each healthy again before the next.",
                "A restart alone changes nothing: k3s issues the certificate anew only when somebody asks a server for a name that this server was told of. So all servers are told, and each is asked for each name. One certificate is shared by all; the run waits until every server and the load balancer serve the same one.",
                "To take a name out, all servers first restart without its flag: one that still knew the name would bring it back. Then the shared Secret kube-system/k3s-serving is kept in the vault and deleted, and each server starts a second time, without its own copy. On the way old and new certificates are served side by side. Names that nothing asks for any more go with it. A name that is to go is never asked for: some versions learn what they are asked for.",
                "What it risks: each server is away for about 15 seconds, twice if a name is taken out, and connections through it break; etcd tolerates no further loss meanwhile. Clients that use a removed name no longer trust the API. It takes about a minute a server, two with a removal.",
                "If a step fails, correct the cause and retry, or unwind: the files are put back, and the servers that have started with the change start again, one by one.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![
                fields::cluster("It must be running."),
                fields::list("add", "Add", "DNS names and IP addresses that clients will use for the API.", "api.example.org"),
                fields::list("remove", "Take out", "k3s's own names, node names and addresses, the endpoint and the load balancer's address cannot be taken out.", "old.example.org"),
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
    let nodes = Nodes::read_restartable(form, "cluster", inventory);
    let add = names(form, "add");
    let remove = names(form, "remove");
    if let Some(both) = add.iter().find(|san| remove.contains(san)) {
        form.refuse("remove", format!("{both} is to be added, too."));
    }
    if form.list("add").is_empty() && form.list("remove").is_empty() {
        form.refuse("add", "Give a name to add, or one to take out.");
    }
    let nodes = nodes?;
    let own = own_names(&nodes);
    for name in add.iter().filter(|san| own.contains(&AltName::from(*san))) {
        form.refuse(
            "add",
            format!("k3s has {name} in the certificate by itself."),
        );
    }
    let needed = nodes.sans(&[]);
    for name in &remove {
        if own.contains(&AltName::from(name)) {
            form.refuse(
                "remove",
                format!("k3s has {name} in the certificate by itself: it cannot be taken out."),
            );
        } else if needed.contains(name) {
            form.refuse(
                "remove",
                format!(
                    "Clients reach the API of {} at {name}: it cannot be taken out.",
                    nodes.name
                ),
            );
        }
    }
    Some(Request {
        nodes,
        change: SanChange { add, remove },
    })
}

fn names(form: &mut Form, field: &str) -> Vec<San> {
    let mut names: Vec<San> = Vec::new();
    for text in form.list(field) {
        match text.parse::<San>() {
            Ok(san) if names.contains(&san) => {}
            Ok(san) => names.push(san),
            Err(e) => form.refuse(field, format!("{e}.")),
        }
    }
    names
}

/// Names that k3s keeps in the certificate whatever it is told.
fn own_names(nodes: &Nodes) -> BTreeSet<AltName> {
    let servers = nodes
        .servers
        .iter()
        .flat_map(|s| [AltName::from_text(s.name.as_str()), AltName::Ip(s.address)]);
    STANDARD_NAMES
        .iter()
        .map(|name| AltName::from_text(name))
        .chain(servers)
        .collect()
}

fn plan(workflow: &str, inputs: &Inputs, request: &Request) -> Plan {
    let Request { nodes, change } = request;
    let mut draft = Draft::new(workflow, title(nodes, change), inputs, &nodes.cluster);
    for server in &nodes.servers {
        draft.lock_host(server.host);
    }
    let Some(first) = nodes.servers.first() else {
        return draft.finish();
    };
    draft.warn("The servers restart one by one: connections through a server break while it does.");
    if !change.remove.is_empty() {
        draft.warn(format!(
            "Clients that reach the API at {} will no longer trust it.",
            listed(&change.remove)
        ));
    }
    let needed = nodes.needed(&[]);
    let gate = Gate {
        title: title(nodes, change),
        confirm: None,
        preflight: json(&facts::Checks {
            living: nodes.living(),
            load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
            needed,
            change: change.clone(),
        }),
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(first)]);
    let before = Param::Output(OutputRef {
        from_step: draft.next(),
        output: keep_names::NAMES.to_owned(),
    });
    // Undone in reverse order: the files first, then every process that has read them; then all
    // serve what is to stay, then new names go, server by server.
    let mut notes = vec![steps::keep_names(nodes, false)];
    let targets: Vec<_> = nodes
        .servers
        .iter()
        .filter_map(|node| nodes.target(node))
        .collect();
    notes.extend(targets.iter().map(steps::keep_serving));
    notes.push(steps::keep_names(nodes, true));
    notes.extend(targets.iter().map(steps::keep_start));
    draft.stage("Notes for the way back", None, notes);
    let edits = nodes.servers.iter().map(|node| steps::edit(node, change));
    draft.stage("Files", None, edits.collect());
    for target in &targets {
        let restart = step_list::restart(target, step_list::forecast(nodes, target));
        draft.stage(format!("Restart {}", target.node.name), None, vec![restart]);
    }
    // Before anything is taken out, all must serve all that stays: a server that meets a name for the
    // first time issues its old names with it.
    let staying = SanChange {
        add: change.add.clone(),
        remove: Vec::new(),
    };
    let offered = change.remove.is_empty().then_some(nodes.cluster.id);
    draft.stage(
        "Names",
        None,
        vec![steps::serve_names(nodes, &staying, before.clone(), offered)],
    );
    if !change.remove.is_empty() {
        draft.stage("Secret", None, vec![step_list::drop_serving(nodes)]);
        for target in &targets {
            let renew = steps::renew(target, step_list::forecast(nodes, target));
            draft.stage(
                format!("New certificate on {}", target.node.name),
                None,
                vec![renew],
            );
        }
        draft.stage(
            "Names that stay",
            None,
            vec![steps::serve_names(
                nodes,
                change,
                before,
                Some(nodes.cluster.id),
            )],
        );
    }
    let kubeconfig = Param::Output(OutputRef {
        from_step: draft.next(),
        output: fetch_kubeconfig::KUBECONFIG.to_owned(),
    });
    draft.stage(
        "Kubeconfig",
        None,
        vec![step_list::fetch_kubeconfig(nodes, first)],
    );
    let sans = nodes.needed(&change.add);
    draft.stage(
        "Verification",
        None,
        vec![step_list::verify(
            nodes,
            &nodes.servers,
            &nodes.agents,
            &sans,
            kubeconfig,
        )],
    );
    draft.finish()
}

fn title(nodes: &Nodes, change: &SanChange) -> String {
    let parts: Vec<String> = [("add", &change.add), ("take out", &change.remove)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(verb, names)| format!("{verb} {}", listed(names)))
        .collect();
    format!("Names of {}: {}", nodes.name, parts.join("; "))
}

fn listed(names: &[San]) -> String {
    let names: Vec<&str> = names.iter().map(San::as_str).collect();
    names.join(", ")
}
