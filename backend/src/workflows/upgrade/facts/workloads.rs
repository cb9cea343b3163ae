//! What drains do to the applications: pods that move or are lost, budgets that hold them, others who upgrade.

use std::collections::BTreeMap;

use coxswain_wire::{Fact, FactKind, Verdict};

use super::super::super::facts::{fact, pass, pods, unknown, warn};
use crate::steps::drain_node::named;
use crate::steps::restart::Target;
use crate::world::{Kube, KubePod, PodOwner};

/// Namespaces of those who upgrade k3s by themselves.
const OTHERS: [(&str, &str); 2] = [
    ("cattle-system", "Rancher"),
    ("system-upgrade", "the system-upgrade-controller"),
];

/// The facts, of the nodes that are drained and of the cluster.
pub(super) async fn facts(cluster: &str, kube: &dyn Kube, moving: &[&Target]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let all = match kube.pods(None).await {
        Ok(pods) => pods,
        Err(error) => return vec![unknown(cluster, "Pods", &error)],
    };
    for target in moving {
        let name = target.node.name.as_str();
        facts.extend(pods::facts(kube, name).await);
        facts.extend(alone(name, &all));
    }
    if !moving.is_empty() {
        facts.push(budgets(cluster, kube).await);
    }
    facts.push(others(cluster, &all));
    facts
}

/// Pods on a node whose application has no other one: it is away while they move. Where they are is no matter
/// of approval: they move with every drain.
fn alone(node: &str, all: &[KubePod]) -> Option<Fact> {
    let mut replicas: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let counts = |pod: &&KubePod| pod.leaves_at_drain() && !pod.finished;
    for pod in all.iter().filter(counts) {
        *replicas
            .entry((&pod.id.namespace, &pod.owner_name))
            .or_default() += 1;
    }
    let single: Vec<&KubePod> = all
        .iter()
        .filter(counts)
        .filter(|pod| pod.node == node && pod.owner != PodOwner::Nobody)
        .filter(|pod| replicas[&(pod.id.namespace.as_str(), pod.owner_name.as_str())] == 1)
        .collect();
    (!single.is_empty()).then(|| Fact {
        advice: Some("These applications are away while their only pod moves.".to_owned()),
        ..fact(
            node,
            "Only replicas",
            named(single.iter().copied()),
            FactKind::Shown,
            Verdict::Warn,
        )
    })
}

/// Budgets that let nobody go at this moment.
async fn budgets(cluster: &str, kube: &dyn Kube) -> Fact {
    const NAME: &str = "Disruption budgets";
    let budgets = match kube.budgets().await {
        Ok(budgets) => budgets,
        Err(error) => return unknown(cluster, NAME, &error),
    };
    let tight: Vec<String> = budgets
        .iter()
        .filter(|budget| budget.pods > 0 && budget.allowed == 0)
        .map(|budget| format!("{}/{}", budget.namespace, budget.name))
        .collect();
    let (value, verdict) = if tight.is_empty() {
        ("none holds pods back now".to_owned(), Verdict::Pass)
    } else {
        let value = format!("let no pod go now: {}", tight.join(", "));
        (value, Verdict::Warn)
    };
    Fact {
        advice: (!tight.is_empty()).then(|| {
            "A drain waits for them, then fails and the node takes pods again. Give these applications more replicas, or loosen the budgets for the upgrade.".to_owned()
        }),
        ..fact(cluster, NAME, value, FactKind::Shown, verdict)
    }
}

/// Two who upgrade the same nodes get into each other's way (facts B.8).
fn others(cluster: &str, all: &[KubePod]) -> Fact {
    const NAME: &str = "Upgraded by others";
    let found: Vec<&str> = OTHERS
        .into_iter()
        .filter(|(namespace, _)| all.iter().any(|pod| pod.id.namespace == *namespace))
        .map(|(_, who)| who)
        .collect();
    if found.is_empty() {
        pass(
            cluster,
            NAME,
            "neither Rancher nor a system-upgrade-controller is seen",
        )
    } else {
        warn(
            cluster,
            NAME,
            format!("{} is at work in this cluster", found.join(" and ")),
            "A cluster that Rancher manages is upgraded in Rancher only. See that no plan of theirs is under way.",
        )
    }
}
