//! Step kind `drain_node`: a node takes no new pods, and those that can run elsewhere have left it.
//!
//! As `kubectl drain --ignore-daemonsets --delete-emptydir-data --force` does it, through the eviction API, which heeds
//! disruption budgets. What is lost by it (pods that nobody owns, scratch data) stands in the gate's evidence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::names::K3sVersion;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::kube::{ApiHost, of_first};
use super::log::Log;
use super::{Services, check, failure};
use crate::world::{Eviction, Kube, KubeNode, KubePod};

/// Stored name.
pub const KIND: &str = "drain_node";
/// Recommended deadline, seconds: pods may take their time to end.
pub const DEADLINE_S: u32 = 900;
/// Name of the output: whether this step made the node unschedulable.
pub const CORDONED: &str = "cordoned";
/// Evictions asked for at a time.
const AT_ONCE: usize = 8;
/// Between two tries of what a disruption budget holds back.
const AGAIN: Duration = Duration::from_secs(5);
/// So close to the deadline, waiting is over.
const LAST_CALL: Duration = Duration::from_secs(5);
/// Pods named in words.
const NAMED: usize = 5;

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Node name.
    pub node: String,
    /// Servers to ask, in this order.
    pub via: Vec<ApiHost>,
    /// A node that runs this version already is left as it is: nothing will be done to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unless: Option<Param<K3sVersion>>,
}

/// The node as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    cordoned: bool,
}

/// The step kind.
pub struct DrainNode(pub Services);

impl DrainNode {
    async fn kube(&self, params: &Params) -> Result<Arc<dyn Kube>, StepFailure> {
        of_first(&*self.0.world, &params.via).await
    }
}

/// The node, or why it is not there.
pub(super) async fn find(kube: &dyn Kube, name: &str) -> Result<KubeNode, StepFailure> {
    let nodes = kube.nodes().await.map_err(failure::world)?;
    nodes.into_iter().find(|n| n.name == name).ok_or_else(|| {
        failure::fatal(
            format!("the cluster has no node {name}"),
            "Look at the cluster's page: the node may have been deleted meanwhile.",
        )
    })
}

fn done(observed: String, cordoned: bool) -> Probe {
    let output = Output::Value {
        value: Value::from(cordoned),
    };
    Probe::Done {
        observed,
        outputs: BTreeMap::from([(CORDONED.to_owned(), output)]),
    }
}

fn resolved(context: &StepContext, version: &Param<K3sVersion>) -> Result<String, StepFailure> {
    let version = version.resolve(&context.outputs);
    version.map(|v| v.to_string()).map_err(StepFailure::fatal)
}

/// Pods that a drain still has to move.
async fn staying(kube: &dyn Kube, node: &str) -> Result<Vec<KubePod>, StepFailure> {
    let mut pods = kube.pods(Some(node)).await.map_err(failure::world)?;
    pods.retain(KubePod::leaves_at_drain);
    Ok(pods)
}

/// A few names and the number of the others.
pub(crate) fn named<'a>(pods: impl ExactSizeIterator<Item = &'a KubePod>) -> String {
    let more = pods.len().saturating_sub(NAMED);
    let mut words: Vec<String> = pods.take(NAMED).map(|pod| pod.id.to_string()).collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    words.join(", ")
}

#[async_trait]
impl StepKind for DrainNode {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let kube = self.kube(&params).await?;
        let node = find(&*kube, &params.node).await?;
        if context.memo.is_null()
            && let Some(version) = &params.unless
            && node.version == resolved(context, version)?
        {
            let observed = format!("{} runs {} already", params.node, node.version);
            return Ok(done(observed, false));
        }
        if !node.cordoned {
            return Ok(Probe::NotDone {
                why: format!("{} still takes new pods", params.node),
            });
        }
        let staying = staying(&*kube, &params.node).await?;
        if !staying.is_empty() {
            return Ok(Probe::NotDone {
                why: format!(
                    "{} pods are still on {}: {}",
                    staying.len(),
                    params.node,
                    named(staying.iter())
                ),
            });
        }
        // Done at the first look: somebody else has cordoned it.
        let ours = !context.memo.is_null() && !super::memo::<Memo>(context)?.cordoned;
        let observed = format!(
            "{} is cordoned; no pod is on it that can run elsewhere",
            params.node
        );
        Ok(done(observed, ours))
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let kube = self.kube(&params).await?;
        let cordoned = find(&*kube, &params.node).await?.cordoned;
        serde_json::to_value(Memo { cordoned }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    /// Stays until no budget holds a pod back any more; that they have gone is what the probe sees.
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let kube = self.kube(&params).await?;
        kube.set_cordoned(&params.node, true)
            .await
            .map_err(failure::world)?;
        let mut log = Log::open(context).await;
        let mut held = String::new();
        loop {
            let mut asking = futures::stream::iter(
                staying(&*kube, &params.node)
                    .await?
                    .into_iter()
                    .filter(|pod| pod.terminating_until.is_none())
                    .map(|pod| {
                        let kube = kube.clone();
                        async move { (kube.evict(&pod.id).await, pod.id) }
                    }),
            )
            .buffer_unordered(AT_ONCE);
            let mut blocked = Vec::new();
            while let Some((answer, id)) = asking.next().await {
                match answer.map_err(failure::world)? {
                    Eviction::Accepted => {}
                    Eviction::Blocked { why } => blocked.push(format!("{id}: {why}")),
                }
            }
            if blocked.is_empty() {
                return Ok(());
            }
            blocked.sort_unstable();
            let said = blocked.join("\n");
            if held != said {
                log.line(&format!("held back for now: {said}")).await?;
                held = said;
            }
            if Instant::now() + AGAIN + LAST_CALL >= context.deadline {
                return Err(failure::fatal(
                    format!("disruption budgets did not let go in time: {held}"),
                    "Give these applications more replicas, or loosen their PodDisruptionBudget for a while (kubectl get pdb -A), then retry.",
                ));
            }
            sleep(AGAIN).await;
        }
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let kube = self.kube(&params).await?;
        let node = find(&*kube, &params.node).await?;
        Ok(if node.cordoned == memo.cordoned {
            let observed = if memo.cordoned {
                format!("{} is cordoned, as it was before", params.node)
            } else {
                format!("{} takes new pods again", params.node)
            };
            Probe::Done {
                observed,
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: format!("{} still takes no new pods", params.node),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let kube = self.kube(&params).await?;
        kube.set_cordoned(&params.node, memo.cordoned)
            .await
            .map_err(failure::world)
    }
}
