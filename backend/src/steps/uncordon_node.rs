//! Step kind `uncordon_node`: a node takes new pods again, if it was this run that had stopped it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drain_node::find;
use super::kube::{ApiHost, of_first};
use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "uncordon_node";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Node name.
    pub node: String,
    /// Servers to ask, in this order.
    pub via: Vec<ApiHost>,
    /// Whether the run cordoned it: an output of its drain.
    pub cordoned: Param<bool>,
}

/// The step kind.
pub struct UncordonNode(pub Services);

#[async_trait]
impl StepKind for UncordonNode {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let ours = params
            .cordoned
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let done = |observed: String| {
            Ok(Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            })
        };
        if !ours {
            return done(format!(
                "{} was not cordoned by this run: it stays as it is",
                params.node
            ));
        }
        let kube = of_first(&*self.0.world, &params.via).await?;
        if find(&*kube, &params.node).await?.cordoned {
            let why = format!("{} still takes no new pods", params.node);
            return Ok(Probe::NotDone { why });
        }
        done(format!("{} takes new pods again", params.node))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let kube = of_first(&*self.0.world, &params.via).await?;
        kube.set_cordoned(&params.node, false)
            .await
            .map_err(failure::world)
    }
}
