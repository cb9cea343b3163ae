//! A living cluster against what the inventory says of it, as facts: each host for itself, then all of them
//! together. Reads only, hosts side by side. A fact that fails says what to do before the cluster can be
//! taken over.
//!
//! The subject of a fact is a host's name, or the cluster's for what is about all of them.

mod balancers;
mod certificate;
mod cluster;
pub(super) mod host;
mod told;

use coxswain_k3s::haproxy::Section;
use coxswain_k3s::names::Address;
use coxswain_wire::{Fact, FactKind, Verdict};
use futures::StreamExt as _;
use futures::stream;
use serde::{Deserialize, Serialize};

use super::kube::ApiHost;
use super::restart::NodeRole;
use crate::world::{Script, World};

/// Hosts that are asked at a time.
const AT_ONCE: usize = 8;

/// A cluster as the inventory has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// All agents.
    pub agents: Vec<ApiHost>,
    /// All load balancers.
    pub load_balancers: Vec<ApiHost>,
    /// Where clients find the API.
    pub endpoint: Address,
    /// What the panel would write into haproxy.cfg.
    pub section: Section,
}

impl Expected {
    fn with_k3s(&self) -> impl Iterator<Item = (&ApiHost, NodeRole)> {
        let servers = self.servers.iter().map(|s| (s, NodeRole::Server));
        servers.chain(self.agents.iter().map(|a| (a, NodeRole::Agent)))
    }
}

/// Everything that was read, in the order to show.
pub(crate) async fn survey(world: &dyn World, cluster: &str, expected: &Expected) -> Vec<Fact> {
    let reads: Vec<_> = expected
        .with_k3s()
        .map(|(node, role)| host::read(world, node, role))
        .collect();
    let hosts: Vec<host::Read<'_>> = stream::iter(reads).buffered(AT_ONCE).collect().await;
    let mut facts: Vec<Fact> = hosts.iter().flat_map(|h| h.facts.clone()).collect();
    facts.extend(cluster::facts(world, cluster, expected, &hosts).await);
    facts.extend(certificate::facts(world, cluster, expected, &hosts).await);
    facts.extend(balancers::facts(world, expected).await);
    facts
}

/// What stands in the way, in words.
pub(crate) fn obstacles(facts: &[Fact]) -> Vec<String> {
    facts
        .iter()
        .filter(|fact| fact.verdict == Verdict::Fail)
        .map(|fact| format!("{}, {}: {}", fact.subject, fact.name, fact.value))
        .collect()
}

fn fact(subject: &str, name: &str, value: impl Into<String>, verdict: Verdict) -> Fact {
    Fact {
        subject: subject.to_owned(),
        name: name.to_owned(),
        value: value.into(),
        kind: FactKind::Equal,
        verdict,
        advice: None,
        diff: None,
        next: None,
    }
}

fn pass(subject: &str, name: &str, value: impl Into<String>) -> Fact {
    fact(subject, name, value, Verdict::Pass)
}

fn warn(subject: &str, name: &str, value: impl Into<String>, advice: impl Into<String>) -> Fact {
    Fact {
        advice: Some(advice.into()),
        ..fact(subject, name, value, Verdict::Warn)
    }
}

fn fail(subject: &str, name: &str, value: impl Into<String>, advice: impl Into<String>) -> Fact {
    Fact {
        advice: Some(advice.into()),
        ..fact(subject, name, value, Verdict::Fail)
    }
}
