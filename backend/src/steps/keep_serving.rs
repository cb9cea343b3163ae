//! Step kind `keep_serving`: notes what a server serves on :6443, so that the run can be unwound to it. Its
//! undo comes when the files are put back and every server has started with them: where new names are
//! served, k3s is started without its copy of the certificate. So they go the way that is known to work
//! (facts A, 15).

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::san_origin::Origins;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs;
use super::kube::ApiHost;
use super::restart::{self, Target};
use super::serve_names::{looks, origins};
use super::unit::UnitLook;
use super::{Services, check, serving};
use crate::world::World;

/// Stored name.
pub const KIND: &str = "keep_serving";

/// Parameters.
pub type Params = Target;

/// What was served.
#[derive(Serialize, Deserialize)]
struct Memo {
    names: BTreeSet<AltName>,
}

/// The step kind.
pub struct KeepServing(pub Services);

#[async_trait]
impl StepKind for KeepServing {
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
                why: format!("what {} serves is not noted yet", target.node.name),
            });
        }
        let memo: Memo = super::memo(context)?;
        Ok(Probe::Done {
            observed: format!("noted: {} names", memo.names.len()),
            outputs: BTreeMap::new(),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let target: Params = context.params()?;
        let world = &*self.0.world;
        let memo = Memo {
            names: serving::served(world, &target.node)
                .await
                .map_err(StepFailure::fatal)?
                .names,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
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
        let started = restart::undo_began(world, context, &target).await?;
        let mut healthy = None;
        if started {
            let look = UnitLook::take(world, target.node.host, target.role.unit(), None).await?;
            if !look.active() {
                let why = format!("{} is {}", target.role.unit(), look.state);
                return Ok(Probe::NotDone { why });
            }
            match restart::as_wanted(world, context, &target, None).await? {
                Ok(seen) => healthy = Some(seen.words),
                Err(why) => return Ok(Probe::NotDone { why }),
            }
        }
        let served = match serving::served(world, &target.node).await {
            Ok(served) => served,
            Err(why) => return Ok(Probe::NotDone { why }),
        };
        let mut new: Vec<&AltName> = served.names.difference(&memo.names).collect();
        if !new.is_empty() {
            let known = known(world, &all(&target)).await?;
            new.retain(|name| !known.comes_untold(name));
        }
        Ok(if !new.is_empty() {
            Probe::NotDone {
                why: format!(
                    "{} serves new names: {}",
                    target.node.name,
                    serving::words(new)
                ),
            }
        } else if let Some(words) = healthy {
            // Which certificate all of them serve is settled with the last one.
            done(words)
        } else if !serving::is_shared(world, &all(&target), &served).await? {
            Probe::NotDone {
                why: format!(
                    "{} serves a certificate that the others do not share",
                    target.node.name
                ),
            }
        } else {
            done("it serves no new name".to_owned())
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let target: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let spec = serving::renew(&jobs::as_undo(context), &target);
        restart::undo(world, context, &target, &spec, async || {
            let servers = all(&target);
            let known = known(world, &servers).await?;
            let wanted = |name: &AltName| memo.names.contains(name) || known.comes_untold(name);
            serving::drop_unwanted(world, &servers, wanted).await
        })
        .await
    }
}

/// Where names come from: no start takes those out that k3s adds by itself.
async fn known(world: &dyn World, servers: &[ApiHost]) -> Result<Origins, StepFailure> {
    let looks = looks(world, servers).await?;
    Ok(origins(looks.iter().map(|(server, look)| (*server, look))))
}

/// All servers; this one last, as it is about to stop.
fn all(target: &Target) -> Vec<ApiHost> {
    let others = target.servers.iter();
    others.chain([&target.node]).cloned().collect()
}
