//! The evidence for a replacement: that of the removal and that of the join, each said once.

use std::collections::BTreeMap;

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, StageIndex, Verdict};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::checks_of;
use super::super::nodes::Node;
use super::super::{join, remove_node};
use super::Request;

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    departure: remove_node::Checks,
    arrival: join::JoinChecks,
}

impl Checks {
    /// `first` is a server that stays.
    pub(super) fn new(request: &Request, first: &Node) -> Self {
        let Request { leaving, joining } = request;
        let mut departure = remove_node::Checks::new(leaving);
        departure.same_machine = request.same_machine();
        // The arrival tells what they have in the end.
        departure.load_balancers.clear();
        let mut arrival = joining.checks(first);
        // The removal before the join takes whatever is on a machine that answers.
        arrival.checks.cleaning = request.same_machine() && !leaving.lost;
        arrival.leaving = Some(leaving.node.api());
        arrival.also_lost = leaving.also_lost.iter().map(Node::api).collect();
        Self { departure, arrival }
    }
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
    state: &RunState,
) -> Vec<Fact> {
    let checks: Checks = match checks_of(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    let cluster = plan.cluster_name.as_str();
    let mut facts = remove_node::of_checks(context, cluster, &checks.departure).await;
    let arriving = join::of_checks(context, cluster, &checks.arrival, stage, state).await;
    facts.extend(arriving);
    once(facts)
}

/// Both halves look at the cluster: of two facts of one name the worse one stays.
fn once(facts: Vec<Fact>) -> Vec<Fact> {
    let worth = |verdict: Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Warn => 1,
        Verdict::Fail => 2,
    };
    let mut places: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut kept: Vec<Fact> = Vec::new();
    for fact in facts {
        let place = (fact.subject.clone(), fact.name.clone());
        match places.get(&place) {
            Some(at) if worth(kept[*at].verdict) < worth(fact.verdict) => kept[*at] = fact,
            Some(_) => {}
            None => {
                places.insert(place, kept.len());
                kept.push(fact);
            }
        }
    }
    kept
}
