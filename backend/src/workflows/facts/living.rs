//! The evidence about a cluster that lives: every server and agent at work, etcd whole, nodes Ready, one
//! version. What changes a living cluster starts from here. Reads only; hosts are asked side by side.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_k3s::etcd::{Member, quorum};
use coxswain_k3s::names::{K3sVersion, San};
use coxswain_wire::{Fact, FactKind, HostId, StepStatus, Verdict};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::install_form::oldest_supported;
use super::{at_once, bound, connection, fail, jobs, pass, served, warn};
use crate::steps::ApiHost;
use crate::steps::etcd::{EtcdLook, is_of, name_of};
use crate::steps::kube::of_server;
use crate::steps::quorum::list;
use crate::steps::restart::NodeRole;
use crate::steps::unit::UnitLook;
use crate::world::KubeNode;

const MEMBERS: &str =
    "All members must be healthy before this run takes one of them down, or changes them.";

/// A cluster as the inventory has it; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::workflows) struct Living {
    /// All servers.
    pub(in crate::workflows) servers: Vec<ApiHost>,
    /// All agents.
    pub(in crate::workflows) agents: Vec<ApiHost>,
    /// A node that the run takes out: nothing is asked of it here, and its member may be down.
    pub(in crate::workflows) leaving: Option<ApiHost>,
    /// Lost nodes that the run takes out with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::workflows) also_lost: Vec<ApiHost>,
    /// See [`Living::with_begun`].
    #[serde(skip)]
    pub(in crate::workflows) begun: Option<HostId>,
    /// Nodes of the cluster that are not in the inventory.
    #[serde(default, skip_serializing_if = "Strangers::is_default")]
    pub(in crate::workflows) strangers: Strangers,
    /// Names that the run will ask the API for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::workflows) needed: Vec<San>,
    /// By then another version of k3s runs: what this one would learn counts for nothing, and which one a node runs is
    /// bound node by node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::workflows) other_version: bool,
}

/// What nodes that are not in the inventory mean for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::workflows) enum Strangers {
    /// The run has nothing to do with them.
    #[default]
    Untouched,
    /// They would be left behind by what the run does to all the others.
    LeftBehind,
}

impl Strangers {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands a reference over"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Living {
    /// For a run that does something to every node of the cluster.
    pub(in crate::workflows) fn of_all_nodes(mut self) -> Self {
        self.strangers = Strangers::LeftBehind;
        self
    }

    /// For a run that reaches the API at these names in the end.
    pub(in crate::workflows) fn reached_at(mut self, names: Vec<San>) -> Self {
        self.needed = names;
        self
    }

    /// The same for a run that ends with another version of k3s.
    pub(in crate::workflows) fn by_another_version(mut self) -> Self {
        self.other_version = true;
        self
    }

    /// The same, told on which node the run has begun a step of one of these kinds and not seen it to its end: it may
    /// be down, and trying again is what brings it back.
    pub(in crate::workflows) fn with_begun(
        mut self,
        plan: &Plan,
        state: &RunState,
        kinds: &[&str],
    ) -> Self {
        let begun = |host: &&ApiHost| {
            plan.steps().any(|(index, _, step)| {
                let at = &state.steps[index as usize];
                step.target == host.name
                    && kinds.contains(&step.kind.as_str())
                    && at.attempt > 0
                    && at.status != StepStatus::Succeeded
            })
        };
        let mut nodes = self.servers.iter().chain(&self.agents);
        self.begun = nodes.find(begun).map(|node| node.host);
        self
    }

    /// Its k3s should be at work: the run has begun nothing on this node.
    pub(in crate::workflows) fn is_up(&self, node: &ApiHost) -> bool {
        self.begun != Some(node.host)
    }

    /// Nodes that the run takes out.
    fn gone(&self) -> impl Iterator<Item = &ApiHost> + Clone {
        self.leaving.iter().chain(&self.also_lost)
    }

    fn leaves(&self, node: &str) -> bool {
        self.gone().any(|host| host.name == node)
    }
}

/// What one server says.
struct Seen<'a> {
    node: &'a ApiHost,
    etcd: Option<EtcdLook>,
    facts: Vec<Fact>,
}

/// The facts: of each host, then of the cluster.
pub(in crate::workflows) async fn facts(
    context: &PreflightContext,
    cluster: &str,
    living: &Living,
) -> Vec<Fact> {
    let servers: Vec<Seen<'_>> = at_once(
        living
            .servers
            .iter()
            .filter(|s| living.is_up(s))
            .map(|s| of_server_host(context, s))
            .collect(),
    )
    .await;
    let agents: Vec<Vec<Fact>> = at_once(
        living
            .agents
            .iter()
            .filter(|a| living.is_up(a))
            .map(|a| of_host(context, a, NodeRole::Agent))
            .collect(),
    )
    .await;
    let of_etcd = etcd(cluster, living, &servers);
    let mut facts: Vec<Fact> = servers
        .into_iter()
        .flat_map(|seen| seen.facts)
        .chain(agents.into_iter().flatten())
        .collect();
    facts.extend(of_etcd);
    facts.extend(nodes(context, cluster, living).await);
    if !living.needed.is_empty() {
        let world = &*context.services.world;
        let servers = &living.servers;
        let learning = !living.other_version;
        facts.push(served::names(world, cluster, servers, &living.needed, learning).await);
    }
    facts
}

async fn of_server_host<'a>(context: &PreflightContext, node: &'a ApiHost) -> Seen<'a> {
    let mut facts = of_host(context, node, NodeRole::Server).await;
    let etcd = match EtcdLook::take(&*context.services.world, node.host).await {
        Ok(Ok(look)) => Some(look),
        Ok(Err(why)) => {
            facts.push(fail(&node.name, "etcd", why, MEMBERS));
            None
        }
        // The connection's own fact says so already.
        Err(_) => None,
    };
    if let Some(look) = &etcd {
        facts.push(if !look.healthy {
            fail(&node.name, "etcd", "the member is not healthy", MEMBERS)
        } else if look.votes(node) {
            pass(&node.name, "etcd", "the member is healthy and votes")
        } else {
            fail(
                &node.name,
                "etcd",
                "the member does not vote yet",
                "Wait until it has caught up.",
            )
        });
    }
    Seen { node, etcd, facts }
}

/// Connection, unit, and jobs of ours.
async fn of_host(context: &PreflightContext, node: &ApiHost, role: NodeRole) -> Vec<Fact> {
    let world = &*context.services.world;
    let (name, unit) = (node.name.as_str(), role.unit());
    let look = match world.boot_id(node.host).await {
        Ok(_) => UnitLook::take(world, node.host, unit, None).await,
        Err(error) => return vec![connection(name, &error)],
    };
    let mut facts = vec![pass(name, "Connection", "signed in over SSH, root by sudo")];
    let advice = format!("Look at its journal: journalctl -u {unit}.");
    facts.push(match look {
        Err(failure) => fail(name, "k3s", failure.into_error().message, advice),
        Ok(look) if look.active() => pass(name, "k3s", format!("{unit} is active")),
        Ok(look) if look.loaded => fail(name, "k3s", format!("{unit} is {}", look.state), advice),
        Ok(_) => fail(
            name,
            "k3s",
            format!("{unit} is not installed"),
            "Correct the host's role in the inventory, or join it first.",
        ),
    });
    facts.extend(jobs(world, node, context.run).await);
    facts
}

/// Members and quorum, each server asked for itself.
fn etcd(cluster: &str, living: &Living, servers: &[Seen<'_>]) -> Vec<Fact> {
    const NAME: &str = "etcd";
    let looks = servers.iter();
    let looks = looks.filter_map(|seen| Some((seen.node, seen.etcd.as_ref()?)));
    let hosts = living.servers.iter().chain(living.gone());
    let listed = match list(looks, hosts) {
        Ok(Some(listed)) => listed,
        Ok(None) => {
            let advice = "Quorum may be lost: the cluster's page has the recovery guide.";
            return vec![fail(cluster, NAME, "no server gives a member list", advice)];
        }
        Err(why) => {
            let advice = "One of them runs as a cluster of its own, or does not follow the others: take it out with \u{201c}Remove a node\u{201d}, and let it join anew.";
            return vec![fail(cluster, "Members", why, advice)];
        }
    };
    let wanted: BTreeSet<&str> = living.servers.iter().map(|s| s.name.as_str()).collect();
    let stays = |m: &&Member| !living.gone().any(|host| is_of(m, host));
    let members: BTreeSet<&str> = listed
        .members
        .members
        .iter()
        .filter(stays)
        .map(|m| name_of(m, living.servers.iter()))
        .collect();
    let names = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let mut facts = vec![if wanted == members {
        pass(cluster, "Members", names(&members))
    } else {
        fail(
            cluster,
            "Members",
            format!(
                "etcd has {}; the inventory has the servers {}",
                names(&members),
                names(&wanted)
            ),
            "Bring the inventory and the cluster together first.",
        )
    }];
    let healthy = servers
        .iter()
        .filter(|s| {
            s.etcd
                .as_ref()
                .is_some_and(|e| e.healthy && e.votes(s.node))
        })
        .count();
    let begun = living.servers.iter().find(|s| !living.is_up(s));
    let counts = |m: &&Member| !begun.is_some_and(|host| is_of(m, host));
    let voters = listed.members.members.iter().filter(stays).filter(counts);
    let now = quorum(voters.filter(|m| m.votes()).count(), healthy);
    let value = format!(
        "{} of {} members healthy, {} needed",
        now.healthy, now.members, now.needed
    );
    let verdict = if now.healthy == now.members {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    // Which members there are is the fact before; how many of them must be up is another number in a retry.
    facts.push(bound(cluster, NAME, value, verdict, MEMBERS));
    facts
}

/// What the API says of the nodes.
async fn nodes(context: &PreflightContext, cluster: &str, living: &Living) -> Vec<Fact> {
    match listed(context, living).await {
        Err(why) => vec![fail(cluster, "API", why, "Check that the cluster runs.")],
        Ok(nodes) => of_nodes(cluster, living, &nodes),
    }
}

/// The nodes, from the first server whose API answers.
async fn listed(context: &PreflightContext, living: &Living) -> Result<Vec<KubeNode>, String> {
    let mut whys = Vec::new();
    for server in &living.servers {
        match of_server(&*context.services.world, server).await {
            Ok(Some(kube)) => match kube.nodes().await {
                Ok(nodes) => return Ok(nodes),
                Err(e) => whys.push(e.to_string()),
            },
            Ok(None) => whys.push(format!("{} has no kubeconfig", server.name)),
            Err(failure) => whys.push(failure.into_error().message),
        }
    }
    Err(whys.join("; "))
}

fn of_nodes(cluster: &str, living: &Living, nodes: &[KubeNode]) -> Vec<Fact> {
    let known = || living.servers.iter().chain(&living.agents);
    let mut facts: Vec<Fact> = known()
        .filter(|host| living.is_up(host))
        .map(|host| match nodes.iter().find(|n| n.name == host.name) {
            None => fail(
                &host.name,
                "Node",
                "the cluster has no node of this name",
                "Correct the host's name in the inventory, or join it first.",
            ),
            Some(node) if !node.ready => fail(
                &host.name,
                "Node",
                "not Ready",
                "Bring this node back first.",
            ),
            Some(node) if node.cordoned => warn(
                &host.name,
                "Node",
                "Ready, cordoned",
                "Somebody keeps new pods off it; this run leaves that as it is.",
            ),
            Some(_) => pass(&host.name, "Node", "Ready"),
        })
        .collect();
    let strangers: Vec<&str> = nodes
        .iter()
        .map(|n| n.name.as_str())
        .filter(|name| !known().any(|host| host.name == *name) && !living.leaves(name))
        .collect();
    if !strangers.is_empty() {
        let value = format!("not in the inventory: {}", strangers.join(", "));
        facts.push(match living.strangers {
            Strangers::Untouched => warn(
                cluster,
                "Nodes",
                value,
                "This run does not touch them. Enroll them if they should belong to the cluster.",
            ),
            Strangers::LeftBehind => fail(
                cluster,
                "Nodes",
                value,
                "They would be left behind with what they have now. Enroll them as hosts of this cluster, or remove their nodes from it; then start again.",
            ),
        });
    }
    let versions: BTreeSet<&str> = nodes.iter().map(|n| n.version.as_str()).collect();
    let listed = versions.iter().copied().collect::<Vec<_>>().join(", ");
    let old = |version: &&str| {
        let version = version.parse::<K3sVersion>();
        version.is_ok_and(|version| !version.is_supported())
    };
    let version = if versions.iter().any(old) {
        let value = format!("{listed}: {}", oldest_supported());
        let advice = "Upgrade the cluster with its own means first.";
        fail(cluster, "Version", value, advice)
    } else if versions.len() < 2 {
        pass(cluster, "Version", listed)
    } else {
        let advice = "An upgrade may be half done: finish it soon.";
        warn(cluster, "Version", listed, advice)
    };
    facts.push(if living.other_version {
        Fact {
            kind: FactKind::Shown,
            ..version
        }
    } else {
        version
    });
    facts
}
