//! The evidence about workloads: which have no replica but on the victim, and which have none at all.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_wire::{Fact, FactKind, Verdict};

use super::super::facts::{fact, fail, pass, shown, unknown, warn};
use super::facts::Checks;
use super::form::EVICTION_S;
use crate::steps::drill::watch::{few, unready, workload};
use crate::steps::drill::{Fault, timer};
use crate::steps::kube::of_first;
use crate::world::{KubePod, PodOwner, World};

/// Name of the fact about the victim.
const ALONE: &str = "Workloads on this server alone";

/// The facts.
pub(super) async fn facts(world: &dyn World, cluster: &str, checks: &Checks) -> Vec<Fact> {
    let victim = checks.victim.name.as_str();
    let pods = match of_first(world, &checks.others).await {
        Ok(kube) => kube.pods(None).await,
        Err(failure) => {
            let advice = "Check that the cluster runs.";
            return vec![fail(victim, ALONE, failure.into_error().message, advice)];
        }
    };
    match pods {
        Ok(pods) => vec![alone(&pods, checks), without(cluster, &pods)],
        Err(error) => vec![unknown(victim, ALONE, &error)],
    }
}

/// Workloads of which nothing can be told. What crashes comes and goes: it binds nobody.
fn without(cluster: &str, pods: &[KubePod]) -> Fact {
    const NAME: &str = "Workloads without a ready replica";
    let without = unready(pods);
    if without.is_empty() {
        return shown(cluster, NAME, "none");
    }
    Fact {
        advice: Some(
            "The drill leaves those out that have none when the fault is made: mend them first to learn what becomes of them.".to_owned(),
        ),
        ..fact(cluster, NAME, few(without.iter()), FactKind::Shown, Verdict::Warn)
    }
}

/// A workload whose ready replicas are all on the victim.
struct Alone {
    name: String,
    owner: PodOwner,
    claims: BTreeSet<String>,
}

impl Alone {
    /// With what becomes of it once it is evicted.
    fn words(&self) -> String {
        let name = &self.name;
        let claims = || self.claims.iter().cloned().collect::<Vec<_>>().join(", ");
        match self.owner {
            PodOwner::Nobody => format!("{name}: lost for good once it is evicted"),
            PodOwner::StatefulSet => format!("{name}: waits for this server"),
            PodOwner::DaemonSet | PodOwner::Node | PodOwner::Other(_)
                if !self.claims.is_empty() =>
            {
                format!(
                    "{name}: waits for this server if a volume lies on it ({})",
                    claims()
                )
            }
            PodOwner::DaemonSet | PodOwner::Node | PodOwner::Other(_) => {
                format!("{name}: starts elsewhere")
            }
        }
    }
}

fn only_there(pods: &[KubePod], victim: &str) -> Vec<Alone> {
    let mut workloads: BTreeMap<String, Vec<&KubePod>> = BTreeMap::new();
    for pod in pods {
        let serves = pod.ready && pod.terminating_until.is_none();
        if let Some(workload) = workload(pod).filter(|_| serves) {
            workloads.entry(workload).or_default().push(pod);
        }
    }
    let alone = workloads
        .into_iter()
        .filter(|(_, pods)| pods.iter().all(|pod| pod.node == victim));
    alone
        .filter_map(|(name, pods)| {
            Some(Alone {
                name,
                owner: pods.first()?.owner.clone(),
                claims: pods.iter().flat_map(|pod| pod.claims.clone()).collect(),
            })
        })
        .collect()
}

/// Containers run on without k3s, which is back before anything is evicted: at the latest by the timer.
fn untouched(victim: &str, words: String) -> Fact {
    if words.is_empty() {
        return shown(victim, ALONE, "none");
    }
    let why = "their containers run on, and k3s is back before anything is evicted";
    shown(victim, ALONE, format!("{words}; {why}"))
}

fn alone(pods: &[KubePod], checks: &Checks) -> Fact {
    let victim = checks.victim.name.as_str();
    let only = only_there(pods, victim);
    let words = few(only.iter().map(Alone::words));
    let meanwhile = match &checks.fault {
        Fault::Killed => return untouched(victim, words),
        Fault::Stopped if checks.observe_s + timer::LONGER < EVICTION_S => {
            return untouched(victim, words);
        }
        Fault::Stopped => {
            "Their containers run on without k3s until they are evicted after about 6 min, and are out of service from then until they run elsewhere"
        }
        Fault::Cut { .. } | Fault::PowerOff { .. } => "They are out of service meanwhile",
    };
    match (only.is_empty(), checks.only_replicas) {
        (true, _) => pass(victim, ALONE, "none"),
        (false, true) => warn(
            victim,
            ALONE,
            words,
            format!(
                "The form says to go on. {meanwhile}; a pod that nobody made is not made again: keep its manifest at hand."
            ),
        ),
        (false, false) => fail(
            victim,
            ALONE,
            words,
            "Give each a second replica on another node, choose another server, or start again and say in the form to go on.",
        ),
    }
}
