//! Ports that k3s needs and somebody has.

use coxswain_k3s::preflight::{HostFacts, ListeningPort, Protocol};
use coxswain_wire::Fact;

use super::{Checks, fail, pass, warn};
use crate::steps::ApiHost;

/// Without these a server does not come up.
const SERVER: [u16; 4] = [6443, 2379, 2380, 10250];
/// Without this an agent does not.
const AGENT: [u16; 1] = [10250];

/// The fact about one host's ports.
pub(super) fn facts(node: &ApiHost, found: &HostFacts, checks: &Checks) -> Vec<Fact> {
    let name = node.name.as_str();
    if found.listening.is_none() {
        return vec![warn(
            name,
            "Ports",
            "the listening sockets cannot be listed",
            "Check on the host that nobody listens on 6443, 2379, 2380 and 10250.",
        )];
    }
    let needed: &[u16] = if checks.is_server(node) {
        &SERVER
    } else {
        &AGENT
    };
    // What the old k3s holds is free once it is gone.
    let old = |port: &ListeningPort| {
        checks.cleaning
            && (found.k3s_unit.is_alive() || found.agent_unit.is_alive())
            && port.process.as_deref().is_none_or(of_k3s)
    };
    let (taken, others): (Vec<&ListeningPort>, Vec<&ListeningPort>) = found
        .ports_taken()
        .into_iter()
        .filter(|port| !old(port))
        .partition(|port| port.protocol == Protocol::Tcp && needed.contains(&port.port));
    if !taken.is_empty() {
        return vec![fail(
            name,
            "Ports",
            listed(&taken),
            "Stop what listens there, or choose another host.",
        )];
    }
    let free = needed
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if others.is_empty() {
        vec![pass(name, "Ports", format!("free: {free}"))]
    } else {
        vec![warn(
            name,
            "Ports",
            format!("free: {free}; taken: {}", listed(&others)),
            "k3s uses these ports too, for itself: see that they do not collide.",
        )]
    }
}

fn of_k3s(process: &str) -> bool {
    process.starts_with("k3s") || process.starts_with("containerd") || process.starts_with("etcd")
}

fn listed(ports: &[&ListeningPort]) -> String {
    let mut words: Vec<String> = ports
        .iter()
        .map(|p| {
            let protocol = match p.protocol {
                Protocol::Tcp => "",
                Protocol::Udp => " (UDP)",
            };
            match &p.process {
                Some(process) => format!("{}{protocol} is held by {process}", p.port),
                None => format!("{}{protocol} is taken", p.port),
            }
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words.join(", ")
}
