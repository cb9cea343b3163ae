//! Steps that several workflows plan, with their commands as a person would type them.

use coxswain_engine::plan::{Param, Step};
use coxswain_k3s::etcd::{Forecast, quorum};
use coxswain_k3s::haproxy::CONFIG_FILE;
use coxswain_k3s::install::{InstallRequest, Source};
use coxswain_k3s::names::{NodeName, San};
use coxswain_k3s::serving::{CACHE_FILE, NAMESPACE, SECRET};
use coxswain_k3s::token::SERVER_TOKEN_FILE;
use coxswain_wire::SecretId;

use super::draft::step;
use super::nodes::{Node, Nodes};
use crate::steps::configure_haproxy::ByHand;
use crate::steps::restart::{NodeRole, Target};
use crate::steps::stop_k3s::Outage;
use crate::steps::{
    configure_haproxy, drain_node, drop_serving, fetch_kubeconfig, forget_password, install_k3s,
    move_token, read_token, remove_haproxy, remove_k3s, restart_k3s, save_snapshot, stop_k3s,
    verify_cluster,
};

/// Directories that a removal empties.
const REMOVED: [&str; 5] = [
    "/usr/local/bin/k3s",
    "/var/lib/rancher/k3s/",
    "/etc/rancher/k3s/",
    "/var/lib/kubelet/",
    "/var/lib/cni/",
];

/// An installation to plan.
pub(super) struct Install {
    pub(super) node: Node,
    pub(super) request: InstallRequest,
    pub(super) via: Option<Node>,
    pub(super) token: Option<Param<SecretId>>,
}

/// What a person wrote stays through a clean-up, and files of an air-gapped installation that lie where
/// k3s keeps its own.
pub(super) fn kept_by_clean_up(source: &Source) -> Vec<String> {
    let mut keep: Vec<String> = ["config.yaml", "config.yaml.d", "registries.yaml"]
        .map(|file| format!("/etc/rancher/k3s/{file}"))
        .to_vec();
    if let Source::AirGap {
        script_path,
        binary_path,
        images_archive,
    } = source
    {
        let given = [
            Some(script_path),
            Some(binary_path),
            images_archive.as_ref(),
        ];
        let inside = |path: &&str| REMOVED.iter().any(|removed| path.starts_with(removed));
        keep.extend(
            given
                .into_iter()
                .flatten()
                .map(|p| p.as_str())
                .filter(inside)
                .map(str::to_owned),
        );
    }
    keep
}

pub(super) fn remove(node: &Node, params: &remove_k3s::Params) -> Step {
    let mut planned = step(
        remove_k3s::KIND,
        format!("Remove k3s and its data from {}", node.name),
        node.name.as_str(),
        params,
    );
    planned.host = Some(node.host);
    planned.irreversible = true;
    planned.interruptible = false;
    planned.deadline_s = 360;
    planned.commands = vec![
        "k3s-uninstall.sh or k3s-agent-uninstall.sh, if it is there".to_owned(),
        "rm -rf /etc/rancher/k3s /etc/rancher/node /var/lib/rancher/k3s /var/lib/kubelet /var/lib/cni /run/k3s /run/flannel".to_owned(),
        "rm -f /usr/local/bin/k3s* /etc/systemd/system/k3s*, /etc/default/k3s* and /etc/sysconfig/k3s* that set K3S_*, and the links kubectl, crictl, ctr".to_owned(),
    ];
    if !params.keep.is_empty() {
        planned
            .commands
            .push(format!("kept: {}", params.keep.join(" ")));
    }
    planned
}

pub(super) fn install(install: &Install, forecast: Option<String>) -> Step {
    let node = &install.node;
    let params = install_k3s::Params {
        request: install.request.clone(),
        node: node.api(),
        via: install.via.as_ref().map(Node::api),
        token: install.token.clone(),
    };
    let unit = install.request.role.unit();
    let (title, undo) = match install.via {
        None => (
            format!("Install the first server on {}", node.name),
            "remove k3s and its data from the host",
        ),
        Some(_) if unit == "k3s.service" => (
            format!("Join {} as a server", node.name),
            "delete the node, wait until its etcd member is gone, then remove k3s and its data from the host",
        ),
        Some(_) => (
            format!("Join {} as an agent", node.name),
            "delete the node, then remove k3s and its data from the host",
        ),
    };
    let mut planned = step(install_k3s::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.deadline_s = install_k3s::DEADLINE_S;
    planned.commands = commands(install, unit);
    planned.undo = Some(undo.to_owned());
    planned.forecast = forecast;
    planned
}

fn commands(install: &Install, unit: &str) -> Vec<String> {
    let token = match &install.token {
        Some(Param::Output(made)) => format!(
            "\u{2039}{} from step {}\u{203a}",
            made.output,
            made.from_step + 1
        ),
        Some(Param::Value(id)) => format!("\u{2039}secret {id}\u{203a}"),
        None => String::new(),
    };
    // The plan was made from checked arguments; were they bad, the step itself would refuse them.
    let mut lines = install.request.display(&token).unwrap_or_default();
    if let Some(last) = lines.last_mut() {
        if install.token.is_none() {
            *last = last.replace(" K3S_TOKEN=", "");
        }
        last.insert_str(0, "INSTALL_K3S_SKIP_START=true ");
    }
    lines.push(format!("systemctl restart --no-block {unit}"));
    lines
}

pub(super) fn read_token(nodes: &Nodes, server: &Node) -> Step {
    let params = read_token::Params {
        cluster: nodes.cluster.id,
        server: server.api(),
    };
    let mut planned = step(
        read_token::KIND,
        format!("Read the token from {} into the vault", server.name),
        server.name.as_str(),
        &params,
    );
    planned.host = Some(server.host);
    planned.commands = vec![
        format!("cat {SERVER_TOKEN_FILE}"),
        format!("curl -k {}/cacerts | sha256sum", server.url()),
    ];
    planned.undo = Some("forget the token".to_owned());
    planned
}

/// The load balancer is to be this panel's.
pub(super) fn configure_haproxy(
    nodes: &Nodes,
    lb: &Node,
    servers: &[Node],
    up: &[NodeName],
) -> Step {
    haproxy(nodes, lb, servers, up, ByHand::Refused)
}

/// A load balancer follows a change of the servers, each of which must be up, unless somebody else keeps it.
pub(super) fn follow_haproxy(nodes: &Nodes, lb: &Node, servers: &[Node]) -> Step {
    let up: Vec<NodeName> = servers.iter().map(|s| s.name.clone()).collect();
    haproxy(nodes, lb, servers, &up, ByHand::Kept)
}

fn haproxy(nodes: &Nodes, lb: &Node, servers: &[Node], up: &[NodeName], by_hand: ByHand) -> Step {
    let section = nodes.section(servers);
    let mut commands = vec![format!("in {CONFIG_FILE}, everything else kept:")];
    commands.extend(section.render().lines().map(str::to_owned));
    commands.extend([
        "haproxy -c -f \u{2039}new file\u{203a}".to_owned(),
        "systemctl reload haproxy".to_owned(),
    ]);
    let params = configure_haproxy::Params {
        section,
        load_balancer: lb.api(),
        up: up.to_vec(),
        by_hand,
    };
    let title = format!("Configure HAProxy on {}", lb.name);
    let mut planned = step(configure_haproxy::KIND, title, lb.name.as_str(), &params);
    planned.host = Some(lb.host);
    planned.commands = commands;
    planned.undo = Some("put haproxy.cfg back as it was, reload".to_owned());
    planned
}

/// Takes the cluster's section out of a load balancer's configuration.
pub(super) fn remove_haproxy(nodes: &Nodes, lb: &Node) -> Step {
    let params = remove_haproxy::Params {
        cluster: nodes.name.clone(),
        load_balancer: lb.api(),
    };
    let title = format!(
        "Take the section of {} out of HAProxy on {}",
        nodes.name, lb.name
    );
    let mut planned = step(remove_haproxy::KIND, title, lb.name.as_str(), &params);
    planned.host = Some(lb.host);
    planned.commands = vec![
        format!(
            "in {CONFIG_FILE}, everything else kept: delete the lines from \u{201c}# BEGIN coxswain {0}\u{201d} to \u{201c}# END coxswain {0}\u{201d}",
            nodes.name
        ),
        "haproxy -c -f \u{2039}new file\u{203a}".to_owned(),
        "systemctl reload haproxy".to_owned(),
    ];
    planned.undo = Some("put the section back into haproxy.cfg, reload".to_owned());
    planned
}

pub(super) fn fetch_kubeconfig(nodes: &Nodes, server: &Node) -> Step {
    let params = fetch_kubeconfig::Params {
        cluster: nodes.cluster.id,
        name: nodes.name.clone(),
        server: server.api(),
        endpoint: nodes.endpoint.clone(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
    };
    let title = "Fetch the kubeconfig into the vault and call the API through it";
    let mut planned = step(fetch_kubeconfig::KIND, title, server.name.as_str(), &params);
    planned.host = Some(server.host);
    planned.commands = vec![
        "cat /etc/rancher/k3s/k3s.yaml".to_owned(),
        format!(
            "kubectl --server https://{} version",
            nodes.endpoint.with_port(6443)
        ),
    ];
    planned.undo = Some("forget the kubeconfig".to_owned());
    planned
}

pub(super) fn verify(
    nodes: &Nodes,
    servers: &[Node],
    agents: &[Node],
    sans: &[San],
    kubeconfig: Param<SecretId>,
) -> Step {
    let params = verify_cluster::Params {
        cluster: nodes.name.clone(),
        servers: servers.iter().map(Node::api).collect(),
        agents: agents.iter().map(|a| a.name.to_string()).collect(),
        load_balancers: nodes.load_balancers.iter().map(Node::api).collect(),
        endpoint: Some(nodes.endpoint.clone()),
        sans: sans.to_vec(),
        kubeconfig,
    };
    let mut planned = step(
        verify_cluster::KIND,
        format!("Verify {}", nodes.name),
        &nodes.cluster.name,
        &params,
    );
    planned.deadline_s = 300;
    planned.commands = vec![
        "kubectl get nodes; kubectl get --raw /readyz, through the load balancer and each server"
            .to_owned(),
        "etcd on each server: POST /v3/cluster/member/list, GET /health".to_owned(),
        "TLS handshake with each server and the load balancer for each name, and without a name"
            .to_owned(),
    ];
    planned
}

pub(super) fn snapshot(server: &Node) -> Step {
    let title = format!("Save an etcd snapshot on {}", server.name);
    let mut planned = step(
        save_snapshot::KIND,
        title,
        server.name.as_str(),
        &save_snapshot::Params {},
    );
    planned.host = Some(server.host);
    planned.deadline_s = 600;
    planned.commands = vec![
        "k3s etcd-snapshot save --name coxswain-\u{2039}run\u{203a}-\u{2039}step\u{203a}"
            .to_owned(),
        "where that makes none because S3 does not answer: the same with --etcd-s3=false"
            .to_owned(),
        "sha256sum \u{2039}the file\u{203a}; the server token of now goes into the vault with it"
            .to_owned(),
    ];
    planned
}

/// Restarts k3s on one node. Not interruptible: it would be left stopped.
pub(super) fn restart(target: &Target, forecast: Option<String>) -> Step {
    let name = &target.node.name;
    let mut planned = step(
        restart_k3s::KIND,
        format!("Restart k3s on {name} and see it healthy"),
        name,
        target,
    );
    planned.host = Some(target.node.host);
    planned.commands = restart_commands(target);
    planned.interruptible = false;
    planned.deadline_s = restart_k3s::DEADLINE_S;
    planned.forecast = forecast;
    planned
}

/// A restart, as a person would type it.
pub(super) fn restart_commands(target: &Target) -> Vec<String> {
    let unit = target.role.unit();
    vec![
        "systemctl daemon-reload".to_owned(),
        format!("systemctl stop {unit}"),
        format!("systemctl start --no-block {unit}"),
    ]
}

/// Stops k3s on one node, and keeps it from starting at boot.
pub(super) fn stop(target: &Target, outage: Outage, forecast: Option<String>) -> Step {
    let name = &target.node.name;
    let params = stop_k3s::Params {
        target: target.clone(),
        outage,
    };
    let mut planned = step(stop_k3s::KIND, format!("Stop k3s on {name}"), name, &params);
    planned.host = Some(target.node.host);
    planned.commands = vec![format!("systemctl disable --now {}", target.role.unit())];
    planned.undo = Some("enable and start k3s again, and see it healthy".to_owned());
    planned.deadline_s = stop_k3s::DEADLINE_S;
    planned.interruptible = false;
    planned.forecast = forecast;
    planned
}

/// Moves the pods of a node elsewhere. Servers other than it are asked, `via` first.
pub(super) fn drain(nodes: &Nodes, node: &Node, via: &Node) -> Step {
    let others = nodes
        .servers
        .iter()
        .filter(|s| s.host != node.host && s.host != via.host);
    let params = drain_node::Params {
        node: node.name.to_string(),
        via: std::iter::once(via).chain(others).map(Node::api).collect(),
        unless: None,
    };
    let title = format!("Drain {}", node.name);
    let mut planned = step(drain_node::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.commands = vec![format!(
        "kubectl drain {} --ignore-daemonsets --delete-emptydir-data --force",
        node.name
    )];
    planned.undo = Some("uncordon it, if it was not cordoned before".to_owned());
    planned.deadline_s = drain_node::DEADLINE_S;
    planned
}

/// A restart without the server's copy of the certificate of :6443.
pub(super) fn renew_commands(target: &Target) -> Vec<String> {
    let mut commands = restart_commands(target);
    commands.insert(2, format!("rm -f {CACHE_FILE}"));
    commands
}

pub(super) fn drop_serving(nodes: &Nodes) -> Step {
    let params = drop_serving::Params {
        servers: nodes.servers.iter().map(Node::api).collect(),
    };
    let mut planned = step(
        drop_serving::KIND,
        "Keep the certificate's Secret in the vault and delete it",
        &nodes.cluster.name,
        &params,
    );
    planned.commands = vec![
        format!("kubectl -n {NAMESPACE} get secret {SECRET} -o json"),
        format!("kubectl -n {NAMESPACE} delete secret {SECRET}"),
    ];
    planned.undo = Some("put the Secret back, unless k3s has made a new one".to_owned());
    planned
}

/// What it does to the quorum that one of the servers is down for a while, all others being healthy. An
/// agent has no vote.
pub(super) fn forecast(nodes: &Nodes, target: &Target) -> Option<String> {
    match target.role {
        NodeRole::Agent => None,
        NodeRole::Server => {
            let all = nodes.servers.len();
            let down = Forecast::taking_down(quorum(all, all), 1);
            Some(format!("etcd {down}"))
        }
    }
}

/// What one more member does to the quorum of `before` healthy ones.
pub(super) fn growth(before: usize) -> String {
    let after = quorum(before + 1, before + 1);
    let tolerance = match after.tolerated {
        0 => "a loss is an outage until one more has joined".to_owned(),
        1 => "one loss is tolerated".to_owned(),
        n => format!("{n} losses are tolerated"),
    };
    format!("etcd {before} -> {} members; {tolerance}", before + 1)
}

/// Where a node's k3s is told a token for its next start.
pub(super) fn token_placed(role: NodeRole, token: &str) -> Vec<String> {
    let unit = role.unit();
    vec![
        format!(
            "K3S_TOKEN={token} in {unit}.env (0600); token: in config.yaml instead, where it stands there; none in {unit}"
        ),
        "systemctl daemon-reload".to_owned(),
    ]
}

/// Moves a token off k3s's command line. k3s goes on as it is.
pub(super) fn moved_token(node: &Node, role: NodeRole) -> Step {
    let unit = role.unit();
    let params = move_token::Params { role };
    let title = format!("Move a token out of {unit} on {}", node.name);
    let mut planned = step(move_token::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.interruptible = false;
    planned.undo = Some("put unit file and environment file back as they were".to_owned());
    planned.commands = vec![
        format!(
            "in /etc/systemd/system/{unit}.env, mode 0600: K3S_TOKEN=\u{2039}the token\u{203a}"
        ),
        format!("in /etc/systemd/system/{unit}: without --token, everything else kept"),
        "systemctl daemon-reload".to_owned(),
    ];
    planned
}

/// Another machine, or the same one made anew, may register under the name.
pub(super) fn forget_password(node: &Node, servers: &[Node]) -> Step {
    let params = forget_password::Params {
        node: node.name.to_string(),
        servers: servers.iter().map(Node::api).collect(),
    };
    let title = format!("See that no password is kept for the name {}", node.name);
    let mut planned = step(forget_password::KIND, title, node.name.as_str(), &params);
    planned.commands = vec![format!(
        "kubectl -n {} delete secret {} --ignore-not-found",
        forget_password::NAMESPACE,
        forget_password::secret_of(node.name.as_str())
    )];
    planned.irreversible = true;
    planned
}
