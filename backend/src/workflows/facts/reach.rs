//! Whether hosts reach each other. "Refused" proves the way as well as "open" does.

use std::net::IpAddr;
use std::time::Duration;

use coxswain_k3s::names::Address;
use coxswain_k3s::preflight::{REACH_SCRIPT, Reach, Reachability, parse_reach};
use coxswain_wire::{Fact, FactKind, Verdict};

use super::{Checks, at_once, fact, fail, pass, unknown, warn};
use crate::steps::ApiHost;
use crate::steps::kube::API_PORT;
use crate::world::{RemoteCommand, Script, TlsTarget, UnreachableKind, World, WorldError};

/// `$1…` address and port.
pub(crate) const REACH: Script = Script {
    name: "reach",
    text: REACH_SCRIPT,
};

/// `$1` a name. Prints the addresses it has on this host, one a line.
pub(crate) const RESOLVE: Script = Script {
    name: "resolve",
    text: "getent ahosts \"$1\" | cut -d' ' -f1 | sort -u\nexit 0\n",
};

/// Name of the fact when nothing could be tried from a host.
const WAYS: &str = "Ways to other hosts";

/// Between servers.
const SERVER_PORTS: [u16; 4] = [6443, 2379, 2380, 10250];
/// Towards an agent.
const AGENT_PORTS: [u16; 1] = [10250];
/// Towards a load balancer.
const API_PORTS: [u16; 1] = [6443];

/// Facts about the ways between all hosts that answer, and to the endpoint.
pub(super) async fn facts(
    world: &dyn World,
    cluster: &str,
    nodes: &[&ApiHost],
    balancers: &[&ApiHost],
    checks: &Checks,
) -> Vec<Fact> {
    // From new nodes to all, and from what runs already to new nodes.
    let from: Vec<&ApiHost> = nodes
        .iter()
        .copied()
        .chain(&checks.peers)
        .chain(balancers.iter().copied())
        .collect();
    let found: Vec<Vec<Fact>> = at_once(
        from.into_iter()
            .map(|node| from_one(world, node, checks))
            .collect(),
    )
    .await;
    let mut facts: Vec<Fact> = found.into_iter().flatten().collect();
    let asked = checks
        .new_nodes()
        .filter(|node| checks.is_server(node))
        .chain(&checks.load_balancers);
    facts.extend(at_once(asked.map(|to| from_panel(world, to)).collect()).await);
    if nodes.len() + checks.peers.len() > 1 {
        facts.push(Fact {
            advice: Some("Pods of different nodes talk through it (flannel VXLAN): allow it between all nodes.".to_owned()),
            ..fact(cluster, "UDP 8472", "cannot be proven from here: nothing answers on it yet", FactKind::Shown, Verdict::Warn)
        });
    }
    if let Some(first) = nodes.first() {
        facts.push(endpoint(world, cluster, first, checks).await);
    }
    facts
}

fn ports(from: &ApiHost, to: &ApiHost, checks: &Checks) -> &'static [u16] {
    let server = |node: &ApiHost| checks.is_server(node) || checks.peers.contains(node);
    if checks.load_balancers.contains(from) {
        if server(to) { &API_PORTS } else { &[] }
    } else if checks.load_balancers.contains(to) {
        &API_PORTS
    } else if checks.peers.contains(from) && checks.peers.contains(to) {
        &[]
    } else if server(to) {
        if server(from) {
            &SERVER_PORTS
        } else {
            &API_PORTS
        }
    } else {
        &AGENT_PORTS
    }
}

async fn from_one(world: &dyn World, from: &ApiHost, checks: &Checks) -> Vec<Fact> {
    let others: Vec<(&ApiHost, &[u16])> = checks
        .new_nodes()
        .chain(&checks.peers)
        .chain(&checks.load_balancers)
        .filter(|to| to.host != from.host)
        .map(|to| (to, ports(from, to, checks)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let targets = others
        .iter()
        .flat_map(|(to, ports)| ports.iter().map(|port| target(to, *port)));
    let command = RemoteCommand::script(REACH)
        .args(targets)
        .timeout(Duration::from_secs(60));
    let answer = match world.run(from.host, command).await {
        Ok(answer) => answer.text(),
        Err(error) => return vec![unknown(&from.name, WAYS, &error)],
    };
    match parse_reach(&answer) {
        Err(e) => vec![warn(&from.name, WAYS, e.to_string(), "Look again.")],
        Ok(found) => others
            .iter()
            .map(|(to, ports)| way(from, to, ports, &found))
            .collect(),
    }
}

/// What the panel sees of a cluster it sees at the API's port.
async fn from_panel(world: &dyn World, to: &ApiHost) -> Fact {
    let name = "Way from the panel";
    let api = TlsTarget::new(&to.address, API_PORT);
    let lost = world.handshake(&api).await.err().filter(|error| {
        matches!(
            error,
            WorldError::TimedOut { .. }
                | WorldError::Unreachable {
                    kind: UnreachableKind::Dns
                        | UnreachableKind::TimedOut
                        | UnreachableKind::NoRoute,
                    ..
                }
        )
    });
    match lost {
        None => pass(&to.name, name, format!("TCP {API_PORT} comes through")),
        Some(error) => fail(
            &to.name,
            name,
            format!("{}: {error}", api.endpoint()),
            format!(
                "Allow TCP {API_PORT} from the panel's machine to {}: it asks the API there.",
                to.address
            ),
        ),
    }
}

fn target(to: &ApiHost, port: u16) -> String {
    match to.address.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{port}", to.address),
    }
}

fn way(from: &ApiHost, to: &ApiHost, ports: &[u16], found: &[Reachability]) -> Fact {
    let name = format!("Way to {}", to.name);
    let reach = |port: u16| {
        found
            .iter()
            .find(|r| r.target == target(to, port))
            .map_or(Reach::Unknown, |r| r.reach)
    };
    let with = |passes: Option<bool>| -> Vec<String> {
        ports
            .iter()
            .filter(|port| reach(**port).passes() == passes)
            .map(u16::to_string)
            .collect()
    };
    let (blocked, unknown) = (with(Some(false)), with(None));
    let list = |ports: &[String]| ports.join(", ");
    if !blocked.is_empty() {
        fail(
            &from.name,
            &name,
            format!("TCP {} does not come through", list(&blocked)),
            format!(
                "Allow it from {} to {} ({}): something between them drops it.",
                from.name, to.name, to.address
            ),
        )
    } else if !unknown.is_empty() {
        warn(
            &from.name,
            &name,
            format!("TCP {} could not be tried", list(&unknown)),
            "bash, python3 or nc on the host makes it possible.",
        )
    } else {
        pass(
            &from.name,
            &name,
            format!("TCP {} comes through", list(&with(Some(true)))),
        )
    }
}

/// The endpoint leads to a load balancer, or without one to a server.
async fn endpoint(world: &dyn World, cluster: &str, asked: &ApiHost, checks: &Checks) -> Fact {
    let behind: Vec<&str> = if checks.load_balancers.is_empty() {
        checks
            .servers
            .iter()
            .chain(&checks.peers)
            .map(|s| s.address.as_str())
            .collect()
    } else {
        checks
            .load_balancers
            .iter()
            .map(|lb| lb.address.as_str())
            .collect()
    };
    let found = match addresses(world, cluster, asked, &checks.endpoint).await {
        Ok(found) => found,
        Err(fact) => return *fact,
    };
    let value = format!("{} is {}", checks.endpoint, found.join(", "));
    if !found.is_empty()
        && found
            .iter()
            .all(|address| behind.contains(&address.as_str()))
    {
        return pass(cluster, "Endpoint", value);
    }
    let value = if found.is_empty() {
        format!("{} does not resolve on {}", checks.endpoint, asked.name)
    } else {
        value
    };
    warn(
        cluster,
        "Endpoint",
        value,
        format!(
            "Clients will use this name: let it lead to {}.",
            behind.join(" or ")
        ),
    )
}

/// Those of an endpoint, as a host has them. `Err`: it cannot be asked, as a fact.
pub(in crate::workflows) async fn addresses(
    world: &dyn World,
    cluster: &str,
    asked: &ApiHost,
    endpoint: &Address,
) -> Result<Vec<String>, Box<Fact>> {
    if let Some(ip) = endpoint.ip() {
        return Ok(vec![ip.to_string()]);
    }
    let answer = world
        .run(
            asked.host,
            RemoteCommand::script(RESOLVE).arg(endpoint.as_str()),
        )
        .await;
    match answer {
        Ok(answer) => Ok(answer.text().lines().map(str::to_owned).collect()),
        Err(error) => Err(Box::new(unknown(cluster, "Endpoint", &error))),
    }
}
