//! Remote jobs: they take time, print as they go, and have their effect at their end.

use std::time::Duration;

use tokio::time::Instant;

use super::FakeHost;
use crate::world::{DeathCause, JobId, JobRead, JobSpec, JobStart, JobStatus, Result, WorldError};

/// A job.
pub(super) struct Job {
    pub(super) spec: JobSpec,
    started: Instant,
    /// Pieces of output, each with its time since the start.
    output: Vec<(Duration, String)>,
    takes: Duration,
    end: Option<End>,
}

struct End {
    at: Instant,
    status: JobStatus,
}

/// How long a script takes, and what it prints.
fn course(spec: &JobSpec) -> (Duration, Vec<String>) {
    let (seconds, lines): (u64, Vec<String>) = match spec.script.name {
        "install-k3s-online" | "install-k3s-air-gap" | "place-k3s-online" | "place-k3s-air-gap" => {
            (
                12,
                (1..=4)
                    .map(|n| format!("[INFO]  step {n} of the installer\n"))
                    .collect(),
            )
        }
        "remove-k3s" => (
            6,
            vec![
                "coxswain: removing what is left\n".to_owned(),
                "coxswain: done\n".to_owned(),
            ],
        ),
        // Until the time that it is given is over.
        "follow-log" => (
            spec.args
                .get(2)
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(3),
            vec!["k3s works\n".to_owned()],
        ),
        _ => (3, vec![format!("{} works\n", spec.script.name)]),
    };
    (Duration::from_secs(seconds), lines)
}

impl Job {
    fn new(spec: &JobSpec) -> Self {
        let (takes, lines) = course(spec);
        let pieces = u32::try_from(lines.len()).unwrap_or(1).max(1);
        let output = (1..)
            .zip(lines)
            .map(|(n, line)| (takes * n / (pieces + 1), line))
            .collect();
        Self {
            spec: spec.clone(),
            started: Instant::now(),
            output,
            takes,
            end: None,
        }
    }

    /// When it ends by itself; none if it has ended.
    pub(super) fn due(&self) -> Option<Instant> {
        self.end.is_none().then(|| self.started + self.takes)
    }

    /// It has come to its own end.
    pub(super) fn exit(&mut self, at: Instant, code: i32, last: &str) {
        if !last.is_empty() {
            self.output.push((at - self.started, last.to_owned()));
        }
        self.end = Some(End {
            at,
            status: JobStatus::Exited { code },
        });
    }

    /// The host goes down under it.
    pub(super) fn lose(&mut self, at: Instant) {
        self.die(at, DeathCause::HostRebooted);
    }

    fn die(&mut self, at: Instant, cause: DeathCause) {
        if self.end.is_none() {
            self.end = Some(End {
                at,
                status: JobStatus::Died { cause },
            });
        }
    }

    fn status(&self) -> JobStatus {
        self.end
            .as_ref()
            .map_or(JobStatus::Running, |end| end.status.clone())
    }

    fn printed(&self) -> String {
        let until = self.end.as_ref().map_or_else(Instant::now, |end| end.at);
        self.output
            .iter()
            .filter(|(at, _)| self.started + *at <= until)
            .map(|(_, text)| text.as_str())
            .collect()
    }
}

impl FakeHost {
    pub(super) fn start(&mut self, id: JobId, spec: &JobSpec) -> Result<JobStart> {
        if self.jobs.contains_key(&id) {
            return Ok(JobStart::AlreadyClaimed);
        }
        self.starts.push(spec.script.name);
        self.jobs.insert(id, Job::new(spec));
        Ok(JobStart::Started {
            boot_id: self.boot_id(),
        })
    }

    pub(super) fn job_status(&self, id: JobId) -> JobStatus {
        self.jobs.get(&id).map_or(JobStatus::Absent, Job::status)
    }

    pub(super) fn job_read(&self, id: JobId, offset: u64, max: usize) -> JobRead {
        let Some(job) = self.jobs.get(&id) else {
            return JobRead {
                bytes: Vec::new(),
                size: 0,
                dropped: 0,
                status: JobStatus::Absent,
            };
        };
        let printed = job.printed().into_bytes();
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(printed.len());
        let to = printed.len().min(from + max);
        JobRead {
            bytes: printed[from..to].to_vec(),
            size: printed.len() as u64,
            dropped: 0,
            status: job.status(),
        }
    }

    pub(super) fn stop(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.die(Instant::now(), DeathCause::Stopped);
        }
    }

    pub(super) fn remove(&mut self, id: JobId) -> Result<()> {
        if self.job_status(id) == JobStatus::Running {
            return Err(WorldError::command("job-remove", 1, b"the job runs"));
        }
        self.jobs.remove(&id);
        Ok(())
    }

    pub(super) fn jobs(&self) -> Vec<(JobId, JobStatus)> {
        self.jobs
            .iter()
            .map(|(id, job)| (*id, job.status()))
            .collect()
    }
}
