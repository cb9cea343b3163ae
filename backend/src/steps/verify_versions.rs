//! Step kind `verify_versions`: every node runs one version, by its Node and by its binary, and is told what it
//! was told before. Then the old binaries go.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::names::K3sVersion;
use coxswain_wire::StepIndex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::{ApiHost, of_first};
use super::node_files::NodeFiles;
use super::place_k3s::{self, FORGET, PROGRAM, files_of, keep_dir, kept};
use super::resolve_release::binary;
use super::restart::NodeRole;
use super::{Services, check, failure};
use crate::world::RemoteCommand;

/// Stored name.
pub const KIND: &str = "verify_versions";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Servers to ask, in this order.
    pub via: Vec<ApiHost>,
    /// All nodes.
    pub nodes: Vec<Placed>,
    /// What they must run.
    pub version: Param<K3sVersion>,
}

/// A node, and the step that placed k3s there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The node.
    pub node: ApiHost,
    /// Server or agent.
    pub role: NodeRole,
    /// The step.
    pub step: StepIndex,
}

/// The step kind.
pub struct VerifyVersions(pub Services);

impl VerifyVersions {
    /// What was seen; `Err` inside: what is otherwise.
    async fn seen(
        &self,
        context: &StepContext,
        params: &Params,
    ) -> Result<Result<String, String>, StepFailure> {
        let version = params.version.resolve(&context.outputs);
        let version = version.map_err(StepFailure::fatal)?;
        let world = &*self.0.world;
        let kube = of_first(world, &params.via).await?;
        let nodes = kube.nodes().await.map_err(failure::world)?;
        let mut compared = 0;
        for Placed { node, role, step } in &params.nodes {
            let name = &node.name;
            let reported = nodes.iter().find(|n| n.name == *name);
            let reported = reported.map_or("nothing", |n| n.version.as_str());
            if reported != version.to_string() {
                return Ok(Err(format!("{name} runs {reported} instead of {version}")));
            }
            let found = binary(world, node.host, PROGRAM).await?;
            if found.as_ref() != Some(&version) {
                return Ok(Err(format!(
                    "{PROGRAM} on {name} is not k3s {version} any more"
                )));
            }
            let before = (*step, place_k3s::BEFORE.to_owned());
            if let Some(Output::Secret { id }) = context.outputs.get(&before) {
                let before = files_of(&self.0, *id).await?;
                let now = NodeFiles::take(world, node.host, *role).await?;
                if let Some(other) = before.differences(&now) {
                    return Ok(Err(format!("not as before on {name}: {other}")));
                }
                compared += 1;
            }
        }
        Ok(Ok(format!(
            "{} nodes run k3s {version}, by their Nodes and their binaries; unit file, environment and configuration are as before on the {compared} that were changed",
            params.nodes.len()
        )))
    }
}

#[async_trait]
impl StepKind for VerifyVersions {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let observed = match self.seen(context, &params).await? {
            Err(why) => return Ok(Probe::NotDone { why }),
            Ok(observed) => observed,
        };
        for placed in &params.nodes {
            let keep = keep_dir(context.run, placed.step);
            if kept(&*self.0.world, placed.node.host, &keep).await? {
                let why = format!("the old k3s is still kept on {}", placed.node.name);
                return Ok(Probe::NotDone { why });
            }
        }
        Ok(Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        if let Err(why) = self.seen(context, &params).await? {
            return Err(failure::fatal(
                why,
                "Look who changed it, correct it, then retry. Nothing of what was kept is deleted.",
            ));
        }
        for placed in &params.nodes {
            let forget = RemoteCommand::script(FORGET)
                .arg(keep_dir(context.run, placed.step))
                .sudo();
            let answer = self.0.world.run(placed.node.host, forget).await;
            answer
                .and_then(|o| o.ok(FORGET.name))
                .map_err(failure::world)?;
        }
        Ok(())
    }
}
