//! The steps of `upgrade`, with their commands as a person would type them.

use coxswain_engine::plan::{OutputRef, Param, Step};
use coxswain_k3s::install::{Release, Source, download_lines};
use coxswain_k3s::names::K3sVersion;
use coxswain_wire::StepIndex;

use super::super::draft::{json, step};
use super::super::nodes::{Node, Nodes};
use super::super::step_list;
use crate::steps::place_k3s::PROGRAM;
use crate::steps::restart::{NodeRole, Target};
use crate::steps::verify_versions::{self, Placed};
use crate::steps::{drain_node, place_k3s, resolve_release, restart_into, uncordon_node};

/// A version for people.
fn shown(version: &Param<K3sVersion>) -> String {
    match version {
        Param::Value(version) => version.to_string(),
        Param::Output(made) => format!(
            "\u{2039}{} from step {}\u{203a}",
            made.output,
            made.from_step + 1
        ),
    }
}

pub(super) fn resolve(nodes: &Nodes, params: &resolve_release::Params) -> Step {
    let (title, commands) = match &params.source {
        Source::AirGap { binary_path, .. } => (
            "Read the version of the k3s that lies on the hosts",
            vec![format!("{binary_path} --version, on every host")],
        ),
        Source::Online { release, .. } => (
            "Ask which version the channel means",
            match release {
                Release::Channel(channel) => {
                    resolve_release::lines(&params.channels, channel).to_vec()
                }
                Release::Version(version) => vec![version.to_string()],
            },
        ),
    };
    let mut planned = step(resolve_release::KIND, title, &nodes.cluster.name, params);
    planned.commands = commands;
    planned
}

/// Takes the node out for the duration: it takes pods again on every way out, if it was this run that stopped it.
pub(super) fn drain(
    nodes: &Nodes,
    node: &Node,
    target: &Target,
    version: &Param<K3sVersion>,
    seconds: u32,
) -> Step {
    let via = nodes.servers.iter().find(|s| s.host != node.host);
    let mut planned = step_list::drain(nodes, node, via.unwrap_or(node));
    let params = drain_node::Params {
        node: node.name.to_string(),
        via: target.servers.clone(),
        unless: Some(version.clone()),
    };
    planned.params = json(&params);
    planned.compensation = planned.undo.take();
    planned.deadline_s = seconds;
    planned
}

pub(super) fn place(
    node: &Node,
    target: &Target,
    source: &Source,
    version: &Param<K3sVersion>,
) -> Step {
    let params = place_k3s::Params {
        role: target.role,
        source: source.clone(),
        version: version.clone(),
    };
    let title = format!("Put k3s {} on {}", shown(version), node.name);
    let mut planned = step(place_k3s::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.deadline_s = place_k3s::DEADLINE_S;
    planned.undo =
        Some("put the old binary back, unless k3s was started with the new one, whether or not it came up".to_owned());
    let unit = target.role.unit();
    let told = format!(
        "INSTALL_K3S_EXEC={} INSTALL_K3S_SKIP_ENABLE=true INSTALL_K3S_SYMLINK=skip \u{2039}proxies in {unit}.env\u{203a}",
        target.role.subcommand()
    );
    let mut commands = vec![format!(
        "cp -p {PROGRAM} {unit} {unit}.env to /var/lib/coxswain/kept"
    )];
    commands.extend(match source {
        Source::Online { installer_url, .. } => {
            let mut lines = download_lines(installer_url).to_vec();
            lines.push(format!(
                "INSTALL_K3S_VERSION={} {told} sh install.sh",
                shown(version)
            ));
            lines
        }
        Source::AirGap {
            script_path,
            binary_path,
            images_archive,
        } => {
            let mut lines = vec![format!("install -m 0755 {binary_path} {PROGRAM}")];
            lines.extend(
                images_archive
                    .iter()
                    .map(|images| format!("cp {images} {}/", coxswain_k3s::install::IMAGES_DIR)),
            );
            lines.push(format!(
                "INSTALL_K3S_SKIP_DOWNLOAD=true {told} sh {script_path}"
            ));
            lines
        }
    });
    commands.push(format!(
        "{unit} and {unit}.env as they were, byte for byte; systemctl enable {unit}; systemctl daemon-reload"
    ));
    planned.commands = commands;
    planned
}

/// Not interruptible: the node would be left stopped.
pub(super) fn restart(
    target: &Target,
    version: &Param<K3sVersion>,
    forecast: Option<String>,
) -> Step {
    let name = &target.node.name;
    let params = restart_into::Params {
        target: target.clone(),
        version: version.clone(),
    };
    let title = format!(
        "Restart {name} into k3s {} and see it healthy",
        shown(version)
    );
    let mut planned = step(restart_into::KIND, title, name, &params);
    planned.host = Some(target.node.host);
    planned.commands = step_list::restart_commands(target);
    planned.irreversible = true;
    planned.interruptible = false;
    planned.deadline_s = restart_into::DEADLINE_S;
    planned.forecast = forecast;
    planned
}

pub(super) fn uncordon(node: &Node, target: &Target, drained: StepIndex) -> Step {
    let params = uncordon_node::Params {
        node: node.name.to_string(),
        via: target.servers.clone(),
        cordoned: Param::Output(OutputRef {
            from_step: drained,
            output: drain_node::CORDONED.to_owned(),
        }),
    };
    let title = format!("Let {} take pods again", node.name);
    let mut planned = step(uncordon_node::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.commands = vec![format!(
        "kubectl uncordon {}, if this run cordoned it",
        node.name
    )];
    planned.restores = vec![drained];
    planned
}

pub(super) fn verify(nodes: &Nodes, placed: Vec<Placed>, version: &Param<K3sVersion>) -> Step {
    let params = verify_versions::Params {
        via: nodes.servers.iter().map(Node::api).collect(),
        nodes: placed,
        version: version.clone(),
    };
    let title = format!("See k3s {} on every node", shown(version));
    let mut planned = step(verify_versions::KIND, title, &nodes.cluster.name, &params);
    planned.commands = vec![
        "kubectl get nodes".to_owned(),
        format!(
            "{PROGRAM} --version, on every node; {} and {}, their environment and config.yaml compared with what they were",
            NodeRole::Server.unit(),
            NodeRole::Agent.unit()
        ),
        "rm -rf /var/lib/coxswain/kept/\u{2039}run\u{203a}-\u{2039}step\u{203a}, on every node"
            .to_owned(),
    ];
    planned.irreversible = true;
    planned
}
