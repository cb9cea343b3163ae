//! Step kind `keep_start`: notes which start of k3s runs on a server. Its undo comes after that of the
//! changed files: where k3s has started since, it starts again, so that no process knows what was in them.
//! A certificate that is issued anew before that would get the names back (facts A, 15).

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs;
use super::restart::{self, Target};
use super::unit::UnitLook;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "keep_start";

/// Parameters.
pub type Params = Target;

#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
}

/// The step kind.
pub struct KeepStart(pub Services);

#[async_trait]
impl StepKind for KeepStart {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target: Params = context.params()?;
        if context.memo.is_null() {
            return Ok(Probe::NotDone {
                why: format!("which start runs on {} is not noted yet", target.node.name),
            });
        }
        let memo: Memo = super::memo(context)?;
        Ok(Probe::Done {
            observed: format!("noted: {}", memo.invocation),
            outputs: BTreeMap::new(),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let target: Params = context.params()?;
        let invocation = restart::invocation(&*self.0.world, &target).await?;
        serde_json::to_value(Memo { invocation }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    /// Preparing has noted everything.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let done = |observed: String| Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        };
        if !restart::undo_began(world, context, &target).await? {
            let now = restart::invocation(world, &target).await?;
            return Ok(if now == memo.invocation {
                done("k3s was not started again".to_owned())
            } else {
                Probe::NotDone {
                    why: format!("k3s on {} runs with what was changed", target.node.name),
                }
            });
        }
        let look = UnitLook::take(world, target.node.host, target.role.unit(), None).await?;
        if !look.active() {
            let why = format!("{} is {}", target.role.unit(), look.state);
            return Ok(Probe::NotDone { why });
        }
        Ok(
            match restart::as_wanted(world, context, &target, None).await? {
                Ok(healthy) => done(healthy.words),
                Err(why) => Probe::NotDone { why },
            },
        )
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let target: Params = context.params()?;
        let world = &*self.0.world;
        let spec = restart::spec(&jobs::as_undo(context), &target);
        restart::undo(world, context, &target, &spec, async || Ok(())).await
    }
}
