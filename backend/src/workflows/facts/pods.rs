//! The evidence about the pods of a node that is to be drained: what moves, what is lost.

use coxswain_wire::{Fact, FactKind, Verdict};

use super::{fact, pass, shown, warn};
use crate::steps::drain_node::named;
use crate::world::{Kube, KubePod, PodOwner};

/// The facts of one node's pods.
pub(in crate::workflows) async fn facts(kube: &dyn Kube, node: &str) -> Vec<Fact> {
    let pods = match kube.pods(Some(node)).await {
        Ok(pods) => pods,
        Err(error) => return vec![super::unknown(node, "Pods", &error)],
    };
    let moving: Vec<&KubePod> = pods.iter().filter(|p| p.leaves_at_drain()).collect();
    // Pods come and go: their number binds nobody.
    let mut facts = vec![shown(
        node,
        "Pods",
        format!(
            "{} move to other nodes, {} belong to the node",
            moving.len(),
            pods.len() - moving.len()
        ),
    )];
    let of = |wanted: fn(&KubePod) -> bool| -> Vec<&KubePod> {
        moving.iter().copied().filter(|p| wanted(p)).collect()
    };
    let bare = of(|pod| pod.owner == PodOwner::Nobody && !pod.finished);
    facts.push(if bare.is_empty() {
        pass(node, "Pods without a controller", "none")
    } else {
        warn(
            node,
            "Pods without a controller",
            named(bare.iter().copied()),
            "Nobody makes them anew: they are gone for good.",
        )
    });
    let scratch = of(|pod| pod.scratch && !pod.finished);
    if !scratch.is_empty() {
        facts.push(Fact {
            advice: Some("Data in an emptyDir volume goes with its pod.".to_owned()),
            ..fact(
                node,
                "Scratch data",
                named(scratch.iter().copied()),
                FactKind::Shown,
                Verdict::Warn,
            )
        });
    }
    facts
}
