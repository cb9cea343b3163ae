//! Step kind `run_command`: something that takes its time on a host, as a remote job: a log that is
//! followed, or what a person typed. Done when it has ended and what it printed is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::{Job, host};
use super::restart::NodeRole;
use super::{Services, check, failure};
use crate::world::{DeathCause, JobSpec, JobStatus, Script};

/// Stored name.
pub const KIND: &str = "run_command";

/// After its own time limit a job is ended by systemd.
const GRACE: Duration = Duration::from_secs(20);
/// What `timeout` ends with when it had to end its command.
const OUT_OF_TIME: i32 = 124;

/// `$1` the unit, `$2` lines to begin with, `$3` seconds.
pub(crate) const FOLLOW: Script = Script {
    name: "follow-log",
    text: r#"timeout -k 5 "$3" journalctl -q --no-pager -o short-iso -u "$1" -n "$2" -f
code=$?
[ "$code" -eq 124 ] || exit "$code"
"#,
};

/// `$1` the user, `$2` seconds, `$3` what a person typed: it reaches a shell as its input, and is no part
/// of any other shell's text.
pub(crate) const SHELL: Script = Script {
    name: "run-shell",
    text: r#"if [ "$1" = root ]; then
    printf '%s\n' "$3" | timeout -k 5 "$2" sh -s
else
    printf '%s\n' "$3" | timeout -k 5 "$2" runuser -l "$1" -c 'exec sh -s'
fi
"#,
};

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// k3s's log as it grows.
    Follow {
        /// Server or agent: the unit.
        role: NodeRole,
        /// Lines to begin with.
        lines: u32,
    },
    /// What a person typed.
    Shell {
        /// For `sh`.
        text: String,
        /// Who runs it.
        user: String,
    },
}

/// Parameters: the step's host is where it runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// What is run.
    pub command: Command,
    /// For how long at most.
    pub seconds: u32,
}

impl Params {
    fn spec(&self) -> JobSpec {
        let seconds = self.seconds.to_string();
        let most = Duration::from_secs(u64::from(self.seconds)) + GRACE;
        match &self.command {
            Command::Follow { role, lines } => JobSpec::new(FOLLOW, most)
                .arg(role.unit())
                .arg(lines.to_string())
                .arg(seconds),
            Command::Shell { text, user } => {
                JobSpec::new(SHELL, most).arg(user).arg(seconds).arg(text)
            }
        }
    }

    /// What its end means.
    fn judged(&self, status: JobStatus) -> Result<Probe, StepFailure> {
        let done = |observed: String| Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        };
        let missing = |why: &str| Probe::NotDone {
            why: why.to_owned(),
        };
        Ok(match status {
            JobStatus::Absent => missing("it was not started yet"),
            JobStatus::Running => missing("it is still running"),
            JobStatus::Died {
                cause: DeathCause::Stopped,
            } if matches!(self.command, Command::Follow { .. }) => {
                done("followed until it was stopped".to_owned())
            }
            JobStatus::Died { cause } => {
                return Err(failure::fatal(
                    format!("the command {cause}"),
                    "What it had done by then, it has done. Look before you run it again.",
                ));
            }
            JobStatus::Exited { code } => match &self.command {
                Command::Follow { .. } if code == 0 => {
                    done(format!("followed for {} s", self.seconds))
                }
                Command::Follow { .. } => {
                    return Err(failure::fatal(
                        format!("journalctl ended with status {code}"),
                        "Its output says why. Nothing was changed: retry, or abandon.",
                    ));
                }
                Command::Shell { .. } if code == OUT_OF_TIME => {
                    return Err(failure::fatal(
                        format!("it was ended after {} s", self.seconds),
                        "What it had done by then, it has done. Look before you run it again, with more time.",
                    ));
                }
                Command::Shell { .. } => done(format!("ended with status {code}")),
            },
        })
    }
}

/// The step kind.
pub struct RunCommand(pub Services);

#[async_trait]
impl StepKind for RunCommand {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        if !context.applied {
            return Ok(Probe::NotDone {
                why: "it was not started yet".to_owned(),
            });
        }
        params.judged(Job::of(&*self.0.world, context)?.status().await?)
    }

    /// Before anything is begun there is nothing to wait for on a host that does not answer.
    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let boot = self.0.world.boot_id(host(context)?).await;
        boot.map_err(failure::at_once)?;
        Ok(Value::Null)
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        Job::of(&*self.0.world, context)?
            .run(&params.spec(), context.output.as_ref())
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
}
