//! The evidence for an uninstall: what is deleted, and what stays on hosts that are lost.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_k3s::haproxy::{CONFIG_FILE, section_in};
use coxswain_k3s::names::ClusterName;
use coxswain_k3s::preflight::Leftover;
use coxswain_wire::{Fact, FactKind, HostId, StageIndex, Verdict};
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::{
    at_once, bound, checks_of, connection, disks, fail, jobs, pass, shown, warn,
};
use super::super::nodes::Node;
use super::super::remove_node::unasked;
use super::Request;
use crate::steps::ApiHost;
use crate::steps::inspect::{inspect, paths, remains};
use crate::steps::quorum;

/// What a lost host keeps.
const STAYS: &str = "Stays on its disk";
/// What a person does whose lost host answers.
const ALIVE: &str = "It is not lost: start again without it among the lost hosts. It is then cleaned like the others.";
/// What a person does whose target is a server.
const LEAVES: &str = "Its etcd member has to leave before k3s stops, or the others may lose quorum for good. Make it a server of the cluster in the inventory, then use \u{201c}Remove a node\u{201d}.";

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    targets: Vec<ApiHost>,
    whole: bool,
    /// Those that lose the cluster's section.
    load_balancers: Vec<ApiHost>,
    /// Servers and agents that nothing is done on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<ApiHost>,
    /// Load balancers that keep the cluster's section.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost_balancers: Vec<ApiHost>,
    /// Servers that go on without the targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    going_on: Vec<ApiHost>,
    /// Targets that were lost before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marked: Vec<HostId>,
}

impl Checks {
    pub(super) fn of(request: &Request) -> Self {
        let all = |nodes: Vec<&Node>| nodes.into_iter().map(Node::api).collect();
        Self {
            targets: request.targets.iter().map(Node::api).collect(),
            whole: request.whole,
            load_balancers: request.balancers().map(Node::api).collect(),
            lost: all(request.lost_with_k3s()),
            lost_balancers: all(request.lost_balancers()),
            going_on: request.going_on().iter().map(Node::api).collect(),
            marked: request.marked.iter().map(|m| m.host).collect(),
        }
    }

    /// In the inventory it is an agent of a cluster that goes on.
    fn is_agent(&self, node: &ApiHost) -> bool {
        !self.going_on.is_empty() && !self.marked.contains(&node.host)
    }
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    match checks_of::<Checks>(plan, stage) {
        Ok(checks) => facts(context, &plan.cluster_name, &checks).await,
        Err(facts) => facts,
    }
}

async fn facts(context: &PreflightContext, cluster: &str, checks: &Checks) -> Vec<Fact> {
    let of_hosts: Vec<Vec<Fact>> = at_once(
        checks
            .targets
            .iter()
            .map(|node| of_host(context, node, checks))
            .collect(),
    )
    .await;
    let mut facts: Vec<Fact> = of_hosts.into_iter().flatten().collect();
    facts.extend(members(context, checks).await);
    let lost = checks.lost.iter().map(|node| of_lost(context, node));
    facts.extend(at_once(lost.collect()).await.into_iter().flatten());
    for lb in &checks.load_balancers {
        facts.push(of_balancer(context, cluster, lb).await);
    }
    for lb in &checks.lost_balancers {
        facts.extend(of_lost_balancer(context, cluster, lb).await);
    }
    if checks.whole {
        facts.push(warn(
            cluster,
            "Outage",
            "intended: nothing of the cluster stays",
            "Save a snapshot and its token first if you may want it back.",
        ));
    }
    facts
}

/// Whether the cluster's section can be taken out.
async fn of_balancer(context: &PreflightContext, cluster: &str, lb: &ApiHost) -> Fact {
    let world = &*context.services.world;
    let file = match world.read_file(lb.host, CONFIG_FILE, 1024 * 1024).await {
        Ok(file) => file.unwrap_or_default(),
        Err(error) => return may_be_lost(connection(&lb.name, &error)),
    };
    let looked = match (std::str::from_utf8(&file), cluster.parse::<ClusterName>()) {
        (Ok(text), Ok(cluster)) => section_in(text, &cluster).map_err(|e| e.to_string()),
        (Err(_), _) => Err("is not UTF-8 text".to_owned()),
        (_, Err(e)) => Err(e.to_string()),
    };
    match looked {
        Ok(Some(_)) => pass(
            &lb.name,
            "haproxy.cfg",
            format!("the section of {cluster} is taken out"),
        ),
        Ok(None) => pass(
            &lb.name,
            "haproxy.cfg",
            format!("has no section of {cluster}"),
        ),
        Err(why) => fail(
            &lb.name,
            "haproxy.cfg",
            why,
            "Correct the file on the load balancer.",
        ),
    }
}

async fn of_host(context: &PreflightContext, node: &ApiHost, checks: &Checks) -> Vec<Fact> {
    let name = node.name.as_str();
    let found = match inspect(&*context.services.world, node.host).await {
        Ok(found) => found,
        Err(error) if checks.whole => return vec![may_be_lost(connection(name, &error))],
        Err(error) => return vec![connection(name, &error)],
    };
    let left: Vec<&Leftover> = remains(&found.leftovers, &[]);
    let mut facts = vec![pass(name, "Connection", "signed in over SSH, root by sudo")];
    let unit = [&found.k3s_unit, &found.agent_unit]
        .into_iter()
        .find(|unit| unit.is_alive());
    facts.push(match unit {
        Some(_) if found.k3s_unit.is_alive() && checks.is_agent(node) => {
            let value = format!("{} is {}", found.k3s_unit.unit, found.k3s_unit.state);
            bound(
                name,
                "k3s",
                format!("{value}: a server"),
                Verdict::Fail,
                LEAVES,
            )
        }
        Some(unit) => shown(name, "k3s", format!("{} is {}", unit.unit, unit.state)),
        None => shown(name, "k3s", "does not run"),
    });
    facts.push(Fact {
        subject: name.to_owned(),
        name: "Is deleted".to_owned(),
        value: if left.is_empty() {
            "nothing is there".to_owned()
        } else {
            paths(&left)
        },
        diff: None,
        kind: FactKind::Shown,
        verdict: Verdict::Pass,
        advice: None,
        next: None,
    });
    facts.extend(disks(name, &found));
    facts.extend(jobs(&*context.services.world, node, context.run).await);
    facts
}

/// Targets that were lost before, and without which the servers that go on keep their quorum.
async fn spared(context: &PreflightContext, checks: &Checks) -> BTreeSet<HostId> {
    let world = &*context.services.world;
    let marked = checks.targets.iter().filter(|node| !checks.is_agent(node));
    let counted = marked.map(async |node| {
        let without = quorum::without(world, node, &checks.going_on).await;
        let holds = without.is_ok_and(|without| without.quorum.holds());
        holds.then_some(node.host)
    });
    join_all(counted).await.into_iter().flatten().collect()
}

/// Whether a target is an etcd member of the cluster that goes on: its role in the inventory may be wrong, and a host that
/// was lost may have joined again.
async fn members(context: &PreflightContext, checks: &Checks) -> Vec<Fact> {
    const NAME: &str = "etcd member";
    if checks.going_on.is_empty() {
        return Vec::new();
    }
    let (looks, silent) = quorum::looks(&*context.services.world, &checks.going_on).await;
    let known = looks.iter().any(|(_, etcd)| etcd.healthy);
    let spared = spared(context, checks).await;
    let of = |node: &ApiHost| {
        let name = node.name.as_str();
        let lists = looks
            .iter()
            .filter(|(_, etcd)| !etcd.of_host(node).is_empty());
        let lists: Vec<&str> = lists.map(|(server, _)| server.name.as_str()).collect();
        // Who lists it, and why one does not answer, moves by itself.
        let told = |value: String, verdict, advice| bound(name, NAME, value, verdict, advice);
        if !lists.is_empty() && spared.contains(&node.host) {
            return told(
                format!("it has joined again, by the list of {}", lists.join(", ")),
                Verdict::Warn,
                "The others keep their quorum without it. Its member leaves with its Node, behind the removal.",
            );
        }
        if !lists.is_empty() {
            return told(
                format!("by the list of {}", lists.join(", ")),
                Verdict::Fail,
                LEAVES,
            );
        }
        if known {
            return pass(name, NAME, "it is none");
        }
        let mut why = silent.clone();
        why.extend(
            looks
                .iter()
                .map(|(server, _)| format!("{}: etcd is not healthy", server.name)),
        );
        let why = format!("nobody can tell: {}", why.join("; "));
        if checks.is_agent(node) {
            told(
                why,
                Verdict::Fail,
                "Bring the cluster's servers back first.",
            )
        } else {
            told(
                why,
                Verdict::Warn,
                "As a member it would take the quorum of the others with it for good. Make sure that it has not joined again, or that the others are gone.",
            )
        }
    };
    checks.targets.iter().map(of).collect()
}

/// The whole cluster ends, and one host of it does not answer: a person may give it up.
fn may_be_lost(mut fact: Fact) -> Fact {
    let known = fact.advice.take().unwrap_or_default();
    fact.advice = Some(format!(
        "{known} If it is lost for good, start again and name it among the lost hosts: the others are then uninstalled without it."
    ));
    fact
}

/// A server or agent that is said to be lost must not answer.
async fn of_lost(context: &PreflightContext, node: &ApiHost) -> Vec<Fact> {
    let name = node.name.as_str();
    let world = &*context.services.world;
    match inspect(world, node.host).await {
        Ok(_) => vec![fail(name, "Machine", "answers over SSH", ALIVE)],
        Err(error) => {
            let mut facts = unasked(world, node, error).await;
            facts.push(warn(
                name,
                STAYS,
                "k3s, its data, and the cluster's keys and token",
                "If the machine comes back, its k3s starts by itself. The inventory marks it: uninstall k3s from it then, before anything else, by choosing it alone.",
            ));
            facts
        }
    }
}

/// The same of a load balancer.
async fn of_lost_balancer(context: &PreflightContext, cluster: &str, lb: &ApiHost) -> Vec<Fact> {
    let name = lb.name.as_str();
    let world = &*context.services.world;
    match world.boot_id(lb.host).await {
        Ok(_) => vec![fail(name, "Machine", "answers over SSH", ALIVE)],
        Err(error) => {
            let mut facts = unasked(world, lb, error).await;
            facts.push(warn(
                name,
                STAYS,
                format!("the section of {cluster} in haproxy.cfg"),
                "If the machine comes back, its HAProxy listens for the cluster again: delete the section there.",
            ));
            facts
        }
    }
}
