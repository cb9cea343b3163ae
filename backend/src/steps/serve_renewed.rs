//! Step kind `serve_renewed`: every server and load balancer serves one certificate on :6443 that none of
//! them served before. Looked at last: while some servers have had their turn, the old one may come back
//! (facts 15).

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::ApiHost;
use super::serving::agreed;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "serve_renewed";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers.
    pub servers: Vec<ApiHost>,
    /// Load balancers in front of them.
    pub load_balancers: Vec<ApiHost>,
    /// Serial numbers that were served before.
    pub before: Param<Vec<String>>,
}

/// The step kind.
pub struct ServeRenewed(pub Services);

#[async_trait]
impl StepKind for ServeRenewed {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let before = params
            .before
            .resolve(&context.outputs)
            .map_err(StepFailure::fatal)?;
        let ways: Vec<&ApiHost> = params
            .servers
            .iter()
            .chain(&params.load_balancers)
            .collect();
        Ok(match agreed(&*self.0.world, &ways).await {
            Err(why) => Probe::NotDone { why },
            Ok(now) if before.contains(&now.serial) => Probe::NotDone {
                why: format!("the old certificate {} is served", now.serial),
            },
            Ok(now) => Probe::Done {
                observed: format!(
                    "{} serve {} instead of {}",
                    ways.iter()
                        .map(|way| way.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                    now.serial,
                    before.join(", ")
                ),
                outputs: BTreeMap::new(),
            },
        })
    }

    /// There is nothing to do but to look again.
    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        Ok(())
    }
}
