//! Load balancers: HAProxy is there, its port is free, its configuration can take the section.

use coxswain_k3s::haproxy::{CONFIG_FILE, Section, passwords, server_lines, stats_socket};
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::redact::Redactor;
use coxswain_wire::Fact;

use super::diff::diff;
use super::{connection, fail, host, pass, warn};
use crate::steps::ApiHost;
use crate::steps::inspect::inspect;
use crate::steps::kube::API_PORT;
use crate::steps::stats::READERS;
use crate::world::{RemoteCommand, Script, World, WorldError};

/// HAProxy's version, or nothing.
pub(crate) const VERSION: Script = Script {
    name: "haproxy-version",
    text: "PATH=$PATH:/usr/sbin:/usr/local/sbin\nhaproxy -v 2>/dev/null | head -n 1\nexit 0\n",
};

/// What a configuration means in which somebody else balances the API.
#[derive(Clone, Copy)]
pub(in crate::workflows) enum Foreign<'a> {
    /// It is in the way: the load balancer is to be this panel's.
    Refused,
    /// It stays, and has to be changed by hand as the servers change.
    Kept {
        /// Servers that leave.
        leaving: &'a [ApiHost],
    },
}

/// Facts of every load balancer, and the load balancers that answer.
pub(in crate::workflows) async fn facts<'a>(
    world: &dyn World,
    load_balancers: &'a [ApiHost],
    section: &Section,
    foreign: Foreign<'_>,
) -> (Vec<Fact>, Vec<&'a ApiHost>) {
    let (mut facts, mut answering) = (Vec::new(), Vec::new());
    for lb in load_balancers {
        match of_one(world, section, lb, foreign).await {
            Ok(found) => {
                facts.extend(found);
                answering.push(lb);
            }
            Err(error) => facts.push(connection(&lb.name, &error)),
        }
    }
    (facts, answering)
}

async fn of_one(
    world: &dyn World,
    section: &Section,
    lb: &ApiHost,
    foreign: Foreign<'_>,
) -> Result<Vec<Fact>, WorldError> {
    let name = lb.name.as_str();
    let found = inspect(world, lb.host).await?;
    let version = world
        .run(lb.host, RemoteCommand::script(VERSION))
        .await?
        .text();
    let mut facts = host::facts(world, lb, &found).await;
    // A load balancer downloads nothing and holds no data: only what matters there is shown.
    facts.retain(|fact| {
        matches!(
            fact.name.as_str(),
            "Connection" | "Operating system" | "systemd" | "Host name" | "Node address" | "Clock"
        )
    });
    facts.push(if version.trim().is_empty() {
        fail(
            name,
            "HAProxy",
            "is not installed",
            "Install it: apt-get install haproxy. Version 2.2 or later.",
        )
    } else {
        pass(name, "HAProxy", version.trim())
    });
    let listens = found
        .listener(section.port)
        .is_some_and(|socket| socket.process.as_deref() == Some("haproxy"));
    // A label on the port, or a policy of somebody's own, may allow it, too.
    if found.haproxy_confined && !listens {
        facts.push(warn(
            name,
            "SELinux",
            format!(
                "may keep HAProxy from port {}: haproxy_connect_any is off",
                section.port
            ),
            "Unless the port was allowed otherwise, allow it on this host: setsebool -P haproxy_connect_any 1. If HAProxy cannot bind it, its old configuration stays.",
        ));
    }
    facts.push(port(name, &found, section.port));
    let file = world.read_file(lb.host, CONFIG_FILE, 1024 * 1024).await?;
    facts.extend(configuration(name, section, file.as_deref(), foreign));
    if !READERS.iter().any(|tool| found.has_tool(tool)) {
        facts.push(warn(
            name,
            "Tools",
            "nothing there reads HAProxy's statistics",
            "Install socat, python3 or perl: without one the state of each server behind HAProxy is not seen.",
        ));
    }
    Ok(facts)
}

fn port(name: &str, found: &HostFacts, port: u16) -> Fact {
    let label = format!("Port {port}");
    match found.listener(port) {
        None => pass(name, &label, "free, or HAProxy's"),
        Some(socket) => match socket.process.as_deref() {
            Some("haproxy") | None => pass(name, &label, "free, or HAProxy's"),
            Some(other) => fail(
                name,
                &label,
                format!("is held by {other}"),
                "Stop it, or choose another load balancer.",
            ),
        },
    }
}

fn configuration(
    name: &str,
    section: &Section,
    file: Option<&[u8]>,
    foreign: Foreign<'_>,
) -> Vec<Fact> {
    let Some(file) = file else {
        return vec![fail(
            name,
            "haproxy.cfg",
            format!("there is no {CONFIG_FILE}"),
            "Install HAProxy's package, which brings one.",
        )];
    };
    let Ok(text) = std::str::from_utf8(file) else {
        return vec![fail(
            name,
            "haproxy.cfg",
            "is not UTF-8 text",
            "Correct the file.",
        )];
    };
    if let Foreign::Kept { leaving } = foreign
        && let Some(line) = section.kept_by_hand(text)
    {
        return vec![warn(
            name,
            "haproxy.cfg",
            format!("somebody else balances the API here, {line}"),
            by_hand(section, text, leaving),
        )];
    }
    let mut facts = vec![match section.apply(text) {
        Ok(new) if new == text => pass(name, "haproxy.cfg", "has the cluster's section already"),
        Ok(new) => changed(name, text, &new),
        Err(e) => fail(
            name,
            "haproxy.cfg",
            e.to_string(),
            "Change the file, or choose another load balancer.",
        ),
    }];
    if stats_socket(text).is_none() {
        facts.push(warn(
            name,
            "HAProxy's statistics",
            "haproxy.cfg has no statistics socket",
            "Without one the state of each server behind HAProxy is not seen. Debian's default: stats socket /run/haproxy/admin.sock mode 660 level admin.",
        ));
    }
    facts
}

/// What a person has to change in a file that is not this panel's.
fn by_hand(section: &Section, text: &str, leaving: &[ApiHost]) -> String {
    let missing = section
        .servers
        .iter()
        .filter(|server| server_lines(text, &server.address).is_empty());
    let added = missing.map(|server| {
        format!(
            "add \u{201c}server {} {} check\u{201d} beside the other servers",
            server.name,
            server.address.with_port(API_PORT)
        )
    });
    let gone = leaving.iter().filter_map(|node| node.address.parse().ok());
    // The same machine may come back, anew.
    let gone = gone.filter(|address| section.servers.iter().all(|s| s.address != *address));
    let deleted = gone
        .flat_map(|address| server_lines(text, &address))
        .map(|line| format!("delete {line}"));
    let todo: Vec<String> = added.chain(deleted).collect();
    if todo.is_empty() {
        return "This run leaves the file as it is; nothing has to be changed in it.".to_owned();
    }
    format!(
        "This run leaves the file as it is. By hand, right after this run: {}; then reload HAProxy.",
        todo.join("; ")
    )
}

fn changed(name: &str, text: &str, new: &str) -> Fact {
    let safe = Redactor::new(passwords(text)).redact_all(diff(text, new).as_bytes());
    Fact {
        diff: Some(String::from_utf8_lossy(&safe).into_owned()),
        ..pass(
            name,
            "haproxy.cfg",
            "takes the cluster's section, all else in it stays",
        )
    }
}
