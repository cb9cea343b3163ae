//! The evidence for a drill: everything must be whole, the others must be a majority, nothing may run on the victim alone
//! unless the form says so, and the fault must be one that can be taken away again.

use coxswain_engine::plan::Plan;
use coxswain_wire::{Fact, StageIndex};
use serde::{Deserialize, Serialize};

use super::super::PreflightContext;
use super::super::facts::living::{self, Living};
use super::super::facts::{checks_of, fail, pass, shown, unknown};
use super::super::nodes::Node;
use super::{Request, endpoint, workloads};
use crate::steps::ApiHost;
use crate::steps::drill::fault::Rules;
use crate::steps::drill::{Fault, timer};
use crate::steps::quorum;
use crate::world::{RemoteCommand, World};

/// What the gate looks at; stored in the plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checks {
    living: Living,
    pub(super) victim: ApiHost,
    pub(super) others: Vec<ApiHost>,
    /// None in plans of earlier versions.
    #[serde(default)]
    clients: Option<endpoint::Clients>,
    pub(super) fault: Fault,
    /// Name of the host that switches the power.
    switch: Option<String>,
    pub(super) observe_s: u32,
    pub(super) only_replicas: bool,
}

impl Checks {
    pub(super) fn new(request: &Request) -> Self {
        let others = request.nodes.servers.iter();
        Self {
            living: request.nodes.living(),
            victim: request.victim.api(),
            others: others
                .filter(|s| s.host != request.victim.host)
                .map(Node::api)
                .collect(),
            clients: Some(endpoint::Clients::of(&request.nodes)),
            fault: request.fault.clone(),
            switch: request.switch.clone(),
            observe_s: request.observe_s,
            only_replicas: request.only_replicas,
        }
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
    let world = &*context.services.world;
    let cluster = plan.cluster_name.as_str();
    let mut facts = living::facts(context, cluster, &checks.living).await;
    facts.push(without(world, cluster, &checks).await);
    if let Some(clients) = &checks.clients {
        let (victim, others) = (&checks.victim, &checks.others);
        facts.extend(endpoint::fact(world, cluster, clients, victim, others).await);
    }
    facts.extend(workloads::facts(world, cluster, &checks).await);
    facts.extend(reversible(world, &checks).await);
    facts.push(shown(
        &checks.victim.name,
        "If the panel dies, or the run is paused or parked",
        without_the_panel(&checks),
    ));
    facts
}

/// The quorum of the others.
async fn without(world: &dyn World, cluster: &str, checks: &Checks) -> Fact {
    let name = format!("Quorum without {}", checks.victim.name);
    let advice = "Bring all members back first: a drill is for a cluster that is whole.";
    match quorum::without(world, &checks.victim, &checks.others).await {
        Err(why) => fail(cluster, &name, why, advice),
        Ok(without) if !without.member => {
            fail(cluster, &name, quorum::not_listed(&checks.victim), advice)
        }
        Ok(without) => {
            let now = without.quorum;
            let value = format!(
                "{} of {} members healthy, {} needed",
                now.healthy, now.members, now.needed
            );
            if now.holds() {
                pass(cluster, &name, value)
            } else {
                fail(cluster, &name, value, advice)
            }
        }
    }
}

/// Can the fault be made, and taken away again?
async fn reversible(world: &dyn World, checks: &Checks) -> Vec<Fact> {
    let victim = &checks.victim;
    let name = victim.name.as_str();
    let mut facts = Vec::new();
    if checks.fault.by_itself().is_some() {
        let look = RemoteCommand::program("systemd-run").arg("--version");
        facts.push(match world.run(victim.host, look).await {
            Ok(answer) if answer.success() => pass(name, "Timer", "systemd-run is there"),
            Ok(_) => fail(
                name,
                "Timer",
                "systemd-run does not work",
                "Without a timer that ends the fault by itself no fault is made. Install systemd's tools.",
            ),
            Err(error) => unknown(name, "Timer", &error),
        });
    }
    match &checks.fault {
        Fault::Stopped | Fault::Killed => {}
        Fault::Cut { .. } => facts.push(match Rules::look(world, victim.host).await {
            Err(failure) => fail(
                name,
                "Firewall",
                failure.into_error().message,
                "Test the connection on the host's page.",
            ),
            Ok(rules) if rules.cut != "no" => fail(
                name,
                "Firewall",
                "rules of an earlier drill are still there",
                "Remove them: nft delete table inet coxswain_drill, or the chains COXSWAIN-PREROUTING and COXSWAIN-POSTROUTING of iptables' table mangle.",
            ),
            Ok(rules) if rules.tool == "none" => fail(
                name,
                "Firewall",
                "neither nft nor iptables works, nor the one that k3s brings along",
                "Install nftables on the host, or choose another fault.",
            ),
            Ok(rules) => pass(name, "Firewall", format!("{} works", rules.tool)),
        }),
        // Its commands were typed by people: none of them runs before the gate is passed.
        Fault::PowerOff { control } => facts.push(match world.boot_id(control.via).await {
            Ok(_) => pass(
                name,
                "Power control",
                format!(
                    "on {}: off \u{201c}{}\u{201d}, on \u{201c}{}\u{201d}, status \u{201c}{}\u{201d}",
                    checks.switch.as_deref().unwrap_or("another host"),
                    control.off.join(" "),
                    control.on.join(" "),
                    control.status.join(" ")
                ),
            ),
            Err(error) => unknown(name, "Power control", &error),
        }),
    }
    facts
}

fn without_the_panel(checks: &Checks) -> String {
    match (&checks.fault, &checks.switch) {
        (Fault::PowerOff { control }, Some(switch)) => format!(
            "nothing switches {} on by itself: somebody has to run \u{201c}{}\u{201d} on {switch}",
            checks.victim.name,
            control.on.join(" ")
        ),
        (Fault::PowerOff { .. }, None) => {
            format!("nothing switches {} on by itself", checks.victim.name)
        }
        (Fault::Stopped | Fault::Killed | Fault::Cut { .. }, _) => format!(
            "a timer on {} ends the fault at the latest {} s after it was armed",
            checks.victim.name,
            checks.observe_s + timer::LONGER
        ),
    }
}
