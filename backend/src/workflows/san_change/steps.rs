//! The steps of `san_change`, with their commands as a person would type them.

use std::collections::BTreeSet;

use coxswain_engine::plan::{Param, Step};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_k3s::sans::SanChange;
use coxswain_wire::ClusterId;

use super::super::draft::step;
use super::super::nodes::{Node, Nodes};
use super::super::step_list;
use crate::steps::restart::Target;
use crate::steps::{
    edit_sans, keep_names, keep_serving, keep_start, renew_serving, restart_k3s, serve_names,
};

/// Twice: `lenient` is undone first, before new names are taken out.
pub(super) fn keep_names(nodes: &Nodes, lenient: bool) -> Step {
    let params = keep_names::Params {
        servers: nodes.servers.iter().map(Node::api).collect(),
        lenient,
    };
    let (title, undo) = if lenient {
        (
            "Note the names that must not go",
            "ask for the names that were there, and see that all servers serve one certificate with them",
        )
    } else {
        (
            "Note the names of the certificate",
            "ask for the names that were there, and see that all servers serve one certificate without any other",
        )
    };
    let mut planned = step(keep_names::KIND, title, &nodes.cluster.name, &params);
    planned.commands = vec!["TLS handshake with each server, without a name".to_owned()];
    planned.undo = Some(undo.to_owned());
    planned.deadline_s = 180;
    planned
}

pub(super) fn keep_serving(target: &Target) -> Step {
    let name = &target.node.name;
    let mut planned = step(
        keep_serving::KIND,
        format!("Note what {name} serves"),
        name,
        target,
    );
    planned.host = Some(target.node.host);
    planned.commands = vec!["TLS handshake without a name".to_owned()];
    planned.undo = Some(format!(
        "if {name} serves new names: delete the Secret if it holds them, stop k3s, remove its copy of the certificate, start it, see it healthy"
    ));
    planned.deadline_s = restart_k3s::DEADLINE_S;
    planned
}

pub(super) fn keep_start(target: &Target) -> Step {
    let name = &target.node.name;
    let mut planned = step(
        keep_start::KIND,
        format!("Note which start of k3s runs on {name}"),
        name,
        target,
    );
    planned.host = Some(target.node.host);
    planned.commands = vec![format!(
        "systemctl show --property InvocationID {}",
        target.role.unit()
    )];
    planned.undo = Some(format!(
        "if k3s on {name} has started with the change: restart it, see it healthy"
    ));
    planned.deadline_s = restart_k3s::DEADLINE_S;
    planned
}

pub(super) fn edit(node: &Node, change: &SanChange) -> Step {
    let params = edit_sans::Params {
        server: node.api(),
        change: change.clone(),
    };
    let mut planned = step(
        edit_sans::KIND,
        format!("Change the names on {}", node.name),
        node.name.as_str(),
        &params,
    );
    planned.host = Some(node.host);
    let lines = |verb: &str, names: &[San]| -> Vec<String> {
        names
            .iter()
            .map(|san| format!("{verb} tls-san {san} where the names stand today"))
            .collect()
    };
    planned.commands = lines("add", &change.add);
    planned.commands.extend(lines("take out", &change.remove));
    planned.commands.push("systemctl daemon-reload".to_owned());
    planned.undo = Some("put the files back as they were, systemctl daemon-reload".to_owned());
    planned
}

/// Starts k3s without its copy of the certificate. Not interruptible: it would be left stopped.
pub(super) fn renew(target: &Target, forecast: Option<String>) -> Step {
    let name = &target.node.name;
    let mut planned = step(
        renew_serving::KIND,
        format!("Restart k3s on {name} without its old certificate and see it healthy"),
        name,
        target,
    );
    planned.host = Some(target.node.host);
    planned.commands = step_list::renew_commands(target);
    planned.interruptible = false;
    planned.deadline_s = restart_k3s::DEADLINE_S;
    planned.forecast = forecast;
    planned
}

pub(super) fn serve_names(
    nodes: &Nodes,
    change: &SanChange,
    before: Param<BTreeSet<AltName>>,
    offered: Option<ClusterId>,
) -> Step {
    let params = serve_names::Params {
        offered,
        servers: nodes.servers.iter().map(Node::api).collect(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        change: change.clone(),
        before,
    };
    let mut planned = step(
        serve_names::KIND,
        "Ask for the names and see one certificate everywhere",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec![
        "TLS handshake with each server for each of its tls-san: DNS names as SNI, addresses as Host of GET /ping".to_owned(),
        "TLS handshake with each server and load balancer, without a name, until all show one serial number".to_owned(),
    ];
    planned.deadline_s = 180;
    planned
}
