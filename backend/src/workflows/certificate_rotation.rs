//! Workflow `certificate_rotation`: new certificates and keys on every node of a cluster; or only the deletion of
//! old ones.

mod clean_up;
mod facts;
mod steps;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, OutputRef, Param, Plan};
use coxswain_engine::state::RunState;
use coxswain_k3s::rotation::Service;
use coxswain_wire::{Fact, Field, Inputs, StageIndex, StepIndex, WorkflowInfo};

use super::draft::{Draft, json};
use super::form::Form;
use super::nodes::{Node, Nodes};
use super::step_list;
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::list_backups::Place;
use crate::steps::restart::{NodeRole, Target};
use crate::steps::rotate_certificates::{self, Chosen};
use crate::steps::{ApiHost, fetch_kubeconfig, keep_names};
use facts::Checks;

/// See the module.
pub(super) struct CertificateRotation;

/// The checked inputs.
enum Request {
    Rotate(Rotation),
    CleanUp(clean_up::Request),
}

/// New certificates.
struct Rotation {
    nodes: Nodes,
    services: Chosen,
    backups: Backups,
}

/// What becomes of the files that k3s puts aside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backups {
    /// They stay.
    Keep,
    /// What this run has made goes.
    ThisRun,
    /// All go.
    All,
}

#[async_trait]
impl Workflow for CertificateRotation {
    fn name(&self) -> &'static str {
        "certificate_rotation"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Rotate certificates".to_owned(),
            summary: "Gives every node new certificates and keys, one node at a time.".to_owned(),
            help: [
                "A snapshot is taken first. Then each server, and after the servers each agent, is stopped, gets new certificates and keys by k3s certificate rotate, starts, and is healthy again before the next one. The CAs stay as they are: tokens and other kubeconfigs go on working until their own end.",
                "The certificate of :6443 is a case of its own: all servers share it, and the old one comes back unless the Secret kube-system/k3s-serving and every server's own copy are gone. The Secret is kept in the vault. It is looked at last, on every server and load balancer.",
                "What was renewed is told by serial numbers, before and after, of every certificate file on every node: the start of validity of a new certificate is that of the CA.",
                "What it risks: each server is away for about 20 seconds, and connections through it break; etcd tolerates no further loss meanwhile. Pods on an agent go on running. It takes about a minute a node. There is no way back: the old keys are no longer in use once a node has started with the new ones.",
                "k3s keeps the old files, with the private keys of the cluster's CAs, in server/tls-\u{2039}time\u{203a} and agent/tls-\u{2039}time\u{203a}. The end of a rotation lists them. They can be deleted then, behind a gate of its own that names each folder, or later by a run that does nothing else and restarts nothing.",
                "If a step fails, read its output, correct the cause and retry: a node may be rotated twice.",
            ]
            .map(str::to_owned)
            .to_vec(),
            fields: vec![
                fields::cluster("It must be running."),
                what_field(),
                only_to(ROTATE, extent_field()),
                services_field(),
                only_to(ROTATE, backups_field()),
                only_to(CLEAN_UP, hosts_field()),
            ],
        }
    }

    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>> {
        let mut form = Form::read(&self.info(), inputs)?;
        let request = request(&mut form, inventory);
        form.or_errors(request).map(|request| match request {
            Request::Rotate(rotation) => plan(self.name(), inputs, &rotation),
            Request::CleanUp(request) => clean_up::plan(self.name(), inputs, &request),
        })
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

/// The choices of `what`.
const ROTATE: &str = "rotate";
const CLEAN_UP: &str = "clean_up";

fn what_field() -> Field {
    let choices = [
        (ROTATE, "Rotate certificates"),
        (CLEAN_UP, "Only delete old certificates"),
    ];
    let what = fields::choice(
        "what",
        "What",
        "Deleting old ones restarts nothing.",
        &choices,
    );
    fields::preset(ROTATE, what)
}

fn only_to(what: &str, field: Field) -> Field {
    fields::only_if("what", what, field)
}

fn hosts_field() -> Field {
    fields::hosts(
        "hosts",
        "Nodes",
        "Where old certificates are deleted. Empty: on every server and agent.",
    )
}

fn extent_field() -> Field {
    let extent = fields::choice(
        "extent",
        "Certificates",
        "All of them, or those of some services of k3s.",
        &[("all", "All"), ("some", "Of some services")],
    );
    fields::preset("all", extent)
}

fn services_field() -> Field {
    let later = Service::LATER.map(Service::name).join(", ");
    let help = format!(
        "Among {}. Only later releases of k3s know: {later}.",
        Service::listed()
    );
    let services = fields::list("services", "Services", &help, "api-server");
    fields::only_if("extent", "some", fields::required(services))
}

fn backups_field() -> Field {
    let backups = fields::choice(
        "backups",
        "Old certificates",
        "k3s puts the old files aside, the CAs' private keys among them. Backups of earlier rotations and restores count as older ones.",
        &[
            ("keep", "Keep them"),
            ("this_run", "Delete those of this run"),
            ("all", "Delete all, older ones too"),
        ],
    );
    fields::preset("keep", backups)
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    if form.text("what")? == CLEAN_UP {
        let nodes = Nodes::read_running(form, "cluster", inventory)?;
        return clean_up::request(form, nodes).map(Request::CleanUp);
    }
    let nodes = Nodes::read_restartable(form, "cluster", inventory);
    let mut some: Vec<Service> = Vec::new();
    for text in form.list("services") {
        match text.parse::<Service>() {
            Ok(service) if some.contains(&service) => {}
            Ok(service) => some.push(service),
            Err(e) => form.refuse("services", format!("{e}.")),
        }
    }
    let services = match form.text("extent")? {
        "some" => Chosen::Only(some),
        _ => Chosen::All,
    };
    let backups = match form.text("backups")? {
        "this_run" => Backups::ThisRun,
        "all" => Backups::All,
        _ => Backups::Keep,
    };
    Some(Request::Rotate(Rotation {
        nodes: nodes?,
        services,
        backups,
    }))
}

fn plan(workflow: &str, inputs: &Inputs, rotation: &Rotation) -> Plan {
    let Rotation {
        nodes,
        services,
        backups,
    } = rotation;
    let title = format!("Rotate certificates of cluster {}", nodes.name);
    let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
    let targets: Vec<Target> = nodes
        .with_k3s()
        .filter_map(|node| nodes.target(node))
        .filter(|target| !services.of(target.role).is_empty())
        .collect();
    for target in &targets {
        draft.lock_host(target.node.host);
    }
    let Some(first) = nodes.servers.first() else {
        return draft.finish();
    };
    draft.warn("The servers restart one by one: connections through a server break while it does.");
    draft.warn("There is no way back: the old keys are no longer in use afterwards.");
    let gate = Gate {
        title,
        confirm: None,
        preflight: json(&Checks::Start {
            living: Box::new(nodes.living()),
            load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
            needed: nodes.needed(&[]),
            targets: targets.clone(),
            services: services.clone(),
        }),
    };
    draft.stage("Snapshot", Some(gate), vec![step_list::snapshot(first)]);
    let before = Param::Output(OutputRef {
        from_step: draft.next(),
        output: keep_names::SERIALS.to_owned(),
    });
    if services.serving() {
        draft.stage(
            "Certificate of :6443",
            None,
            vec![steps::note_serving(nodes)],
        );
        draft.stage("Secret", None, vec![step_list::drop_serving(nodes)]);
    }
    let mut rotated = Vec::new();
    for target in &targets {
        let name = &target.node.name;
        let kind = match target.role {
            NodeRole::Server => "Server",
            NodeRole::Agent => "Agent",
        };
        rotated.push((target.node.clone(), draft.next()));
        let step = steps::rotate(nodes, target, services, step_list::forecast(nodes, target));
        draft.stage(format!("{kind} {name}"), None, vec![step]);
    }
    if services.serving() {
        draft.stage(
            "Certificate everywhere",
            None,
            vec![steps::serve_renewed(nodes, before)],
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
    draft.stage(
        "Verification",
        None,
        vec![step_list::verify(
            nodes,
            &nodes.servers,
            &nodes.agents,
            &nodes.needed(&[]),
            kubeconfig,
        )],
    );
    let all = || Param::Value(Vec::new());
    let places = |except: &dyn Fn(StepIndex) -> Param<Vec<String>>| {
        let place = |(node, step): &(ApiHost, StepIndex)| Place {
            node: node.clone(),
            except: except(*step),
        };
        rotated.iter().map(place).collect()
    };
    let older = |from_step: StepIndex| {
        Param::Output(OutputRef {
            from_step,
            output: rotate_certificates::OLDER.to_owned(),
        })
    };
    match backups {
        Backups::Keep => {}
        Backups::ThisRun => clean_up::stages(&mut draft, nodes, places(&older)),
        Backups::All => clean_up::stages(&mut draft, nodes, places(&|_| all())),
    }
    if *backups != Backups::All {
        let list = steps::list_backups(nodes, places(&|_| all()), true);
        draft.stage("Old certificates", None, vec![list]);
    }
    draft.finish()
}
