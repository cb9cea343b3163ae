//! The evidence for installing k3s on hosts. Reads only; hosts are asked side by side.
//!
//! The subject of a fact is a host's name, or the cluster's for what is about all of them: that is how the
//! engine knows which facts a run has changed itself. What no run changes has a subject of its own, see [`machine`].

pub(super) mod balancer;
pub(super) mod diff;
pub(super) mod files;
mod host;
pub(super) mod living;
pub(super) mod machine;
pub(super) mod pods;
mod ports;
pub(super) mod reach;
mod remains;
pub(super) mod served;
pub(super) mod source;
pub(super) mod token_place;

pub(super) use host::space as room;
pub(super) use remains::{disks, jobs};

use std::collections::BTreeMap;

use coxswain_engine::plan::Plan;
use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::haproxy::Section;
use coxswain_k3s::install::Source;
use coxswain_k3s::names::Address;
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::settings::Settings;
use coxswain_wire::{Fact, FactKind, StageIndex, Verdict};
use futures::StreamExt as _;
use futures::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::PreflightContext;
use crate::steps::ApiHost;
use crate::steps::inspect::inspect;
use crate::world::WorldError;
use balancer::Foreign;

/// Hosts that are asked at a time.
const AT_ONCE: usize = 8;

/// What a gate looks at; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    /// Hosts that become servers.
    pub(super) servers: Vec<ApiHost>,
    /// Hosts that become agents.
    pub(super) agents: Vec<ApiHost>,
    /// Load balancers.
    pub(super) load_balancers: Vec<ApiHost>,
    /// Servers that run already, which the new nodes must reach and be reached from.
    pub(super) peers: Vec<ApiHost>,
    /// What the load balancers will get.
    pub(super) section: Section,
    /// Where clients will find the API.
    pub(super) endpoint: Address,
    /// Where k3s comes from.
    pub(super) source: Source,
    /// More arguments of the first servers of a cluster, which decide what it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) server_args: Vec<String>,
    /// An old k3s is about to be removed: what is left of it is no obstacle.
    pub(super) cleaning: bool,
}

impl Checks {
    /// Hosts that get k3s.
    fn new_nodes(&self) -> impl Iterator<Item = &ApiHost> {
        self.servers.iter().chain(&self.agents)
    }

    fn is_server(&self, node: &ApiHost) -> bool {
        self.servers.contains(node)
    }
}

/// What the gate of a stage looks at, as its workflow planned it.
///
/// # Errors
/// The facts there are instead: one that fails if it does not decode, none if the stage has no gate.
pub(super) fn checks_of<T: DeserializeOwned>(
    plan: &Plan,
    stage: StageIndex,
) -> Result<T, Vec<Fact>> {
    let gate = plan
        .stages
        .get(stage as usize)
        .and_then(|s| s.gate.as_ref());
    let gate = gate.ok_or_else(Vec::new)?;
    serde_json::from_value(gate.preflight.clone()).map_err(|e| {
        vec![fail(
            &plan.cluster_name,
            "Plan",
            format!("what to check does not decode: {e}"),
            "Start a new run.",
        )]
    })
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    match checks_of::<Checks>(plan, stage) {
        Ok(checks) => of_checks(context, &plan.cluster_name, &checks, Foreign::Refused).await,
        Err(facts) => facts,
    }
}

/// The facts of these checks.
pub(super) async fn of_checks(
    context: &PreflightContext,
    cluster: &str,
    checks: &Checks,
    foreign: Foreign<'_>,
) -> Vec<Fact> {
    let world = &*context.services.world;
    let nodes = checks
        .new_nodes()
        .map(|node| of_node(context, node, checks))
        .collect();
    let looked: Vec<(&ApiHost, Option<String>, Vec<Fact>)> = at_once(nodes).await;
    let names = looked
        .iter()
        .filter_map(|(node, name, _)| Some((node.name.as_str(), name.clone()?)));
    let mut facts = vec![host_names(cluster, names)];
    let mut answering = Vec::new();
    for (node, name, found) in looked {
        facts.extend(found);
        if name.is_some() {
            answering.push(node);
        }
    }
    let of_source = source::facts(world, cluster, &answering, &checks.source).await;
    let (of_balancers, balancers) =
        balancer::facts(world, &checks.load_balancers, &checks.section, foreign).await;
    let of_ways = reach::facts(world, cluster, &answering, &balancers, checks).await;
    facts.extend(of_source.into_iter().chain(of_balancers).chain(of_ways));
    facts
}

/// A node's facts, and its own name for itself if it answers.
async fn of_node<'a>(
    context: &PreflightContext,
    node: &'a ApiHost,
    checks: &Checks,
) -> (&'a ApiHost, Option<String>, Vec<Fact>) {
    let world = &*context.services.world;
    match inspect(world, node.host).await {
        Err(error) => (node, None, vec![connection(&node.name, &error)]),
        Ok(found) => {
            let mut facts = host::facts(world, node, &found).await;
            facts.extend(ports::facts(node, &found, checks));
            if checks.is_server(node) && checks.peers.is_empty() {
                facts.extend(own_network(node, &found, &checks.server_args));
            }
            facts.extend(remains::facts(node, &found, checks.cleaning));
            facts.extend(remains::mark(context, node, &found, checks.cleaning).await);
            facts.extend(remains::jobs(world, node, context.run).await);
            (node, Some(found.hostname), facts)
        }
    }
}

/// Whether a first server leaves the network of pods to somebody else.
fn own_network(node: &ApiHost, found: &HostFacts, args: &[String]) -> Option<Fact> {
    let files = found.config_files.iter();
    let config = Config::merge(files.map(|f| (f.path.as_str(), f.text.as_str()))).ok()?;
    let told = Settings::effective(args, &config, &EnvFile::default());
    (!told.brings_network()).then(|| no_network(&node.name))
}

/// k3s brings no network: nodes are not Ready for a reason that this run cannot take away.
pub(super) fn no_network(subject: &str) -> Fact {
    warn(
        subject,
        "Network",
        "k3s brings none here (--flannel-backend=none)",
        "Nodes are not Ready, and no pod with a network starts, before you install your network plugin. This run does not wait for that; it verifies all the rest.",
    )
}

/// The results in order, a few under way at a time.
pub(super) async fn at_once<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    stream::iter(futures).buffered(AT_ONCE).collect().await
}

/// Node names come from the inventory, but host names that are equal point at cloned machines.
fn host_names<'a>(cluster: &str, names: impl Iterator<Item = (&'a str, String)>) -> Fact {
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, name) in names {
        by_name.entry(name).or_default().push(node);
    }
    let doubles: Vec<String> = by_name
        .iter()
        .filter(|(_, nodes)| nodes.len() > 1)
        .map(|(name, nodes)| format!("{} all call themselves {name}", nodes.join(", ")))
        .collect();
    if doubles.is_empty() {
        pass(cluster, "Host names", "each host has its own")
    } else {
        let advice = "Give each host a name of its own: hostnamectl set-hostname.";
        fail(cluster, "Host names", doubles.join("; "), advice)
    }
}

/// The one fact about a host that cannot be asked.
pub(super) fn connection(subject: &str, error: &WorldError) -> Fact {
    unknown(subject, "Connection", error)
}

/// A fact that could not be collected.
pub(super) fn unknown(subject: &str, name: &str, error: &WorldError) -> Fact {
    let advice = error
        .advice()
        .unwrap_or_else(|| "Test the connection on the host's page.".to_owned());
    fail(subject, name, error.to_string(), advice)
}

/// A fact that binds by its value, or by its verdict alone where the value moves by itself.
pub(super) fn fact(
    subject: &str,
    name: &str,
    value: impl Into<String>,
    kind: FactKind,
    verdict: Verdict,
) -> Fact {
    Fact {
        subject: subject.to_owned(),
        name: name.to_owned(),
        value: value.into(),
        diff: None,
        kind,
        verdict,
        advice: None,
        next: None,
    }
}

pub(super) fn pass(subject: &str, name: &str, value: impl Into<String>) -> Fact {
    fact(subject, name, value, FactKind::Equal, Verdict::Pass)
}

pub(super) fn warn(
    subject: &str,
    name: &str,
    value: impl Into<String>,
    advice: impl Into<String>,
) -> Fact {
    Fact {
        advice: Some(advice.into()),
        ..fact(subject, name, value, FactKind::Equal, Verdict::Warn)
    }
}

pub(super) fn fail(
    subject: &str,
    name: &str,
    value: impl Into<String>,
    advice: impl Into<String>,
) -> Fact {
    Fact {
        advice: Some(advice.into()),
        ..fact(subject, name, value, FactKind::Equal, Verdict::Fail)
    }
}

/// Only its verdict binds: its value moves by itself, or by what the run does.
pub(super) fn bound(
    subject: &str,
    name: &str,
    value: String,
    verdict: Verdict,
    advice: &str,
) -> Fact {
    let advice = (verdict != Verdict::Pass).then(|| advice.to_owned());
    Fact {
        advice,
        ..fact(subject, name, value, FactKind::Bound, verdict)
    }
}

pub(super) fn shown(subject: &str, name: &str, value: impl Into<String>) -> Fact {
    fact(subject, name, value, FactKind::Shown, Verdict::Pass)
}
