//! Step kind `stop_k3s`: k3s on one node is stopped and does not start at boot.
//!
//! A server is stopped only while the others keep the quorum, unless the plan declares the outage.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::Job;
use super::restart::{self, Target};
use super::unit::UnitLook;
use super::{Services, check};
use crate::world::{JobSpec, Script};

/// Stored name.
pub const KIND: &str = "stop_k3s";
/// Recommended deadline, seconds.
pub const DEADLINE_S: u32 = 240;

/// Time that stopping or starting may take.
const RUNTIME: Duration = Duration::from_secs(200);

/// `$1` the unit. Disabled first: a host that goes down in between must not come up with it.
pub(crate) const STOP: Script = Script {
    name: "stop-k3s",
    text: r#"systemctl disable "$1" || exit 1
echo "coxswain: stopping $1"
systemctl stop "$1"
systemctl reset-failed "$1" 2>/dev/null
exit 0
"#,
};

/// `$1` the unit, `$2` `enable` if it was enabled. Does not wait: k3s has no start time-out.
pub(crate) const START: Script = Script {
    name: "start-k3s",
    text: r#"if [ "${2-}" = enable ]; then systemctl enable "$1" || exit 1; fi
echo "coxswain: starting $1"
systemctl start --no-block "$1"
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The node.
    pub target: Target,
    /// Whether the rest must keep the quorum.
    pub outage: Outage,
}

/// What stopping a server may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// Refused when the other members are no majority.
    Refused,
    /// The plan says that the cluster goes down.
    Intended,
}

/// The unit as it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memo {
    active: bool,
    enabled: bool,
}

/// The step kind.
pub struct StopK3s(pub Services);

impl StopK3s {
    async fn look(&self, target: &Target) -> Result<UnitLook, StepFailure> {
        UnitLook::take(&*self.0.world, target.node.host, target.role.unit(), None).await
    }

    async fn guard(&self, params: &Params) -> Result<(), StepFailure> {
        match params.outage {
            Outage::Refused => restart::guard(&*self.0.world, &params.target).await,
            Outage::Intended => Ok(()),
        }
    }
}

#[async_trait]
impl StepKind for StopK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target = context.params::<Params>()?.target;
        let look = self.look(&target).await?;
        let unit = target.role.unit();
        Ok(if look.stopped() && !look.enabled {
            Probe::Done {
                observed: format!("{unit} is stopped, and does not start at boot"),
                outputs: BTreeMap::new(),
            }
        } else {
            let boot = if look.enabled { ", starts at boot" } else { "" };
            Probe::NotDone {
                why: format!("{unit} is {}{boot}", look.state),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        self.guard(&params).await?;
        let look = self.look(&params.target).await?;
        let memo = Memo {
            active: !look.stopped(),
            enabled: look.enabled,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        // A later attempt finds another world than the first one did.
        self.guard(&params).await?;
        let spec = JobSpec::new(STOP, RUNTIME).arg(params.target.role.unit());
        Job::of(&*self.0.world, context)?
            .run(&spec, context.output.as_ref())
            .await
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        Job::of(&*self.0.world, context)?.reattach(context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.remove().await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let target = context.params::<Params>()?.target;
        let memo: Memo = super::memo(context)?;
        let look = self.look(&target).await?;
        let why = if look.enabled != memo.enabled {
            format!("{} is not enabled as before", target.role.unit())
        } else if !memo.active {
            return Ok(Probe::Done {
                observed: format!("{} is as before", target.role.unit()),
                outputs: BTreeMap::new(),
            });
        } else if !look.active() {
            format!("{} is {}", target.role.unit(), look.state)
        } else {
            match restart::as_wanted(&*self.0.world, context, &target, None).await? {
                Ok(healthy) => {
                    return Ok(Probe::Done {
                        observed: healthy.words,
                        outputs: BTreeMap::new(),
                    });
                }
                Err(why) => why,
            }
        };
        Ok(Probe::NotDone { why })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let target = context.params::<Params>()?.target;
        let memo: Memo = super::memo(context)?;
        let look = self.look(&target).await?;
        // Stopped by half, or started by an undo before a crash.
        if look.enabled == memo.enabled && (!memo.active || !look.stopped()) {
            return Ok(());
        }
        let mut spec = JobSpec::new(START, RUNTIME).arg(target.role.unit());
        if memo.enabled {
            spec = spec.arg("enable");
        }
        Job::of_undo(&*self.0.world, context)?
            .run_again(&spec)
            .await
    }
}
