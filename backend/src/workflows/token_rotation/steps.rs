//! The steps of `token_rotation`, with their commands as a person would type them.

use coxswain_engine::plan::{Param, Step};
use coxswain_wire::SecretId;

use super::super::draft::step;
use super::super::nodes::{Node, Nodes};
use super::super::step_list;
use crate::steps::restart::NodeRole;
use crate::steps::{place_token, rotate_token, verify_token};

pub(super) fn rotate(nodes: &Nodes, server: &Node) -> Step {
    let params = rotate_token::Params {
        cluster: nodes.cluster.id,
        server: server.api(),
    };
    let mut planned = step(
        rotate_token::KIND,
        format!("Let k3s on {} make a new token", server.name),
        server.name.as_str(),
        &params,
    );
    planned.host = Some(server.host);
    planned.commands = vec![
        "k3s token rotate --server \u{2039}server of /etc/rancher/k3s/k3s.yaml\u{203a}".to_owned(),
        "the new token goes from the server's file into the vault".to_owned(),
    ];
    planned.irreversible = true;
    planned.interruptible = false;
    planned
}

pub(super) fn place(node: &Node, role: NodeRole, token: Param<SecretId>) -> Step {
    let params = place_token::Params { role, token };
    let title = format!("Tell {} the new token for its next start", node.name);
    let mut planned = step(place_token::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.commands = step_list::token_placed(role, "\u{2039}new token\u{203a}");
    planned.irreversible = true;
    planned
}

pub(super) fn verify(nodes: &Nodes, old: Param<SecretId>, new: Param<SecretId>) -> Step {
    let params = verify_token::Params {
        servers: nodes.servers.iter().map(Node::api).collect(),
        old,
        new,
    };
    let mut planned = step(
        verify_token::KIND,
        "See the old token refused and the new one accepted",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec![
        "on each server, with each token: curl -K - \u{2039}server of /etc/rancher/k3s/k3s.yaml\u{203a}/v1-k3s/server-bootstrap"
            .to_owned(),
    ];
    planned.deadline_s = 180;
    planned
}
