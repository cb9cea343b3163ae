//! Step kind `end_fault`: the fault of a drill is taken away as planned. A killed k3s has come back by itself by then, and the timer on the victim may
//! have been quicker.

use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::drill::Watched;
use super::drill::watch::Watch;
use super::inject_fault::healed;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "end_fault";

/// Before the deadline, so that the step can say why the fault is still there.
const LAST: Duration = Duration::from_secs(5);

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whom the fault was done to, and what.
    pub watched: Watched,
}

/// The step kind.
pub struct EndFault(pub Services);

impl EndFault {
    /// Waits until the fault is seen gone, for nearly as long as the step may take. A host that boots, or one that is
    /// asked for the other's power, may not answer for a while.
    async fn gone(&self, context: &StepContext, watched: &Watched) -> Result<(), StepFailure> {
        loop {
            let not_yet = match healed(&self.0, watched).await {
                Ok(Probe::Done { .. }) => return Ok(()),
                Ok(Probe::NotDone { why } | Probe::Unsure { why }) => StepFailure::fatal(why),
                Err(failure @ StepFailure::Unreachable(_)) => failure,
                Err(fatal @ StepFailure::Fatal(_)) => return Err(fatal),
            };
            if Instant::now() + LAST >= context.deadline {
                return Err(not_yet);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

#[async_trait]
impl StepKind for EndFault {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        healed(&self.0, &context.params::<Params>()?.watched).await
    }

    /// Watches on until the fault is seen gone.
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let watched = context.params::<Params>()?.watched;
        let (world, host) = (&*self.0.world, watched.victim.host);
        let Some(watch) = Watch::open(&self.0, context.run, &watched).await? else {
            return watched.fault.heal(world, host).await;
        };
        let now = watch.now();
        watch.record().healing_at.get_or_insert(now);
        watch
            .until(async {
                watched.fault.heal(world, host).await?;
                self.gone(context, &watched).await?;
                let now = watch.now();
                watch.record().healed_at.get_or_insert(now);
                Ok(())
            })
            .await
    }
}
