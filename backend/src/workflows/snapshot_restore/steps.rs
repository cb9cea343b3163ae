//! The steps of `snapshot_restore`, with their commands as a person would type them.

use coxswain_engine::plan::{Param, Step};
use coxswain_wire::{SecretId, step_number};

use super::super::draft::step;
use super::super::nodes::Node;
use super::super::step_list;
use super::Request;
use crate::steps::restart::NodeRole;
use crate::steps::{
    copy_snapshot, place_token, rejoin_server, reset_cluster, stop_servers, verify_restore,
};

/// Where a copy of the snapshot goes.
pub(super) struct Copy {
    pub(super) to: Node,
}

/// To the server that is reset, if it lies elsewhere; else to another machine, as a copy to fall back on.
pub(super) fn copies(request: &Request) -> Vec<Copy> {
    let to = if request.from == request.chosen {
        request.second_machine()
    } else {
        Some(&request.chosen)
    };
    to.map(|to| Copy { to: to.clone() }).into_iter().collect()
}

pub(super) fn copy_step(request: &Request, to: &Node) -> Step {
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

pub(super) fn stop(request: &Request) -> Step {
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

/// k3s opens the restored database with the token of the snapshot's time only.
pub(super) fn tell(node: &Node, role: NodeRole, token: SecretId) -> Step {
    let params = place_token::Params {
        role,
        token: Param::Value(token),
    };
    let title = format!("Tell {} the token of the snapshot's time", node.name);
    let mut planned = step(place_token::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.commands =
        step_list::token_placed(role, "\u{2039}token of the snapshot's time\u{203a}");
    planned.undo = Some("put the files back as they were; systemctl daemon-reload".to_owned());
    planned
}

pub(super) fn reset(request: &Request, file: Param<String>) -> Step {
    let Request {
        nodes,
        chosen,
        others,
        lost,
        ..
    } = request;
    let lost = lost.iter().filter(|node| nodes.servers.contains(node));
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
        others: others.iter().map(Node::api).collect(),
        lost: lost.map(Node::api).collect(),
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

pub(super) fn rejoin(node: &Node, chosen: &Node, members: usize) -> Step {
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

pub(super) fn verify(request: &Request) -> Step {
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
