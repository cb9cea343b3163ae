//! The evidence for a new token: a whole cluster, a k3s that can, and a place on every node to put it. Reads only.

use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_k3s::token::Token;
use coxswain_wire::{ClusterId, Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::living::{self, Living};
use super::super::facts::{at_once, checks_of, fail, pass, shown, token_place};
use crate::steps::restart::{NodeRole, Target};
use crate::steps::restart_k3s;
use crate::steps::rotate_token::CAN;
use crate::steps::verify_token::{Verdict, try_token};
use crate::world::RemoteCommand;

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    /// The cluster.
    pub(super) living: Living,
    /// All nodes.
    pub(super) targets: Vec<Target>,
    /// Its number.
    pub(super) cluster: ClusterId,
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
    let living = checks.living.with_begun(plan, state, &[restart_k3s::KIND]);
    let mut facts = living::facts(context, cluster, &living).await;
    let each = checks.targets.iter().map(|target| of_node(context, target));
    facts.extend(at_once(each.collect()).await.into_iter().flatten());
    facts.push(snapshots(context, cluster, checks.cluster).await);
    facts
}

/// Whether k3s on a server can make a token, and where the node's own would go.
async fn of_node(context: &PreflightContext, target: &Target) -> Vec<Fact> {
    let mut facts = Vec::new();
    match target.role {
        NodeRole::Server => {
            facts.push(can(context, target).await);
            facts.push(at_itself(context, target).await);
        }
        NodeRole::Agent => {}
    }
    facts.extend(token_place::facts(context, &target.node, target.role).await);
    facts
}

/// The token is rotated and tried at the address in the server's own kubeconfig. Tried with a token that is none.
async fn at_itself(context: &PreflightContext, target: &Target) -> Fact {
    const NAME: &str = "Answers to itself";
    let name = target.node.name.as_str();
    let none = Token::from_random([0; 16]);
    match try_token(
        &*context.services.world,
        target.node.host,
        target.role,
        &none,
    )
    .await
    {
        Ok(Verdict::Refused) => pass(name, NAME, "yes"),
        Ok(Verdict::Accepted | Verdict::NoAnswer) => fail(
            name,
            NAME,
            "not at the address in its own kubeconfig, and k3s token rotate asks there",
            "Start k3s on this server if it is down, and check that the server in its /etc/rancher/k3s/k3s.yaml is the address that it listens on.",
        ),
        Err(failure) => fail(
            name,
            NAME,
            failure.into_error().message,
            "Check the connection to this host, and that curl or wget is installed there.",
        ),
    }
}

async fn can(context: &PreflightContext, target: &Target) -> Fact {
    const NAME: &str = "Rotation";
    let name = target.node.name.as_str();
    let look = RemoteCommand::script(CAN).sudo();
    let answer = context.services.world.run(target.node.host, look).await;
    match answer.and_then(|o| o.ok(CAN.name)) {
        Err(error) => fail(
            name,
            NAME,
            error.to_string(),
            "Check the connection to this host.",
        ),
        Ok(answer) if answer.text().trim() == "yes" => {
            pass(name, NAME, "this k3s has token rotate")
        }
        Ok(_) => fail(
            name,
            NAME,
            "this k3s has no token rotate",
            "Upgrade the cluster first: v1.25.15, v1.26.10, v1.27.7 and v1.28.3 were the first to have it.",
        ),
    }
}

/// Older snapshots need the old token.
async fn snapshots(context: &PreflightContext, cluster: &str, id: ClusterId) -> Fact {
    const NAME: &str = "Older snapshots";
    match context.services.snapshots.snapshots(id).await {
        Err(e) => fail(cluster, NAME, e.to_string(), "Look into the panel's log."),
        Ok(all) => shown(
            cluster,
            NAME,
            format!(
                "{} of the panel's, whose token stays in the vault; others, as those of k3s's own schedule, open only with the old token, which the vault keeps too",
                all.len()
            ),
        ),
    }
}
