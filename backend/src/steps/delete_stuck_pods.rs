//! Step kind `delete_stuck_pods`: pods that wait in Terminating on a dead node are taken off the API without its
//! kubelet. Their controllers then make others elsewhere. Never while anything of the machine answers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drain_node::named;
use super::kube::{ApiHost, of_first};
use super::log::Log;
use super::{Services, check, dead, failure};
use crate::world::{Kube, KubePod, PodOwner};

/// Stored name.
pub const KIND: &str = "delete_stuck_pods";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The dead node.
    pub node: ApiHost,
    /// Servers to ask, in this order.
    pub via: Vec<ApiHost>,
}

/// The step kind.
pub struct DeleteStuckPods(pub Services);

/// Pods of a node that wait for its kubelet to let them go. One that the kubelet runs from a file is not
/// the API's to delete.
pub(crate) async fn stuck(kube: &dyn Kube, node: &str) -> Result<Vec<KubePod>, StepFailure> {
    let mut pods = kube.pods(Some(node)).await.map_err(failure::world)?;
    pods.retain(|pod| pod.terminating_until.is_some() && pod.owner != PodOwner::Node);
    Ok(pods)
}

#[async_trait]
impl StepKind for DeleteStuckPods {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let kube = of_first(&*self.0.world, &params.via).await?;
        let left = stuck(&*kube, &params.node.name).await?;
        Ok(if left.is_empty() {
            Probe::Done {
                observed: format!("no pod of {} is Terminating any more", params.node.name),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!("{} are Terminating: {}", left.len(), named(left.iter())),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        let kube = of_first(world, &params.via).await?;
        dead::guard(world, &*kube, &params.node).await?;
        let mut log = Log::open(context).await;
        for pod in stuck(&*kube, &params.node.name).await? {
            kube.force_delete(&pod.id).await.map_err(failure::world)?;
            log.line(&format!("deleted {}", pod.id)).await?;
        }
        Ok(())
    }
}
