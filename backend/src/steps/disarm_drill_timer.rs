//! Step kind `disarm_drill_timer`: the timer that would have ended a drill's fault is taken off the victim, now that the
//! fault is gone.

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arm_drill_timer::gone;
use super::drill::timer;
use super::jobs::host;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "disarm_drill_timer";

/// None: the step's host is the victim.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// The step kind.
pub struct DisarmDrillTimer(pub Services);

#[async_trait]
impl StepKind for DisarmDrillTimer {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        gone(&self.0, context).await
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        timer::disarm(&*self.0.world, host(context)?, context.run).await
    }
}
