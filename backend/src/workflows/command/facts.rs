//! The evidence for a command that a person typed: what, where, as whom.

use coxswain_engine::plan::Plan;
use coxswain_wire::{Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::{at_once, checks_of, connection, jobs, pass, warn};
use crate::steps::ApiHost;

/// What the gate looks at; stored in the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    /// The command.
    pub(super) text: String,
    /// Its time limit.
    pub(super) seconds: u32,
    /// The hosts, each with the user that runs it there.
    pub(super) on: Vec<(ApiHost, String)>,
}

/// The facts for the gate of a stage.
pub(super) async fn collect(
    context: &PreflightContext,
    plan: &Plan,
    stage: StageIndex,
) -> Vec<Fact> {
    let checks = match checks_of::<Checks>(plan, stage) {
        Ok(checks) => checks,
        Err(facts) => return facts,
    };
    let cluster = plan.cluster_name.as_str();
    let limit = format!("{} s, then it is ended", checks.seconds);
    let mut facts = vec![
        pass(cluster, "Command", &checks.text),
        pass(cluster, "Time limit", limit),
    ];
    let hosts = checks
        .on
        .iter()
        .map(|(node, user)| of_host(context, node, user));
    facts.extend(at_once(hosts.collect()).await.into_iter().flatten());
    facts
}

async fn of_host(context: &PreflightContext, node: &ApiHost, user: &str) -> Vec<Fact> {
    let (world, name) = (&*context.services.world, node.name.as_str());
    if let Err(error) = world.boot_id(node.host).await {
        return vec![connection(name, &error)];
    }
    let mut facts = vec![
        pass(name, "Connection", "signed in over SSH, root by sudo"),
        if user == "root" {
            let advice = "As root it can do anything to this host and to the cluster.";
            warn(name, "Runs as", user, advice)
        } else {
            pass(name, "Runs as", user)
        },
    ];
    facts.extend(jobs(world, node, context.run).await);
    facts
}
