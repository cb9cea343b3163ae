//! Step kind `renew_serving`: k3s on one server is started again without its copy of the certificate of
//! :6443, and healthy again. Which certificate it then serves is settled with the last server only.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::Job;
use super::restart::{self, Target};
use super::{Services, check, serving};

/// Stored name.
pub const KIND: &str = "renew_serving";

/// Parameters.
pub type Params = Target;

/// What tells our start from the one before.
#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
}

/// The step kind.
pub struct RenewServing(pub Services);

#[async_trait]
impl StepKind for RenewServing {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target: Params = context.params()?;
        if context.memo.is_null() {
            let why = format!(
                "{} is to start without its old certificate",
                target.node.name
            );
            return Ok(Probe::NotDone { why });
        }
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let seen = restart::restarted(world, context, &target, &memo.invocation, None).await?;
        Ok(match seen {
            Err(why) => Probe::NotDone { why },
            Ok(healthy) => match serving::served(world, &target.node).await {
                Err(why) => Probe::NotDone { why },
                Ok(served) => Probe::Done {
                    observed: format!("{}; it serves certificate {}", healthy.words, served.serial),
                    outputs: BTreeMap::new(),
                },
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
        restart::guard(world, &target).await?;
        Job::of(world, context)?
            .run(&serving::renew(context, &target), context.output.as_ref())
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
