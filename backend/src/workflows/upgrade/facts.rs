//! The evidence for an upgrade: a whole cluster, a version that every node may go to, and what the drains will
//! do. Reads only.

mod node;
mod workloads;

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_engine::step::Output;
use coxswain_k3s::install::Source;
use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::upgrade::{
    FIRST_READY_FOR_ETCD_3_6, Way, agent_fits, brings_etcd_3_6, ready_for_etcd_3_6, tolerated_lag,
    way,
};
use coxswain_wire::{Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::living::{self, Living};
use super::super::facts::{at_once, checks_of, fail, pass, warn};
use crate::steps::etcd::EtcdLook;
use crate::steps::kube::of_first;
use crate::steps::resolve_release::{self, resolve};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::{place_k3s, restart_into};
use crate::world::{KubeNode, World};

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    /// The cluster.
    pub(super) living: Living,
    /// All nodes, in the order of the upgrade.
    pub(super) targets: Vec<Target>,
    /// Which k3s.
    pub(super) release: resolve_release::Params,
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let mut checks: Checks = match checks_of(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    let cluster = plan.cluster_name.as_str();
    checks.living = checks
        .living
        .with_begun(plan, state, &[place_k3s::KIND, restart_into::KIND]);
    let mut facts = living::facts(context, cluster, &checks.living).await;
    let wanted = match resolved(plan, state) {
        Some(version) => Ok(Ok(version)),
        None => resolve(&*context.services.world, &checks.release).await,
    };
    let wanted = match wanted {
        Ok(Ok(version)) => version,
        Ok(Err(why)) => {
            facts.push(not_found(cluster, why));
            return facts;
        }
        Err(failure) => {
            facts.push(not_found(cluster, failure.into_error().message));
            return facts;
        }
    };
    facts.push(target(cluster, &checks.release.source, &wanted));
    let world = &*context.services.world;
    let kube = match of_first(world, &checks.living.servers).await {
        Ok(kube) => kube,
        // Told by the cluster's own facts.
        Err(_) => return facts,
    };
    let nodes = match kube.nodes().await {
        Ok(nodes) => nodes,
        Err(_) => return facts,
    };
    let versions = Versions::of(&checks.targets, &nodes);
    let ways: Vec<(&Target, Option<Way>, Fact)> = checks
        .targets
        .iter()
        .map(|target| {
            let (way, fact) = versions.of_node(target, &wanted);
            (target, way, fact)
        })
        .collect();
    let moving: Vec<&Target> = ways
        .iter()
        .filter(|(_, way, _)| *way != Some(Way::There))
        .map(|(target, _, _)| *target)
        .collect();
    let goes_up = ways
        .iter()
        .filter(|(target, way, _)| *way == Some(Way::Up) && target.role == NodeRole::Server);
    let of_etcd = goes_up.map(|(target, _, _)| etcd(world, target, &wanted));
    let of_etcd = at_once(of_etcd.collect()).await;
    facts.extend(ways.into_iter().map(|(_, _, fact)| fact));
    facts.extend(of_etcd.into_iter().flatten());
    let source = &checks.release.source;
    // Where the installer was cut short, its own step knows what stood there before.
    let each = moving
        .iter()
        .filter(|target| checks.living.is_up(&target.node))
        .map(|target| node::facts(context, plan.cluster, target, source));
    facts.extend(at_once(each.collect()).await.into_iter().flatten());
    facts.extend(workloads::facts(cluster, &*kube, &moving).await);
    facts
}

/// What the run has found the channel to mean, or the files to be: that is installed, whatever the channel means by
/// now.
fn resolved(plan: &Plan, state: &RunState) -> Option<K3sVersion> {
    let mut steps = plan.steps();
    let (index, _, _) = steps.find(|(_, _, step)| step.kind == resolve_release::KIND)?;
    match state.steps[index as usize]
        .made
        .get(resolve_release::VERSION)?
    {
        Output::Value { value } => serde_json::from_value(value.clone()).ok(),
        Output::Secret { .. } | Output::Report { .. } => None,
    }
}

fn not_found(cluster: &str, why: String) -> Fact {
    fail(
        cluster,
        "Target",
        why,
        "Correct the channel, its server or the files, or give a version.",
    )
}

fn target(cluster: &str, source: &Source, wanted: &K3sVersion) -> Fact {
    if wanted.is_supported() {
        let from = match source {
            Source::Online { .. } => "downloaded by the installer",
            Source::AirGap { .. } => "as it lies on the hosts",
        };
        pass(cluster, "Target", format!("k3s {wanted}, {from}"))
    } else {
        fail(
            cluster,
            "Target",
            format!("k3s {wanted}"),
            "This version is too old for the steps of this procedure.",
        )
    }
}

/// Whether the etcd of the wanted version may follow on the one that a server runs; none if that makes no difference,
/// or etcd does not answer, which has a fact of its own.
async fn etcd(world: &dyn World, target: &Target, wanted: &K3sVersion) -> Option<Fact> {
    const NAME: &str = "etcd 3.6";
    if !brings_etcd_3_6(wanted) {
        return None;
    }
    let look = EtcdLook::take(world, target.node.host).await.ok()?.ok()?;
    let name = target.node.name.as_str();
    let version = look
        .version
        .unwrap_or_else(|| "an unknown version".to_owned());
    Some(if ready_for_etcd_3_6(&version) {
        pass(name, NAME, format!("may follow on etcd {version}"))
    } else {
        fail(
            name,
            NAME,
            format!("{wanted} brings it, and this server runs etcd {version}"),
            format!(
                "Members that were removed long ago could come back. Upgrade to {FIRST_READY_FOR_ETCD_3_6} first: it brings etcd 3.5.26 or later, which prevents that."
            ),
        )
    })
}

/// What every node reports.
struct Versions<'a> {
    nodes: &'a [KubeNode],
    servers: Vec<&'a str>,
}

impl<'a> Versions<'a> {
    fn of(targets: &'a [Target], nodes: &'a [KubeNode]) -> Self {
        let servers = targets.iter().filter(|t| t.role == NodeRole::Server);
        Self {
            nodes,
            servers: servers.map(|t| t.node.name.as_str()).collect(),
        }
    }

    fn seen(&self, name: &str) -> Option<Result<K3sVersion, &'a str>> {
        let node = self.nodes.iter().find(|n| n.name == name)?;
        Some(node.version.parse().map_err(|_| node.version.as_str()))
    }

    /// Every server runs it already.
    fn servers_run(&self, wanted: &K3sVersion) -> bool {
        self.servers
            .iter()
            .all(|name| self.seen(name).is_some_and(|v| v.as_ref() == Ok(wanted)))
    }

    /// Whether a node may go there; the way, where there is one.
    fn of_node(&self, target: &Target, wanted: &K3sVersion) -> (Option<Way>, Fact) {
        const NAME: &str = "Upgrade";
        let name = target.node.name.as_str();
        let from = match self.seen(name) {
            None => {
                let advice = "Correct the host's name in the inventory, or join it first.";
                return (
                    None,
                    fail(name, NAME, "the cluster has no such node", advice),
                );
            }
            Some(Err(odd)) => {
                let advice = "This is no release of k3s that the panel knows.";
                return (None, fail(name, NAME, format!("it runs {odd:?}"), advice));
            }
            Some(Ok(version)) => version,
        };
        let value = format!("{from} \u{2192} {wanted}");
        let way = way(&from, wanted);
        let fact = match (way, target.role) {
            (Way::There, _) => pass(name, NAME, format!("runs {wanted} already")),
            (Way::Down, _) => fail(
                name,
                NAME,
                value,
                "k3s does not go back to an older version: choose this one or a newer one.",
            ),
            (Way::Up | Way::Skips, NodeRole::Agent) if !agent_fits(&from, wanted) => fail(
                name,
                NAME,
                value,
                format!(
                    "The servers would be too new for this agent: at most {} minor versions. Upgrade to a version between first.",
                    tolerated_lag(&from)
                ),
            ),
            // Nothing of the control plane moves any more.
            (Way::Skips, NodeRole::Agent) if self.servers_run(wanted) => warn(
                name,
                NAME,
                value,
                "Follows the servers at last, over a minor version that it never ran.",
            ),
            (Way::Skips, _) => fail(
                name,
                NAME,
                value,
                format!(
                    "No minor version may be skipped: upgrade to v{}.{} first.",
                    from.major(),
                    from.minor() + 1
                ),
            ),
            (Way::Up, _) => pass(name, NAME, value),
        };
        (Some(way), fact)
    }
}
