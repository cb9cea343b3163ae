//! Step kind `restart_k3s`: k3s on one node is restarted and healthy again.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::Job;
use super::restart::{self, Target};
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "restart_k3s";
/// Recommended deadline, seconds.
pub const DEADLINE_S: u32 = restart::DEADLINE_S;

/// Parameters.
pub type Params = Target;

/// What tells our start from the one before.
#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
}

/// The step kind.
pub struct RestartK3s(pub Services);

#[async_trait]
impl StepKind for RestartK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target: Params = context.params()?;
        if context.memo.is_null() {
            let why = format!("k3s on {} is to be restarted", target.node.name);
            return Ok(Probe::NotDone { why });
        }
        let memo: Memo = super::memo(context)?;
        let seen =
            restart::restarted(&*self.0.world, context, &target, &memo.invocation, None).await?;
        Ok(match seen {
            Err(why) => Probe::NotDone { why },
            Ok(healthy) => Probe::Done {
                observed: healthy.words,
                outputs: BTreeMap::new(),
            },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let target: Params = context.params()?;
        restart::guard(&*self.0.world, &target).await?;
        let invocation = restart::invocation(&*self.0.world, &target).await?;
        serde_json::to_value(Memo { invocation }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let target: Params = context.params()?;
        let world = &*self.0.world;
        // A later attempt finds another world than the first one did.
        restart::guard(world, &target).await?;
        Job::of(world, context)?
            .run(&restart::spec(context, &target), context.output.as_ref())
            .await
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        restart::settle(self, &*self.0.world, context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        restart::forget(&*self.0.world, context).await
    }
}
