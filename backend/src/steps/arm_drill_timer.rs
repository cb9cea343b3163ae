//! Step kind `arm_drill_timer`: a timer on the victim that takes the fault of a drill away without the panel. Given back
//! when the drill is over.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drill::{Fault, timer};
use super::jobs::host;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "arm_drill_timer";

/// Parameters: the step's host is the victim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What it takes away.
    pub fault: Fault,
    /// Seconds that will be observed.
    pub observe_s: u32,
}

/// The step kind.
pub struct ArmDrillTimer(pub Services);

#[async_trait]
impl StepKind for ArmDrillTimer {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let seen = timer::look(&*self.0.world, host(context)?, context.run).await?;
        let left = seen.left.unwrap_or_default();
        // Before the first attempt it cannot be ours, whatever its name.
        Ok(if context.attempt > 0 && seen.outlasts(params.observe_s) {
            Probe::Done {
                observed: format!(
                    "{}.timer waits: it ends the fault in {left} s, with or without the panel",
                    timer::unit(context.run)
                ),
                outputs: BTreeMap::new(),
            }
        } else if seen.waiting {
            Probe::NotDone {
                why: format!(
                    "the timer goes off in {left} s, too early for an observation of {} s",
                    params.observe_s
                ),
            }
        } else {
            Probe::NotDone {
                why: "no timer waits on the host".to_owned(),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        timer::arm(
            world,
            host(context)?,
            context.run,
            &params.fault,
            params.observe_s,
        )
        .await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        gone(&self.0, context).await
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        timer::disarm(&*self.0.world, host(context)?, context.run).await
    }
}

/// Is nothing of the timer left?
pub(super) async fn gone(services: &Services, context: &StepContext) -> Result<Probe, StepFailure> {
    let seen = timer::look(&*services.world, host(context)?, context.run).await?;
    Ok(if seen.is_gone() {
        Probe::Done {
            observed: "no timer of this drill is on the host".to_owned(),
            outputs: BTreeMap::new(),
        }
    } else {
        let why = if seen.healing {
            "the timer has gone off and is taking the fault away"
        } else {
            "the timer is still there"
        };
        Probe::NotDone {
            why: why.to_owned(),
        }
    })
}
