//! The steps of `certificate_rotation`, with their commands as a person would type them.

use coxswain_engine::plan::{Param, Step};
use coxswain_k3s::serving::CACHE_FILE;

use super::super::draft::step;
use super::super::nodes::{Node, Nodes};
use super::super::step_list;
use crate::steps::list_backups::Place;
use crate::steps::restart::{NodeRole, Target};
use crate::steps::rotate_certificates::{self, Chosen};
use crate::steps::{ApiHost, keep_names, list_backups, remove_backups, restart_k3s, serve_renewed};

/// Only a look here: what is noted is the serial number.
pub(super) fn note_serving(nodes: &Nodes) -> Step {
    let params = keep_names::Params {
        servers: nodes.servers.iter().map(Node::api).collect(),
        lenient: false,
    };
    let mut planned = step(
        keep_names::KIND,
        "Note the certificate that is served",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec!["TLS handshake with each server, without a name".to_owned()];
    planned
}

/// Not interruptible: the node would be left stopped.
pub(super) fn rotate(
    nodes: &Nodes,
    target: &Target,
    services: &Chosen,
    forecast: Option<String>,
) -> Step {
    let name = &target.node.name;
    let params = rotate_certificates::Params {
        target: target.clone(),
        services: services.clone(),
        servers: match target.role {
            NodeRole::Server => Vec::new(),
            NodeRole::Agent => nodes.servers.iter().map(Node::api).collect(),
        },
    };
    let mut planned = step(
        rotate_certificates::KIND,
        format!("Rotate the certificates of {name} and see it healthy"),
        name,
        &params,
    );
    let options: String = match services {
        Chosen::All => String::new(),
        Chosen::Only(_) => services
            .of(target.role)
            .iter()
            .map(|service| format!(" --service {service}"))
            .collect(),
    };
    planned.host = Some(target.node.host);
    planned.commands = step_list::restart_commands(target);
    let mut between = vec![format!("k3s certificate rotate{options}")];
    if target.role == NodeRole::Server && services.serving() {
        between.push(format!("rm -f {CACHE_FILE}"));
    }
    let start = planned.commands.len() - 1;
    planned.commands.splice(start..start, between);
    planned.irreversible = true;
    planned.interruptible = false;
    planned.deadline_s = restart_k3s::DEADLINE_S;
    planned.forecast = forecast;
    planned
}

pub(super) fn serve_renewed(nodes: &Nodes, before: Param<Vec<String>>) -> Step {
    let params = serve_renewed::Params {
        servers: nodes.servers.iter().map(Node::api).collect(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        before,
    };
    let mut planned = step(
        serve_renewed::KIND,
        "See one new certificate everywhere",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec![
        "TLS handshake with each server and load balancer, until all show one new serial number"
            .to_owned(),
    ];
    planned.deadline_s = 180;
    planned
}

pub(super) fn list_backups(nodes: &Nodes, places: Vec<Place>, offer: bool) -> Step {
    let params = list_backups::Params {
        cluster: nodes.cluster.id,
        nodes: places,
        offer,
    };
    let mut planned = step(
        list_backups::KIND,
        "List the old certificates that k3s keeps",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec![
        "du -sk /var/lib/rancher/k3s/server/tls-\u{2039}time\u{203a} /var/lib/rancher/k3s/agent/tls-\u{2039}time\u{203a}"
            .to_owned(),
    ];
    planned
}

pub(super) fn remove_backups(node: &ApiHost, folders: Param<Vec<String>>) -> Step {
    let params = remove_backups::Params {
        node: node.clone(),
        folders,
    };
    let mut planned = step(
        remove_backups::KIND,
        format!("Delete old certificates on {}", node.name),
        &node.name,
        &params,
    );
    planned.host = Some(node.host);
    planned.commands = vec!["rm -rf each folder on the list, and no other".to_owned()];
    planned.irreversible = true;
    planned
}
