//! The evidence for a removal: those that stay must be whole, and the one that goes must be what the form says.

use coxswain_engine::plan::Plan;
use coxswain_k3s::haproxy::Section;
use coxswain_k3s::preflight::{DatastoreKind, HostFacts};
use coxswain_wire::{Fact, StageIndex, Verdict};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::balancer::{self, Foreign};
use super::super::facts::living::{self, Living};
use super::super::facts::{
    at_once, bound, checks_of, connection, disks, fail, jobs, pass, pods, shown, unknown, warn,
};
use super::super::nodes::Node;
use super::Leaving;
use crate::steps::ApiHost;
use crate::steps::dead::{self, Machine};
use crate::steps::inspect::inspect;
use crate::steps::kube::of_first;
use crate::steps::quorum;
use crate::world::{World, WorldError};

/// The fact of a host that does not answer.
const CONNECTION: &str = "Connection";

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::workflows) struct Checks {
    staying: Living,
    node: ApiHost,
    server: bool,
    lost: bool,
    /// Further lost nodes, which leave with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_lost: Vec<ApiHost>,
    /// Its machine joins in its place: a lost one answers, with nothing on it.
    pub(in crate::workflows) same_machine: bool,
    /// Load balancers that lose a server.
    #[serde(default)]
    pub(in crate::workflows) load_balancers: Vec<ApiHost>,
    /// What they have afterwards.
    #[serde(default)]
    section: Option<Section>,
}

impl Checks {
    pub(in crate::workflows) fn new(request: &Leaving) -> Self {
        let also_lost: Vec<ApiHost> = request.also_lost.iter().map(Node::api).collect();
        Self {
            staying: Living {
                leaving: Some(request.node.api()),
                also_lost: also_lost.clone(),
                needed: request.nodes.needed(&[]),
                ..request.after().living()
            },
            node: request.node.api(),
            server: request.servers_go(),
            lost: request.lost,
            also_lost,
            same_machine: false,
            load_balancers: request.balancers().map(Node::api).collect(),
            section: Some(request.nodes.section(&request.staying())),
        }
    }

    /// Everything that leaves.
    fn gone(&self) -> impl Iterator<Item = &ApiHost> {
        std::iter::once(&self.node).chain(&self.also_lost)
    }
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    let checks: Checks = match checks_of(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    of_checks(context, &plan.cluster_name, &checks).await
}

/// The facts of these checks.
pub(in crate::workflows) async fn of_checks(
    context: &PreflightContext,
    cluster: &str,
    checks: &Checks,
) -> Vec<Fact> {
    let mut facts = living::facts(context, cluster, &checks.staying).await;
    if checks.lost {
        facts.iter_mut().for_each(another_lost);
    }
    if checks.server {
        facts.push(without(context, cluster, checks).await);
    }
    if let Some(section) = &checks.section {
        let gone: Vec<ApiHost> = checks.gone().cloned().collect();
        let foreign = Foreign::Kept { leaving: &gone };
        let world = &*context.services.world;
        let (of_balancers, _) =
            balancer::facts(world, &checks.load_balancers, section, foreign).await;
        facts.extend(of_balancers);
    }
    if checks.lost {
        let gone = checks.gone().map(|node| lost(context, checks, node));
        facts.extend(at_once(gone.collect()).await.into_iter().flatten());
    } else {
        facts.extend(reachable(context, checks).await);
    }
    facts
}

/// Where one machine is lost, another one that does not answer may be lost, too: a person has to say so.
fn another_lost(fact: &mut Fact) {
    if fact.name == CONNECTION && fact.verdict == Verdict::Fail {
        fact.advice = Some(
            "Bring it back first. If it is lost for good as well, start again and name it among the other hosts that are lost."
                .to_owned(),
        );
    }
}

/// The quorum of those that stay, counted while what goes is still a member.
async fn without(context: &PreflightContext, cluster: &str, checks: &Checks) -> Fact {
    let gone: Vec<&str> = checks.gone().map(|node| node.name.as_str()).collect();
    let name = format!("Quorum without {}", gone.join(", "));
    let world = &*context.services.world;
    let advice = "Bring the other servers back first; if that cannot be, the cluster's page has the recovery guide.";
    match quorum::without(world, &checks.node, &checks.staying.servers).await {
        Err(why) => fail(cluster, &name, why, advice),
        Ok(without) => {
            let now = without.quorum;
            let value = format!(
                "{} of {} members healthy, {} needed",
                now.healthy, now.members, now.needed
            );
            // The last but one leaves while it runs: its own vote still counts then.
            let leaves_alive = now.members == 2 && !checks.lost && now.healthy == 1;
            let verdict = if now.holds() || leaves_alive {
                Verdict::Pass
            } else {
                Verdict::Fail
            };
            // There are fewer once the run has taken one out.
            bound(cluster, &name, value, verdict, advice)
        }
    }
}

/// A node that is said to be lost must not be alive.
async fn lost(context: &PreflightContext, checks: &Checks, node: &ApiHost) -> Vec<Fact> {
    const ADVICE: &str = "It is alive: start again and choose that its machine answers, or turn it off for good first.";
    let name = node.name.as_str();
    let world = &*context.services.world;
    let mut facts = Vec::new();
    // The same machine, installed anew: the facts of the join tell what is on it.
    if !(checks.same_machine && node.host == checks.node.host) {
        match inspect(world, node.host).await {
            Err(error) => facts.extend(unasked(world, node, error).await),
            Ok(found) => facts.push(match at_work(&found) {
                Some(what) => fail(
                    name,
                    "Machine",
                    format!("answers over SSH, and {what}"),
                    ADVICE,
                ),
                None => warn(
                    name,
                    "Machine",
                    "answers over SSH; neither k3s nor its data is there",
                    "Nothing is done on it. Make sure that it is the machine you mean.",
                ),
            }),
        }
    }
    facts.push(match of_first(world, &checks.staying.servers).await {
        Err(failure) => fail(
            name,
            "Lease",
            failure.into_error().message,
            "Check that the cluster runs.",
        ),
        Ok(kube) => match dead::renews(&*kube, name).await {
            Ok(true) => fail(name, "Lease", "is being renewed", ADVICE),
            Ok(false) => pass(name, "Lease", "is not renewed any more"),
            Err(failure) => fail(
                name,
                "Lease",
                failure.into_error().message,
                "Check that the cluster runs.",
            ),
        },
    });
    facts
}

/// A machine that is said to be lost and cannot be signed in to: silent, or on after all.
pub(in crate::workflows) async fn unasked(
    world: &dyn World,
    node: &ApiHost,
    error: WorldError,
) -> Vec<Fact> {
    const NAME: &str = "Machine";
    let name = node.name.as_str();
    match dead::after(world, node.host, error).await {
        // How it is silent differs from look to look, and binds nobody.
        Machine::Silent(how) => vec![
            pass(name, NAME, "does not answer"),
            shown(name, "Connection", how),
        ],
        Machine::Answers(how) => vec![
            warn(
                name,
                NAME,
                "is on, but nobody can look what runs on it",
                "Make sure by its console that k3s does not run on it, or turn it off: nothing is done on it.",
            ),
            shown(name, "Connection", how),
        ],
        Machine::Unknown(error) => {
            let mut fact = unknown(name, NAME, &error);
            fact.advice = Some("This says nothing about the machine. Correct its entry in the inventory (its last IP address will do), and collect the evidence again.".to_owned());
            vec![fact]
        }
    }
}

/// What a machine still has of its cluster, if so.
fn at_work(found: &HostFacts) -> Option<String> {
    let unit = [&found.k3s_unit, &found.agent_unit]
        .into_iter()
        .find(|unit| unit.is_alive());
    if let Some(unit) = unit {
        return Some(format!("{} is {}", unit.unit, unit.state));
    }
    match found.datastore {
        DatastoreKind::None => None,
        DatastoreKind::Sqlite | DatastoreKind::Etcd | DatastoreKind::Remains => {
            Some("the data of its cluster is on it".to_owned())
        }
    }
}

/// A node that goes in good order: it answers, and its pods can move.
async fn reachable(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    let name = checks.node.name.as_str();
    let world = &*context.services.world;
    let found = match inspect(world, checks.node.host).await {
        Ok(found) => found,
        Err(error) => {
            let mut fact = connection(name, &error);
            fact.advice =
                Some("Bring it back, or start again and say that its machine is lost.".to_owned());
            return vec![fact];
        }
    };
    let mut facts = vec![pass(name, "Connection", "signed in over SSH, root by sudo")];
    facts.extend(disks(name, &found));
    facts.extend(jobs(world, &checks.node, context.run).await);
    match of_first(world, &checks.staying.servers).await {
        Ok(kube) => facts.extend(pods::facts(&*kube, name).await),
        Err(failure) => facts.push(fail(
            name,
            "Pods",
            failure.into_error().message,
            "Check that the cluster runs.",
        )),
    }
    facts
}
