//! Remote jobs as steps use them: start or attach, take the output to its end, wait, stop, forget.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::step::{Attached, StepContext, StepFailure};
use coxswain_engine::store::StepOutput;
use coxswain_k3s::journal::{JoinFailure, last_fatal_sign};
use coxswain_wire::{HostId, StepError};

use super::failure;
use crate::world::{JobId, JobSpec, JobStart, JobStatus, World};

/// Bytes asked for at once.
const CHUNK: usize = 64 * 1024;
/// How long the host holds a read back for new output.
const WAIT: Duration = Duration::from_secs(5);
/// Jobs of an undo are numbered from here, apart from those of attempts.
pub(crate) const UNDO: u32 = 1_000_000;
/// How much of a failed undo's output its error quotes.
const TAIL: usize = 2000;

/// One job on one host.
pub(crate) struct Job<'a> {
    world: &'a dyn World,
    host: HostId,
    id: JobId,
}

impl<'a> Job<'a> {
    /// The job of the context's attempt.
    pub(crate) fn of(world: &'a dyn World, context: &StepContext) -> Result<Self, StepFailure> {
        let id = JobId {
            run: context.run,
            step: context.step,
            attempt: context.attempt,
        };
        Ok(Self {
            world,
            host: host(context)?,
            id,
        })
    }

    /// The job that undoes the step.
    pub(crate) fn of_undo(
        world: &'a dyn World,
        context: &StepContext,
    ) -> Result<Self, StepFailure> {
        let mut job = Self::of(world, context)?;
        job.id.attempt = UNDO;
        Ok(job)
    }

    /// Starts the job, or attaches to it, and takes its output to the end. Ok: it exited with status 0.
    pub(crate) async fn run(
        &self,
        spec: &JobSpec,
        output: Option<&Arc<dyn StepOutput>>,
    ) -> Result<(), StepFailure> {
        match self
            .world
            .job_start(self.host, self.id, spec)
            .await
            .map_err(failure::world)?
        {
            JobStart::Started { .. } | JobStart::AlreadyClaimed => {}
        }
        verdict(&self.follow(output).await?, spec.script.name)
    }

    /// Runs the job of an undo from its beginning, unless it is running now.
    pub(crate) async fn run_again(&self, spec: &JobSpec) -> Result<(), StepFailure> {
        let start = || self.world.job_start(self.host, self.id, spec);
        if start().await.map_err(failure::world)? == JobStart::AlreadyClaimed {
            match self.status().await? {
                JobStatus::Running => {}
                JobStatus::Absent | JobStatus::Exited { .. } | JobStatus::Died { .. } => {
                    self.remove().await?;
                    start().await.map_err(failure::world)?;
                }
            }
        }
        let ended = self.follow(None).await?;
        let tail = self.tail().await?;
        self.remove().await?;
        verdict(&ended, spec.script.name).map_err(|failed| match failed {
            StepFailure::Fatal(mut error) => {
                error.causes = tail;
                StepFailure::Fatal(error)
            }
            unreachable @ StepFailure::Unreachable(_) => unreachable,
        })
    }

    /// What became of it.
    pub(crate) async fn status(&self) -> Result<JobStatus, StepFailure> {
        self.world
            .job_status(self.host, self.id)
            .await
            .map_err(failure::world)
    }

    /// Waits for its end, taking the output from where the log stopped.
    pub(crate) async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        if context.attempt > 0 {
            self.follow(context.output.as_ref()).await?;
        }
        Ok(Attached::Over)
    }

    /// Ends it. Returns when nothing of it is alive.
    pub(crate) async fn stop(&self) -> Result<(), StepFailure> {
        self.world
            .job_stop(self.host, self.id)
            .await
            .map_err(failure::world)
    }

    /// Removes what it left for attaching.
    pub(crate) async fn remove(&self) -> Result<(), StepFailure> {
        self.world
            .job_remove(self.host, self.id)
            .await
            .map_err(failure::world)
    }

    async fn follow(&self, output: Option<&Arc<dyn StepOutput>>) -> Result<JobStatus, StepFailure> {
        let mut offset = match output {
            Some(output) => output.position().await,
            None => 0,
        };
        loop {
            let read = self
                .world
                .job_read(self.host, self.id, offset, CHUNK, WAIT)
                .await
                .map_err(failure::world)?;
            if let Some(output) = output
                && !read.bytes.is_empty()
            {
                output.append(offset, &read.bytes).await.map_err(|e| {
                    StepFailure::fatal(format!("the step's output cannot be stored: {e}"))
                })?;
            }
            if read.complete(offset) {
                return Ok(read.status);
            }
            offset += read.bytes.len() as u64;
        }
    }

    /// Its failure in k3s's own words, if the end of its output has some.
    pub(crate) async fn explained(&self, failed: StepFailure) -> Result<StepFailure, StepFailure> {
        let StepFailure::Fatal(error) = failed else {
            return Ok(failed);
        };
        Ok(match last_fatal_sign(&self.tail().await?.join("\n")) {
            None => StepFailure::Fatal(error),
            Some(sign) => StepFailure::Fatal(StepError {
                message: format!("k3s: {}", sign.message),
                causes: vec![error.message],
                // The advice for any other line leads to k3s's journal; this one stands in the job's output.
                advice: if sign.kind == JoinFailure::Other {
                    error.advice
                } else {
                    Some(sign.kind.advice().to_owned())
                },
            }),
        })
    }

    /// The last lines of its output.
    async fn tail(&self) -> Result<Vec<String>, StepFailure> {
        let read = |from| {
            self.world
                .job_read(self.host, self.id, from, TAIL, Duration::ZERO)
        };
        let size = read(0).await.map_err(failure::world)?.size;
        let last = read(size.saturating_sub(TAIL as u64))
            .await
            .map_err(failure::world)?;
        let text = String::from_utf8_lossy(&last.bytes).into_owned();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Ok(lines[lines.len().saturating_sub(5)..].to_vec())
    }
}

/// The context of the job that undoes the step, for what is named after an attempt.
pub(crate) fn as_undo(context: &StepContext) -> StepContext {
    StepContext {
        attempt: UNDO,
        ..context.clone()
    }
}

/// The host of a step that has one.
pub(crate) fn host(context: &StepContext) -> Result<HostId, StepFailure> {
    context
        .host
        .ok_or_else(|| StepFailure::fatal("the step names no host"))
}

fn verdict(ended: &JobStatus, name: &str) -> Result<(), StepFailure> {
    let message = match ended {
        JobStatus::Exited { code: 0 } => return Ok(()),
        JobStatus::Exited { code } => format!("{name} ended with status {code}"),
        JobStatus::Died { cause } => format!("{name} {cause}"),
        JobStatus::Absent => format!("the job {name} is not on the host any more"),
        JobStatus::Running => format!("the job {name} is still running"),
    };
    let advice =
        Some("Read the step's output: its last lines say why. Then retry, or unwind.".to_owned());
    Err(StepFailure::Fatal(StepError {
        message,
        causes: Vec::new(),
        advice,
    }))
}

/// Why the job of the attempt cannot have done its work, if so. Running and absent jobs tell nothing.
pub(crate) fn failed(status: &JobStatus, name: &str) -> Option<StepFailure> {
    match status {
        JobStatus::Exited { code: 0 }
        | JobStatus::Running
        | JobStatus::Absent
        | JobStatus::Died { .. } => None,
        JobStatus::Exited { .. } => verdict(status, name).err(),
    }
}
