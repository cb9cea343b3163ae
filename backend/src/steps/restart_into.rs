//! Step kind `restart_into`: k3s on one node is restarted into the version that lies there, and healthy. Cannot
//! be undone: its data may be in a newer form from then on.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::names::K3sVersion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drain_node::find;
use super::jobs::Job;
use super::kube::of_first;
use super::place_k3s::PROGRAM;
use super::resolve_release::binary;
use super::restart::{self, Target};
use super::unit::UnitLook;
use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "restart_into";
/// Recommended deadline, seconds: the first start of a version unpacks it, and may convert data.
pub const DEADLINE_S: u32 = 600;

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The node.
    pub target: Target,
    /// The version that it must run then.
    pub version: Param<K3sVersion>,
}

/// What tells our start from the one before.
#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
}

/// The step kind.
pub struct RestartInto(pub Services);

impl RestartInto {
    /// It runs that version without us: seen first at its Node, which costs nothing.
    async fn there(
        &self,
        context: &StepContext,
        target: &Target,
        version: &str,
    ) -> Result<Result<String, String>, StepFailure> {
        let world = &*self.0.world;
        let kube = of_first(world, &target.servers).await?;
        let node = find(&*kube, &target.node.name).await?;
        if node.version != version {
            return Ok(Err(format!("{} runs {}", target.node.name, node.version)));
        }
        let look = UnitLook::take(world, target.node.host, target.role.unit(), None).await?;
        if !look.active() {
            return Ok(Err(format!("{} is {}", target.role.unit(), look.state)));
        }
        let seen = restart::as_wanted(world, context, target, Some(version)).await?;
        Ok(seen.map(|healthy| healthy.words))
    }
}

#[async_trait]
impl StepKind for RestartInto {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let version = params.version.resolve(&context.outputs);
        let version = version.map_err(StepFailure::fatal)?.to_string();
        let seen = if context.memo.is_null() {
            self.there(context, &params.target, &version).await?
        } else {
            let noted: Memo = super::memo(context)?;
            let world = &*self.0.world;
            let before = &noted.invocation;
            restart::restarted(world, context, &params.target, before, Some(&version))
                .await?
                .map(|healthy| healthy.words)
        };
        Ok(match seen {
            Err(why) => Probe::NotDone { why },
            Ok(observed) => Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let version = params.version.resolve(&context.outputs);
        let version = version.map_err(StepFailure::fatal)?;
        let world = &*self.0.world;
        restart::guard(world, &params.target).await?;
        let found = binary(world, params.target.node.host, PROGRAM).await?;
        if found.as_ref() != Some(&version) {
            return Err(failure::fatal(
                format!("k3s {version} does not lie on {}", params.target.node.name),
                "Nothing was stopped. Somebody has put another k3s there: start again.",
            ));
        }
        let invocation = restart::invocation(world, &params.target).await?;
        serde_json::to_value(Memo { invocation }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        // A later attempt finds another world than the first one did.
        restart::guard(world, &params.target).await?;
        Job::of(world, context)?
            .run(
                &restart::spec(context, &params.target),
                context.output.as_ref(),
            )
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
