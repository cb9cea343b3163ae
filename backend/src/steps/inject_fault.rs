//! Step kind `inject_fault`: the fault of a drill, for as long as the drill lasts.
//!
//! Nothing is done unless the other servers keep the quorum, and, where a timer on the victim can take the fault away,
//! unless that timer is seen waiting for longer than the observation.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::PowerControl;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::dead::{self, Machine};
use super::drill::fault::{Seen, UNIT};
use super::drill::power::{Power, power};
use super::drill::watch::Watch;
use super::drill::{Fault, Watched, timer};
use super::kube::of_first;
use super::unit::UnitLook;
use super::{Services, check, failure, quorum};
use crate::world::World;

/// Stored name.
pub const KIND: &str = "inject_fault";
/// Recommended deadline, seconds: also for taking it away.
pub const DEADLINE_S: u32 = 300;
/// The same where the host has to boot.
pub const BOOT_DEADLINE_S: u32 = 900;
/// So long the fault is waited for under watch; what becomes of it later is the probe's to tell.
const SHOWS: Duration = Duration::from_secs(60);

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whom it is done to, and what.
    pub watched: Watched,
    /// Seconds that will be observed.
    pub observe_s: u32,
}

/// What was before.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    /// InvocationID of k3s on the victim.
    invocation: String,
}

/// The step kind.
pub struct InjectFault(pub Services);

impl InjectFault {
    /// The fault is seen, and the victim is as it lets it be.
    async fn shows(&self, context: &StepContext, watched: &Watched) -> Result<bool, StepFailure> {
        let invocation = super::memo::<Memo>(context)?.invocation;
        let (world, victim) = (&*self.0.world, &watched.victim);
        let seen = watched.fault.look(world, victim, Some(&invocation)).await?;
        Ok(match seen {
            Seen::There(_) => answers(world, watched).await.is_none(),
            Seen::Gone(_) | Seen::Between(_) => false,
        })
    }

    /// The timer, armed anew if its time has become too short: the run may have been paused since.
    async fn timer(&self, context: &StepContext, params: &Params) -> Result<(), StepFailure> {
        let (fault, host) = (&params.watched.fault, params.watched.victim.host);
        let world = &*self.0.world;
        if fault.by_itself().is_none() {
            return Ok(());
        }
        if timer::look(world, host, context.run)
            .await?
            .outlasts(params.observe_s)
        {
            return Ok(());
        }
        timer::arm(world, host, context.run, fault, params.observe_s).await?;
        if timer::look(world, host, context.run)
            .await?
            .outlasts(params.observe_s)
        {
            return Ok(());
        }
        Err(failure::fatal(
            "the timer that ends the fault without the panel is not seen waiting",
            format!(
                "Nothing was done to the cluster. Look at systemctl status {}.timer on the host, then retry.",
                timer::unit(context.run)
            ),
        ))
    }
}

#[async_trait]
impl StepKind for InjectFault {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let watched = context.params::<Params>()?.watched;
        if context.attempt == 0 {
            return Ok(Probe::NotDone {
                why: "the fault was not made yet".to_owned(),
            });
        }
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let seen = watched
            .fault
            .look(world, &watched.victim, Some(&memo.invocation))
            .await?;
        Ok(match seen {
            Seen::There(observed) => match answers(world, &watched).await {
                Some(why) => Probe::NotDone {
                    why: format!("{observed}, and yet {why}"),
                },
                None => Probe::Done {
                    observed,
                    outputs: BTreeMap::new(),
                },
            },
            Seen::Gone(why) | Seen::Between(why) => Probe::NotDone { why },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let watched = context.params::<Params>()?.watched;
        let world = &*self.0.world;
        quorum::guard(world, &watched.victim, &watched.others).await?;
        let look = UnitLook::take(world, watched.victim.host, UNIT, None).await?;
        if !look.active() {
            return Err(failure::fatal(
                format!("{UNIT} on {} is {}", watched.victim.name, look.state),
                "Nothing was done to it. Bring k3s up there first, then retry.",
            ));
        }
        if let Fault::PowerOff { control } = &watched.fault {
            can_boot(world, &watched, control, look.enabled).await?;
        }
        let memo = Memo {
            invocation: look.invocation,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let watched = &params.watched;
        let world = &*self.0.world;
        // A later attempt finds another world than the first one did.
        quorum::guard(world, &watched.victim, &watched.others).await?;
        self.timer(context, &params).await?;
        let watch = Watch::begin(&self.0, context.run, watched);
        watch.before().await?;
        let fault = everywhere(world, watched).await?;
        let begin = watch.now();
        watch.record().fault_at = begin;
        // Stored before it is made: a panel that dies now comes back to a drill that has begun.
        watch.store().await?;
        // The API is away in the first seconds, if at all: they are watched, too.
        watch
            .until(async {
                fault.make(world, watched.victim.host).await?;
                let until = Instant::now() + SHOWS;
                while Instant::now() < until && !self.shows(context, watched).await? {
                    sleep(Duration::from_secs(1)).await;
                }
                Ok(())
            })
            .await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let watched = context.params::<Params>()?.watched;
        healed(&self.0, &watched).await
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let watched = context.params::<Params>()?.watched;
        watched
            .fault
            .heal(&*self.0.world, watched.victim.host)
            .await
    }
}

/// The fault, a cut at every address that the other nodes have for Kubernetes: the inventory has one of each, and
/// what has two families would go on over the other.
async fn everywhere(world: &dyn World, watched: &Watched) -> Result<Fault, StepFailure> {
    let (mut peers, ssh_port) = match &watched.fault {
        Fault::Cut { peers, ssh_port } => (peers.clone(), *ssh_port),
        fault @ (Fault::Stopped | Fault::Killed | Fault::PowerOff { .. }) => {
            return Ok(fault.clone());
        }
    };
    let kube = of_first(world, &watched.others).await?;
    let nodes = kube.nodes().await.map_err(failure::world)?;
    let others = nodes.iter().filter(|node| node.name != watched.victim.name);
    let all = others.flat_map(|node| std::iter::once(&node.address).chain(&node.more_addresses));
    for address in all.filter_map(|address| address.parse().ok()) {
        if !peers.contains(&address) {
            peers.push(address);
        }
    }
    Ok(Fault::Cut { peers, ssh_port })
}

/// How a machine that should be off shows that it is not: its control may switch another one.
async fn answers(world: &dyn World, watched: &Watched) -> Option<String> {
    match &watched.fault {
        Fault::Stopped | Fault::Killed | Fault::Cut { .. } => return None,
        Fault::PowerOff { .. } => {}
    }
    let name = &watched.victim.name;
    match dead::machine(world, watched.victim.host).await {
        Machine::Silent(_) => None,
        Machine::Answers(how) => Some(format!("{name} {how}")),
        Machine::Unknown(error) => Some(format!("it cannot be told whether {name} is: {error}")),
    }
}

/// Refuses to switch a host off that would not come back.
async fn can_boot(
    world: &dyn World,
    watched: &Watched,
    control: &PowerControl,
    enabled: bool,
) -> Result<(), StepFailure> {
    let name = &watched.victim.name;
    if !enabled {
        return Err(failure::fatal(
            format!("{UNIT} on {name} does not start at boot"),
            "Nothing was done to it. Let it start (systemctl enable k3s), then retry.",
        ));
    }
    match power(world, control).await? {
        Power::On => Ok(()),
        Power::Off => Err(failure::fatal(
            format!(
                "\u{201c}{}\u{201d} says off, and yet {name} answers",
                control.status.join(" ")
            ),
            "Nothing was done. Correct the host's power control: it switches another machine.",
        )),
    }
}

/// Is the fault gone?
pub(super) async fn healed(services: &Services, watched: &Watched) -> Result<Probe, StepFailure> {
    let world = &*services.world;
    let seen = watched.fault.look(world, &watched.victim, None).await?;
    Ok(match seen {
        Seen::Gone(observed) => Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        },
        Seen::There(why) | Seen::Between(why) => Probe::NotDone { why },
    })
}
