//! Step kind `keep_serving`: notes what a server serves on :6443, so that the run can be unwound to it. Its
//! undo comes after that of the changed files: where k3s was started with them, it is started again
//! without its copy of the certificate. So the new names go the way that is known to work (facts A, 15).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::certs::AltName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::jobs::{self, Job};
use super::kube::ApiHost;
use super::restart::{self, Target};
use super::unit::UnitLook;
use super::{Services, check, failure, serving};
use crate::world::{JobStatus, RemoteCommand};

/// Stored name.
pub const KIND: &str = "keep_serving";

/// How long the undo waits until the other servers are a majority again.
const OTHERS: Duration = Duration::from_secs(150);
const POLL: Duration = Duration::from_secs(1);

/// Parameters.
pub type Params = Target;

/// What was served, and by which start of k3s.
#[derive(Serialize, Deserialize)]
struct Memo {
    invocation: String,
    names: BTreeSet<AltName>,
}

/// The step kind.
pub struct KeepServing(pub Services);

impl KeepServing {
    /// The guard, with patience: a server that this run has just started may still be on its way.
    async fn wait_for_others(&self, target: &Target, deadline: Instant) -> Result<(), StepFailure> {
        let until = deadline.min(Instant::now() + OTHERS);
        loop {
            match restart::guard(&*self.0.world, target).await {
                Err(_) if Instant::now() + POLL < until => sleep(POLL).await,
                answered => return answered,
            }
        }
    }

    /// k3s was stopped by our undo: whatever runs now has read the files as they are put back.
    async fn marked(&self, context: &StepContext, target: &Target) -> Result<bool, StepFailure> {
        let mark = restart::mark(&jobs::as_undo(context));
        let found = self
            .0
            .world
            .read_file(target.node.host, &mark, 4096)
            .await
            .map_err(failure::world)?;
        Ok(found.is_some())
    }
}

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
            invocation: restart::invocation(world, &target).await?,
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
        if self.marked(context, &target).await? {
            let look = UnitLook::take(world, target.node.host, target.role.unit(), None).await?;
            if !look.active() {
                let why = format!("{} is {}", target.role.unit(), look.state);
                return Ok(Probe::NotDone { why });
            }
            return Ok(
                match restart::as_wanted(world, context, &target, None).await? {
                    Ok(healthy) => done(healthy.words),
                    Err(why) => Probe::NotDone { why },
                },
            );
        }
        if restart::invocation(world, &target).await? != memo.invocation {
            return Ok(Probe::NotDone {
                why: format!("k3s on {} runs with what was changed", target.node.name),
            });
        }
        let served = match serving::served(world, &target.node).await {
            Ok(served) => served,
            Err(why) => return Ok(Probe::NotDone { why }),
        };
        Ok(if !served.names.is_subset(&memo.names) {
            Probe::NotDone {
                why: format!("{} serves new names", target.node.name),
            }
        } else if !serving::is_shared(world, &all(&target), &served).await? {
            Probe::NotDone {
                why: format!(
                    "{} serves a certificate that the others do not share",
                    target.node.name
                ),
            }
        } else {
            done("k3s was not started again, and serves no new name".to_owned())
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let target: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let world = &*self.0.world;
        let job = Job::of_undo(world, context)?;
        let as_undo = jobs::as_undo(context);
        // After a crash the job may be at work: its mark is the proof of it.
        if job.status().await? != JobStatus::Running {
            self.wait_for_others(&target, context.deadline).await?;
            serving::drop_unwanted(world, &all(&target), &memo.names).await?;
            let forget = RemoteCommand::script(restart::FORGET)
                .arg(restart::mark(&as_undo))
                .sudo();
            world
                .run(target.node.host, forget)
                .await
                .map_err(failure::world)?;
        }
        job.run_again(&serving::renew(&as_undo, &target)).await
    }
}

/// All servers; this one last, as it is about to stop.
fn all(target: &Target) -> Vec<ApiHost> {
    let others = target.servers.iter();
    others.chain([&target.node]).cloned().collect()
}
