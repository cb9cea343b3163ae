//! Step kind `install_k3s`: a server or an agent, from a bare host until it is healthy.

mod script;
mod wanted;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::install::{InstallRequest, K3S_TOKEN, Role};
use coxswain_k3s::preflight::LeftoverPlace;
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::inspect::{inspect, paths, remains};
use super::jobs::{self, Job, host};
use super::kube::ApiHost;
use super::unit::UnitLook;
use super::{Services, check, failure, hold_k3s, leave, remove_k3s, restart};
use crate::world::JobStatus;

/// Stored name.
pub const KIND: &str = "install_k3s";

/// Time the download and the installer may take. The step's own deadline is longer: k3s must come up.
const INSTALLER: Duration = Duration::from_secs(600);
/// Recommended deadline of the step, seconds.
pub const DEADLINE_S: u32 = 900;
/// So close to the deadline, waiting is over.
const LAST_CALL: Duration = Duration::from_secs(5);

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What is installed, and how.
    pub request: InstallRequest,
    /// The node to be.
    pub node: ApiHost,
    /// A server of the cluster, for all but the first.
    pub via: Option<ApiHost>,
    /// Token to join with, for all but the first server.
    pub token: Option<Param<SecretId>>,
}

/// What undo needs to know of the host as it was.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memo {
    /// Files that were there before: put back after removal.
    kept: Vec<String>,
    /// InvocationID of k3s before, empty if it did not run: a later one is ours.
    invocation: String,
}

/// The step kind.
pub struct InstallK3s(pub Services);

impl InstallK3s {
    fn memo(context: &StepContext) -> Result<Memo, StepFailure> {
        if context.memo.is_null() {
            return Ok(Memo::default());
        }
        super::memo(context)
    }

    /// What may be known only after our own effect: the installer's end, and fatal signs in the journal
    /// since it started k3s. Gives the status of the attempt's job.
    async fn after_effect(
        &self,
        context: &StepContext,
        look: &UnitLook,
    ) -> Result<JobStatus, StepFailure> {
        let status = Job::of(&*self.0.world, context)?.status().await?;
        if let Some(failed) = jobs::failed(&status, "the installer") {
            return Err(failed);
        }
        match look.failure() {
            // Before the installer's end the signs would be those of an earlier attempt.
            Some(failed) if status == (JobStatus::Exited { code: 0 }) => Err(failed),
            Some(_) | None => Ok(status),
        }
    }
}

#[async_trait]
impl StepKind for InstallK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let mark = context.applied.then(|| restart::mark(context));
        let unit = params.request.role.unit();
        let look = UnitLook::take(&*self.0.world, host(context)?, unit, mark.as_deref()).await?;
        let job = if context.applied {
            Some(self.after_effect(context, &look).await?)
        } else {
            None
        };
        let memo = Self::memo(context)?;
        let why = if !look.active() {
            format!(
                "{unit} is {}",
                if look.loaded {
                    look.state.as_str()
                } else {
                    "not installed"
                }
            )
        } else if context.attempt > 0 && look.invocation == memo.invocation {
            format!("{unit} has not been started again")
        } else {
            match wanted::healthy(&self.0, &params, &look, context.deadline).await? {
                Ok(seen) => {
                    let version = Output::Value {
                        value: Value::from(seen.version),
                    };
                    let outputs = BTreeMap::from([("version".to_owned(), version)]);
                    return Ok(Probe::Done {
                        observed: seen.words,
                        outputs,
                    });
                }
                Err(why) => why,
            }
        };
        // The installer did its part: doing it again would not help, so the attempt ends here.
        if job == Some(JobStatus::Exited { code: 0 })
            && Instant::now() + LAST_CALL >= context.deadline
        {
            let advice =
                "Read the journal of k3s on the host (journalctl -u k3s), then retry, or unwind.";
            return Err(failure::fatal(
                format!("not healthy in time: {why}"),
                advice,
            ));
        }
        Ok(Probe::NotDone { why })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let (world, on) = (&*self.0.world, host(context)?);
        let facts = inspect(world, on).await.map_err(failure::world)?;
        let kept: Vec<String> = facts
            .leftovers
            .iter()
            .filter(|left| match left.place() {
                LeftoverPlace::Images | LeftoverPlace::Config | LeftoverPlace::Program => true,
                LeftoverPlace::Generated => left.path.starts_with("/etc/rancher/node"),
                LeftoverPlace::Data
                | LeftoverPlace::Unit
                | LeftoverPlace::Runtime
                | LeftoverPlace::Network => false,
            })
            .map(|left| left.path.clone())
            .collect();
        let foreign: Vec<_> = remains(&facts.leftovers, &kept)
            .into_iter()
            .filter(|left| left.in_the_way())
            .collect();
        if !foreign.is_empty() {
            return Err(failure::fatal(
                format!("an installation of k3s is on the host: {}", paths(&foreign)),
                "Nothing was changed. Start again with the clean-up, or choose another host.",
            ));
        }
        let look = UnitLook::take(world, on, params.request.role.unit(), None).await?;
        let memo = Memo {
            kept,
            invocation: look.invocation,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let install = params
            .request
            .install()
            .map_err(|e| StepFailure::fatal(e.to_string()))?;
        let mut spec = script::spec(&params.request.source, INSTALLER)
            .arg(params.request.role.unit())
            .arg(restart::mark(context))
            .arg(remove_k3s::keep_dir(context));
        spec.args.extend(install.args);
        spec.env = install.env;
        spec = spec.env("INSTALL_K3S_SKIP_START", "true");
        if let Some(token) = &params.token {
            let id = token
                .resolve(&context.outputs)
                .map_err(StepFailure::fatal)?;
            spec = spec.secret_env(
                K3S_TOKEN,
                self.0.secrets.get(id).await.map_err(failure::service)?,
            );
        }
        Job::of(&*self.0.world, context)?
            .run(&spec, context.output.as_ref())
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

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo = Self::memo(context)?;
        let facts = inspect(&*self.0.world, host(context)?)
            .await
            .map_err(failure::world)?;
        let left = remains(&facts.leftovers, &memo.kept);
        let missing: Vec<&str> = memo
            .kept
            .iter()
            .filter(|kept| !facts.leftovers.iter().any(|left| left.path == **kept))
            .map(String::as_str)
            .collect();
        let why = if !left.is_empty() {
            format!("there still is: {}", paths(&left))
        } else if !missing.is_empty() {
            format!("not put back: {}", missing.join(", "))
        } else {
            let standing = match &params.via {
                Some(via) => leave::standing(&*self.0.world, via, &params.node).await?,
                None => None,
            };
            match standing {
                Some(why) => why,
                None => {
                    let observed = match params.request.role {
                        Role::FirstServer => "nothing of k3s is left on the host",
                        Role::JoinServer { .. } | Role::Agent { .. } => {
                            "nothing of k3s is left on the host, and the cluster does not know it any more"
                        }
                    };
                    return Ok(Probe::Done {
                        observed: observed.to_owned(),
                        outputs: BTreeMap::new(),
                    });
                }
            }
        };
        Ok(Probe::NotDone { why })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo = Self::memo(context)?;
        let world = &*self.0.world;
        if let Some(via) = &params.via {
            match params.request.role {
                // Its member leaves while it runs: it must not join again before it is removed.
                Role::FirstServer | Role::JoinServer { .. } => {
                    hold_k3s::hold(world, host(context)?).await?;
                }
                Role::Agent { .. } => {}
            }
            leave::leave(world, via, &params.node).await?;
        }
        Job::of_undo(world, context)?
            .run_again(&remove_k3s::spec(context, &memo.kept))
            .await?;
        if let Some(via) = &params.via {
            // A kubelet that was still running may have registered its Node once more.
            leave::leave(world, via, &params.node).await?;
        }
        Ok(())
    }
}
