//! Workflow `command`: a look at a cluster with one click, without a gate; or a command that a person
//! types, behind one.

mod facts;

use std::ops::RangeInclusive;

use async_trait::async_trait;
use coxswain_engine::plan::{Gate, Plan, Step};
use coxswain_engine::state::RunState;
use coxswain_k3s::redact::redact_text;
use coxswain_wire::{Fact, Field, HostId, Inputs, StageIndex, WorkflowInfo};

use super::draft::{Draft, json, step};
use super::form::Form;
use super::nodes::{Node, Nodes, listed};
use super::{FieldError, Inventory, PreflightContext, Workflow, fields};
use crate::steps::look::{self, View};
use crate::steps::restart::NodeRole;
use crate::steps::run_command::{self, Command};

/// See the module.
pub(super) struct CommandWorkflow;

/// Lines of a log, and for how long it is followed, seconds.
const LINES: RangeInclusive<u32> = 1..=10_000;
const FOLLOW: RangeInclusive<u32> = 0..=600;
/// Seconds a typed command may take.
const TIMEOUT: RangeInclusive<u32> = 1..=3600;
/// Longest typed command, bytes.
const MAX_TEXT: usize = 4096;

/// The checked inputs.
struct Request {
    nodes: Nodes,
    wish: Wish,
}

/// What is asked for, and where.
enum Wish {
    Look {
        title: String,
        looks: Vec<(Node, View)>,
    },
    Follow {
        on: Vec<(Node, NodeRole)>,
        lines: u32,
        seconds: u32,
    },
    Shell(Shell),
}

/// A command that a person typed.
struct Shell {
    text: String,
    on: Vec<(Node, String)>,
    seconds: u32,
}

#[async_trait]
impl Workflow for CommandWorkflow {
    fn name(&self) -> &'static str {
        "command"
    }

    fn info(&self) -> WorkflowInfo {
        WorkflowInfo {
            name: self.name().to_owned(),
            title: "Look, or run a command".to_owned(),
            summary: "Shows nodes, pods, snapshots, logs or certificate dates; or runs a command that you type.".to_owned(),
            help: [
                "Nodes, pods, snapshots, the log and the dates of certificates are read at once, without an approval: nothing is changed on any host. What was printed stands in the run's log, with known secrets masked.",
                "A command of your own waits for an approval, which shows it word for word with the hosts it would run on. It is given to a shell (sh) as its input, so it cannot itself read from standard input. Nothing undoes what it does, and the run does not judge it: it says how the command ended and keeps what it printed.",
                "Do not type secrets: the command stands in the plan and in the audit for everybody to read. One that looks like a secret, or that the panel knows, is refused.",
                "A look takes a few seconds, a log is followed until you stop the run, or for as long as the form says. A command of your own ends by its time limit, which the form names. What it risks is what the command does: it runs as root.",
                "If a look fails, its last lines say why; retry when the cause is gone, or abandon the run. If a command of your own was cut off, by its time limit or because the host went down, look what it has done before you retry: a retry runs it again.",
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
        _state: &RunState,
    ) -> Vec<Fact> {
        facts::collect(context, plan, stage).await
    }
}

fn form() -> Vec<Field> {
    let what = fields::choice(
        "what",
        "What",
        "",
        &[
            ("nodes", "Nodes (kubectl get nodes)"),
            ("pods", "Pods (kubectl get pods)"),
            ("snapshots", "etcd snapshots"),
            ("log", "Log of k3s"),
            ("certificates", "Dates of certificates"),
            ("shell", "A command of your own"),
        ],
    );
    let hosts = fields::hosts(
        "hosts",
        "Hosts",
        "Where. Empty: nodes and pods from the first server, snapshots from all servers, logs and certificates from all servers and agents. A command of your own needs a choice.",
    );
    let lines = fields::text(
        "lines",
        "Lines",
        "From the end of the log, at most 10000.",
        "200",
    );
    let follow = fields::text(
        "follow_s",
        "Follow, seconds",
        "Goes on showing what comes, for at most 600 s, or until the run is stopped. 0: not at all.",
        "0",
    );
    let shell = fields::text(
        "shell",
        "Command",
        "Any line that sh understands.",
        "df -h /var/lib/rancher",
    );
    let sudo = fields::flag(
        "sudo",
        "As root",
        "Otherwise it runs as the user that the panel signs in with.",
    );
    let timeout = fields::text(
        "timeout_s",
        "Time limit, seconds",
        "Then it is ended. At most 3600.",
        "60",
    );
    let only_if = |what, field| fields::only_if("what", what, field);
    vec![
        fields::cluster(""),
        fields::preset("nodes", what),
        hosts,
        only_if("log", fields::preset("200", lines)),
        only_if("log", fields::preset("0", follow)),
        only_if("shell", fields::required(shell)),
        only_if("shell", sudo),
        only_if("shell", fields::preset("60", timeout)),
    ]
}

fn request(form: &mut Form, inventory: &Inventory) -> Option<Request> {
    let nodes = Nodes::read(form, "cluster", inventory)?;
    let chosen: Vec<HostId> = form.ids("hosts").into_iter().map(HostId).collect();
    let what = form.text("what")?.to_owned();
    let wish = match what.as_str() {
        "nodes" => one(form, &nodes, &chosen, View::Nodes),
        "pods" => one(form, &nodes, &chosen, View::Pods),
        "snapshots" => {
            let on = some(form, &nodes, &chosen, &nodes.servers, "server")?;
            Some(Wish::look("Show the etcd snapshots on", on, |_| {
                View::Snapshots
            }))
        }
        "certificates" => {
            let on = with_k3s(form, &nodes, &chosen)?;
            Some(Wish::look(
                "Show the dates of the certificates on",
                on,
                |_| View::Certificates,
            ))
        }
        "log" => {
            let on = with_k3s(form, &nodes, &chosen);
            let lines = form.number("lines", &LINES);
            let seconds = form.number("follow_s", &FOLLOW);
            log(&nodes, on?, lines?, seconds?)
        }
        _ => shell(form, &nodes, &chosen, inventory).map(Wish::Shell),
    };
    Some(Request { wish: wish?, nodes })
}

impl Wish {
    fn look(what: &str, on: Vec<Node>, view: impl Fn(&Node) -> View) -> Self {
        Wish::Look {
            title: format!("{what} {}", listed(&on)),
            looks: on
                .into_iter()
                .map(|node| {
                    let view = view(&node);
                    (node, view)
                })
                .collect(),
        }
    }
}

/// What the API tells is asked from one server.
fn one(form: &mut Form, nodes: &Nodes, chosen: &[HostId], view: View) -> Option<Wish> {
    let on = some(form, nodes, chosen, &nodes.servers, "server")?;
    let what = match view {
        View::Pods => "pods",
        View::Nodes | View::Snapshots | View::Certificates | View::Log { .. } => "nodes",
    };
    if chosen.len() > 1 {
        form.refuse(
            "hosts",
            format!("Every server tells the same {what}: choose one."),
        );
        return None;
    }
    let title = format!("Show the {what} of {}", nodes.name);
    let looks = on.into_iter().take(1).map(|node| (node, view)).collect();
    Some(Wish::Look { title, looks })
}

fn log(nodes: &Nodes, on: Vec<Node>, lines: u32, seconds: u32) -> Option<Wish> {
    let role = |node: &Node| {
        if nodes.servers.contains(node) {
            NodeRole::Server
        } else {
            NodeRole::Agent
        }
    };
    if seconds == 0 {
        let view = |node: &Node| View::Log {
            role: role(node),
            lines,
        };
        return Some(Wish::look("Show the log of k3s on", on, view));
    }
    let on = on
        .into_iter()
        .map(|node| {
            let role = role(&node);
            (node, role)
        })
        .collect();
    Some(Wish::Follow { on, lines, seconds })
}

fn shell(
    form: &mut Form,
    nodes: &Nodes,
    chosen: &[HostId],
    inventory: &Inventory,
) -> Option<Shell> {
    let text = form.text("shell").map(str::to_owned);
    if let Some(text) = &text {
        if text.len() > MAX_TEXT {
            form.refuse("shell", format!("At most {MAX_TEXT} characters."));
        }
        if text
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
        {
            form.refuse("shell", "It holds a control character.");
        }
        if redact_text(text) != *text {
            form.refuse("shell", "This looks as if it held a secret, and it would stand in the plan for everybody to read. Read secrets from a file on the host instead.");
        }
    }
    let seconds = form.number("timeout_s", &TIMEOUT);
    if chosen.is_empty() {
        form.refuse("hosts", "Choose the hosts on which it runs.");
        return None;
    }
    let all: Vec<Node> = nodes.all().cloned().collect();
    let on = some(form, nodes, chosen, &all, "host")?;
    let root = form.flag("sudo");
    let user = |node: &Node| {
        let host = inventory.hosts.iter().find(|h| h.id == node.host);
        host.filter(|_| !root)
            .map_or_else(|| "root".to_owned(), |h| h.ssh_user.clone())
    };
    let on = on
        .into_iter()
        .map(|node| {
            let user = user(&node);
            (node, user)
        })
        .collect();
    Some(Shell {
        text: text?,
        on,
        seconds: seconds?,
    })
}

fn with_k3s(form: &mut Form, nodes: &Nodes, chosen: &[HostId]) -> Option<Vec<Node>> {
    let all: Vec<Node> = nodes.with_k3s().cloned().collect();
    some(form, nodes, chosen, &all, "server or agent")
}

/// The chosen ones of `from`, all of them if none is chosen. Others are refused.
fn some(
    form: &mut Form,
    nodes: &Nodes,
    chosen: &[HostId],
    from: &[Node],
    what: &str,
) -> Option<Vec<Node>> {
    let strangers: Vec<HostId> = chosen
        .iter()
        .copied()
        .filter(|host| !from.iter().any(|n| n.host == *host))
        .collect();
    for host in &strangers {
        let name = nodes.all().find(|n| n.host == *host);
        let name = name.map_or_else(|| format!("Host {host}"), |n| n.name.to_string());
        form.refuse("hosts", format!("{name} is no {what} of {}.", nodes.name));
    }
    let on: Vec<Node> = from
        .iter()
        .filter(|n| chosen.is_empty() || chosen.contains(&n.host))
        .cloned()
        .collect();
    if on.is_empty() && strangers.is_empty() {
        form.refuse("cluster", format!("{} has no {what}.", nodes.name));
    }
    (strangers.is_empty() && !on.is_empty()).then_some(on)
}

fn plan(workflow: &str, inputs: &Inputs, Request { nodes, wish }: &Request) -> Plan {
    match wish {
        Wish::Look { title, looks } => {
            let mut draft = Draft::new(workflow, title.clone(), inputs, &nodes.cluster);
            draft.lock_nothing();
            let steps = looks.iter().map(|(node, view)| look(node, *view));
            draft.stage("Look", None, steps.collect());
            draft.finish()
        }
        Wish::Follow { on, lines, seconds } => {
            let title = format!(
                "Follow the log of k3s on {}",
                listed(on.iter().map(|(n, _)| n))
            );
            let mut draft = Draft::new(workflow, title, inputs, &nodes.cluster);
            draft.lock_nothing();
            let steps = on
                .iter()
                .map(|(node, role)| follow(node, *role, *lines, *seconds));
            draft.stage("Look", None, steps.collect());
            draft.finish()
        }
        Wish::Shell(shell) => run(workflow, inputs, nodes, shell),
    }
}

fn look(node: &Node, view: View) -> Step {
    let title = match view {
        View::Nodes => format!("Ask {} for the nodes", node.name),
        View::Pods => format!("Ask {} for the pods", node.name),
        View::Snapshots => format!("List the snapshots on {}", node.name),
        View::Certificates => format!("Read the dates of the certificates on {}", node.name),
        View::Log { .. } => format!("Read the log of k3s on {}", node.name),
    };
    let mut planned = step(
        look::KIND,
        title,
        node.name.as_str(),
        &look::Params { view },
    );
    planned.host = Some(node.host);
    planned.commands = vec![view.to_string()];
    planned
}

fn follow(node: &Node, role: NodeRole, lines: u32, seconds: u32) -> Step {
    let params = run_command::Params {
        command: Command::Follow { role, lines },
        seconds,
    };
    let title = format!("Follow the log of k3s on {}", node.name);
    let mut planned = step(run_command::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.ends_at_stop = true;
    planned.deadline_s = seconds + 60;
    planned.commands = vec![format!(
        "timeout {seconds} journalctl --no-pager -u {} -n {lines} -f",
        role.unit()
    )];
    planned
}

fn run(workflow: &str, inputs: &Inputs, nodes: &Nodes, shell: &Shell) -> Plan {
    let names = listed(shell.on.iter().map(|(node, _)| node));
    let mut draft = Draft::new(
        workflow,
        format!("Run a command on {names}"),
        inputs,
        &nodes.cluster,
    );
    for (node, _) in &shell.on {
        draft.lock_host(node.host);
    }
    draft.warn("Nothing undoes what this command does, and nothing here judges it.");
    let gate = Gate {
        title: format!("Run this command on {names}"),
        confirm: None,
        preflight: json(&facts::Checks {
            text: shell.text.clone(),
            seconds: shell.seconds,
            on: shell
                .on
                .iter()
                .map(|(node, user)| (node.api(), user.clone()))
                .collect(),
        }),
    };
    let steps = shell.on.iter().map(|(node, user)| typed(shell, node, user));
    draft.stage("Command", Some(gate), steps.collect());
    draft.finish()
}

fn typed(shell: &Shell, node: &Node, user: &str) -> Step {
    let params = run_command::Params {
        command: Command::Shell {
            text: shell.text.clone(),
            user: user.to_owned(),
        },
        seconds: shell.seconds,
    };
    let title = format!("Run it on {} as {user}", node.name);
    let mut planned = step(run_command::KIND, title, node.name.as_str(), &params);
    planned.host = Some(node.host);
    planned.irreversible = true;
    planned.deadline_s = shell.seconds + 60;
    planned.commands = vec![shell.text.clone()];
    planned
}
