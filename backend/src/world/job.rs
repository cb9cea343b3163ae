//! Remote jobs: what outlives the panel on a host.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use coxswain_wire::{RunId, StepIndex, step_number};

use super::{Script, Secret};

/// Identifies a job on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepIndex,
    /// Its attempt.
    pub attempt: u32,
}

impl JobId {
    /// Name of the transient unit: `coxswain-<run>-<step>-<attempt>.service`, the step counted from 1.
    #[must_use]
    pub fn unit(&self) -> String {
        format!("coxswain-{self}.service")
    }
}

/// `<run>-<step>-<attempt>`, the step counted from 1 as on the screen: the name of its folder.
impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = step_number(self.step);
        write!(f, "{}-{step}-{}", self.run, self.attempt)
    }
}

/// Not the name of a job's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a job name")]
pub struct NotAJobName;

impl FromStr for JobId {
    type Err = NotAJobName;

    fn from_str(text: &str) -> Result<Self, NotAJobName> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(NotAJobName);
        let (run, step, attempt) = (next()?, next()?, next()?);
        let job = Self {
            run: RunId(run.parse().map_err(|_| NotAJobName)?),
            step: step
                .parse::<StepIndex>()
                .ok()
                .and_then(|number| number.checked_sub(1))
                .ok_or(NotAJobName)?,
            attempt: attempt.parse().map_err(|_| NotAJobName)?,
        };
        // The way back must give the same text: no sign, no leading zero, nothing behind.
        if job.to_string() == text {
            Ok(job)
        } else {
            Err(NotAJobName)
        }
    }
}

/// What a job does. Runs as root, standard input empty, standard output and error as one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSpec {
    /// The script.
    pub script: Script,
    /// Positional parameters from `$1` on. Not for secrets.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Environment that is secret: passed through standard input and a 0600 file which the job deletes first.
    pub secret_env: Vec<(String, Secret)>,
    /// systemd ends the job after this time (`RuntimeMaxSec`).
    pub runtime_max: Duration,
}

impl JobSpec {
    /// A job without parameters and environment.
    #[must_use]
    pub fn new(script: Script, runtime_max: Duration) -> Self {
        Self {
            script,
            args: Vec::new(),
            env: Vec::new(),
            secret_env: Vec::new(),
            runtime_max,
        }
    }

    /// Appends a positional parameter.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds to the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds a secret to the environment.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secret_env.push((name.into(), value));
        self
    }
}

/// Answer to a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStart {
    /// It runs now.
    Started {
        /// The host's boot id at that moment.
        boot_id: String,
    },
    /// This job was claimed before: it is ours; attach to it.
    AlreadyClaimed,
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// Never claimed on this host, or removed.
    Absent,
    /// Starting or running.
    Running,
    /// Ended by itself.
    Exited {
        /// Exit status of the script.
        code: i32,
    },
    /// Ended without an exit status: nobody knows how far it came.
    Died {
        /// Why.
        cause: DeathCause,
    },
}

/// Why a job ended without an exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeathCause {
    /// The host has booted since.
    HostRebooted,
    /// [`super::World::job_stop`].
    Stopped,
    /// It ran longer than [`JobSpec::runtime_max`].
    RanTooLong,
    /// It was claimed, but its unit was never seen started.
    NeverStarted,
    /// Anything else; systemd's word for it (`signal`, `oom-kill`, …), or `gone` when the unit is gone.
    Unit {
        /// systemd's `Result`.
        result: String,
    },
}

/// As a sentence's end: "the job …".
impl fmt::Display for DeathCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeathCause::HostRebooted => f.write_str("died with its host, which has booted since"),
            DeathCause::Stopped => f.write_str("was stopped"),
            DeathCause::RanTooLong => f.write_str("ran longer than it may and was ended"),
            DeathCause::NeverStarted => f.write_str("was claimed but never started"),
            DeathCause::Unit { result } => write!(f, "ended without an exit status ({result})"),
        }
    }
}

/// A piece of a job's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRead {
    /// From the offset that was asked for; the next offset is that plus the length.
    pub bytes: Vec<u8>,
    /// Length of the stored output when this was read.
    pub size: u64,
    /// Bytes beyond the cap of 64 MiB, which were counted and not stored; known once the job has ended.
    pub dropped: u64,
    /// Looked at before the output: with an ended job and `offset + bytes.len() == size`, that was all.
    pub status: JobStatus,
}

impl JobRead {
    /// The job has ended and this read, asked from `offset`, reached the end of its output.
    #[must_use]
    pub fn complete(&self, offset: u64) -> bool {
        self.status != JobStatus::Running && offset + self.bytes.len() as u64 >= self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_steps_from_one_and_leads_back() {
        let job = JobId {
            run: RunId(7),
            step: 2,
            attempt: 1,
        };
        assert_eq!(job.unit(), "coxswain-7-3-1.service");
        assert_eq!(job.to_string().parse(), Ok(job));
        for bad in ["", "7", "7-0-1", "7-03-1", "7-3", "7-3-1-1", "7--3-1"] {
            assert_eq!(bad.parse::<JobId>(), Err(NotAJobName), "{bad}");
        }
    }
}
