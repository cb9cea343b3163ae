//! The evidence for force-deleting pods: that nothing of the machine answers, and what would be damaged if it
//! ran all the same.

use std::collections::BTreeSet;

use coxswain_engine::plan::Plan;
use coxswain_wire::{Fact, StageIndex};

use super::super::PreflightContext;
use super::super::facts::{checks_of, fail, pass, shown, unknown, warn};
use crate::steps::dead::{self, Machine};
use crate::steps::delete_stuck_pods::{Params, stuck};
use crate::steps::kube::of_first;
use crate::world::{Kube, KubePod, PodOwner};

const ALIVE: &str =
    "Its kubelet ends these pods itself. Only if it stays off for good, turn it off first.";

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    let params: Params = match checks_of(plan, stage) {
        Ok(params) => params,
        Err(facts) => return facts,
    };
    let world = &*context.services.world;
    let name = params.node.name.as_str();
    let mut facts = match dead::machine(world, params.node.host).await {
        // How it is silent differs from look to look, and binds nobody.
        Machine::Silent(how) => vec![
            pass(name, "Machine", "nothing answers"),
            shown(name, "Connection", how),
        ],
        Machine::Answers(how) => vec![fail(name, "Machine", format!("is on: {how}"), ALIVE)],
        Machine::Unknown(error) => vec![unknown(name, "Machine", &error)],
    };
    let kube = match of_first(world, &params.via).await {
        Ok(kube) => kube,
        Err(failure) => {
            let why = failure.into_error().message;
            facts.push(fail(
                &plan.cluster_name,
                "API",
                why,
                "Check that the cluster runs.",
            ));
            return facts;
        }
    };
    facts.push(match dead::seen_alive(&*kube, name).await {
        Ok(None) => pass(name, "Node", "not Ready, and its lease is not renewed"),
        Ok(Some(how)) => fail(name, "Node", how, ALIVE),
        Err(failure) => {
            let why = failure.into_error().message;
            fail(name, "Node", why, "Check the cluster's page.")
        }
    });
    facts.push(warn(
        name,
        "Proof",
        "none of this shows that the machine is off: it may only be cut off",
        "Look at the machine, its power supply or its hypervisor, and type what you have seen below.",
    ));
    facts.extend(pods(&*kube, name).await);
    facts
}

async fn pods(kube: &dyn Kube, node: &str) -> Vec<Fact> {
    let found = match stuck(kube, node).await {
        Ok(found) => found,
        Err(failure) => {
            let why = failure.into_error().message;
            return vec![fail(
                node,
                "Stuck pods",
                why,
                "Check that the cluster runs.",
            )];
        }
    };
    let exclusive = match kube.exclusive_claims().await {
        Ok(claims) => claims,
        Err(error) => return vec![unknown(node, "ReadWriteOnce volumes", &error)],
    };
    let names = |wanted: &dyn Fn(&KubePod) -> bool| -> Vec<String> {
        let pods = found.iter().filter(|pod| wanted(pod));
        pods.map(|pod| pod.id.to_string()).collect()
    };
    let all = names(&|_| true);
    let mut facts = vec![if all.is_empty() {
        fail(
            node,
            "Stuck pods",
            "none is Terminating on it",
            "There is nothing to do. Pods are marked about five minutes after their node was lost.",
        )
    } else {
        pass(node, "Stuck pods", all.join(", "))
    }];
    facts.push(risk(
        node,
        "StatefulSet pods",
        names(&|pod| pod.owner == PodOwner::StatefulSet),
        "Each starts elsewhere under the same name at once: two of them if the machine still runs.",
    ));
    let volumes: Vec<String> = found
        .iter()
        .filter_map(|pod| {
            let held = claims(pod, &exclusive);
            (!held.is_empty()).then(|| format!("{}: {}", pod.id, held.join(", ")))
        })
        .collect();
    facts.push(risk(
        node,
        "ReadWriteOnce volumes",
        volumes,
        "Another node may attach them then: two writers if the machine still runs.",
    ));
    facts.push(risk(
        node,
        "Pods without a controller",
        names(&|pod| pod.owner == PodOwner::Nobody),
        "Nobody makes them anew: they are gone for good.",
    ));
    facts
}

/// Claims of a pod that one node may use at a time.
fn claims(pod: &KubePod, exclusive: &BTreeSet<String>) -> Vec<String> {
    let of_pod = pod.claims.iter();
    of_pod
        .filter(|claim| exclusive.contains(&format!("{}/{claim}", pod.id.namespace)))
        .cloned()
        .collect()
}

fn risk(node: &str, name: &str, found: Vec<String>, advice: &str) -> Fact {
    if found.is_empty() {
        pass(node, name, "none")
    } else {
        warn(node, name, found.join("; "), advice)
    }
}
