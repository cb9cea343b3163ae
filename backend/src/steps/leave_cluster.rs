//! Step kind `leave_cluster`: a Node is deleted, and with a server its etcd member.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::{Services, check, leave};

/// Stored name.
pub const KIND: &str = "leave_cluster";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The node that leaves.
    pub node: ApiHost,
    /// A server that stays.
    pub via: ApiHost,
}

/// The step kind.
pub struct LeaveCluster(pub Services);

#[async_trait]
impl StepKind for LeaveCluster {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(
            match leave::standing(&*self.0.world, &params.via, &params.node).await? {
                Some(why) => Probe::NotDone { why },
                None => Probe::Done {
                    observed: format!("the cluster does not know {} any more", params.node.name),
                    outputs: BTreeMap::new(),
                },
            },
        )
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        leave::leave(&*self.0.world, &params.via, &params.node).await
    }
}
