//! Doing one step: probe, record the intent, apply, probe until it is so.
//!
//! The same code serves the first start and a restart in mid-step; it differs only in the state that it
//! finds. Everything here may be dropped at any await before the intent is recorded. After that, an
//! attempt ends with exactly one recorded outcome.

use std::sync::Arc;
use std::time::Duration;

use coxswain_wire::{StepError, StepIndex};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::event::Event;
use crate::runner::Recorder;
use crate::step::{Attached, Probe, StepContext, StepFailure, StepKind, error};
use crate::store::Store;

/// How often and how patiently targets are asked.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two probes of a step that is not done yet.
    pub poll: Duration,
    /// Longest wait between two tries to reach a target.
    pub patience: Duration,
    /// After a restart, an attempt found in flight gets at least this long to be understood.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            grace: Duration::from_secs(60),
        }
    }
}

/// One step to be done.
pub(crate) struct Drive {
    pub(crate) kind: Arc<dyn StepKind>,
    pub(crate) context: StepContext,
    pub(crate) ending: Ending,
    /// Attempts made before; those of an effect that was given back are not in the context.
    pub(crate) attempts: u32,
    /// Seconds an attempt may take.
    pub(crate) deadline: Duration,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) recorder: Recorder,
    pub(crate) halt: watch::Receiver<Halt>,
    pub(crate) timing: Timing,
}

/// How urgently the run wants running steps to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// Not at all.
    No,
    /// Somebody stops the run, or something is to be given back: who only watches ends.
    Leaving,
    /// Kill-now, or abandon.
    Now,
}

/// What ends a running step before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing.
    Never,
    /// Kill-now.
    AtKill,
    /// Kill-now, a stop, and as soon as something is to be given back.
    AtStop,
}

impl Ending {
    fn wanted(self, halt: Halt) -> bool {
        match self {
            Ending::Never => false,
            Ending::AtKill => halt == Halt::Now,
            Ending::AtStop => halt != Halt::No,
        }
    }
}

/// How an attempt ended.
enum Outcome {
    Done(Probe),
    Failed(StepError),
    Unsure(StepError),
}

impl Drive {
    /// Sees the step to a recorded outcome. Returns early only if the runner no longer wants it.
    pub(crate) async fn run(mut self) {
        let mut halt = self.halt.clone();
        // An attempt found in flight after a crash may have a long job to wait for.
        let ending = if self.context.applied {
            self.ending
        } else {
            Ending::Never
        };
        let before = tokio::select! {
            before = self.before() => Some(before),
            () = halted(&mut halt, ending) => None,
        };
        let before = match before {
            Some(before) => before,
            None => Err(self.ended_on_request().await),
        };
        let outcome = match before {
            Ok(Some(outcome)) => outcome,
            Ok(None) => match self.attempt().await {
                Some(outcome) => outcome,
                None => return,
            },
            Err(failed) => failed,
        };
        self.conclude(outcome).await;
    }

    /// What a crash or an earlier attempt left, and the first probe. `None`: it is to be done.
    async fn before(&mut self) -> Result<Option<Outcome>, Outcome> {
        if self.context.attempt > 0 {
            self.open_output().await?;
            self.settle_jobs().await?;
        }
        match self.ask().await? {
            done @ Probe::Done { .. } => Ok(Some(Outcome::Done(done))),
            Probe::NotDone { .. } => Ok(None),
            Probe::Unsure { why } => Err(Outcome::Unsure(error(why))),
        }
    }

    /// Records the intent and makes one attempt. `None` if the runner refused the intent.
    async fn attempt(&mut self) -> Option<Outcome> {
        let memo = if self.context.memo.is_null() {
            let until = Instant::now() + self.deadline;
            match retrying(until, self.timing.patience, || {
                self.kind.prepare(&self.context)
            })
            .await
            {
                Ok(memo) => memo,
                Err(failure) => return Some(Outcome::Failed(failure.into_error())),
            }
        } else {
            self.context.memo.clone()
        };
        let attempt = self.attempts + 1;
        let intent = Event::StepStarted {
            step: self.context.step,
            attempt,
            memo: memo.clone(),
        };
        self.recorder.record(intent).await.ok()?;
        self.context.memo = memo;
        self.context.attempt = attempt;
        self.context.deadline = Instant::now() + self.deadline;
        if let Err(outcome) = self.open_output().await {
            return Some(outcome);
        }
        self.context.applied = true;
        Some(self.apply_and_observe().await)
    }

    async fn apply_and_observe(&mut self) -> Outcome {
        let applied = tokio::select! {
            applied = timeout_at(self.context.deadline, self.kind.apply(&self.context)) => applied,
            () = halted(&mut self.halt, self.ending) => return self.ended_on_request().await,
        };
        let applied = match applied {
            Ok(Ok(())) => Applied::Yes,
            Ok(Err(StepFailure::Fatal(error))) => Applied::No(error),
            Ok(Err(StepFailure::Unreachable(error))) => {
                // The effect may be under way there: first what became of it, then the probe.
                if let Err(outcome) = self.settle_jobs().await {
                    return outcome;
                }
                Applied::Perhaps(error)
            }
            Err(_) => {
                return self
                    .give_up(error("it took longer than its deadline"))
                    .await;
            }
        };
        tokio::select! {
            outcome = observe(&self.kind, &self.context, self.timing, applied) => match outcome {
                Ok(outcome) => outcome,
                Err(error) => self.give_up(error).await,
            },
            () = halted(&mut self.halt, self.ending) => self.ended_on_request().await,
        }
    }

    /// Ended because the run wants it. For what only watches that may be an end as good as any other: it is asked.
    async fn ended_on_request(&self) -> Outcome {
        let outcome = self.give_up(halted_error()).await;
        if self.ending != Ending::AtStop || !matches!(outcome, Outcome::Failed(_)) {
            return outcome;
        }
        match self.ask().await {
            Ok(done @ Probe::Done { .. }) => Outcome::Done(done),
            Ok(Probe::NotDone { .. } | Probe::Unsure { .. }) | Err(_) => outcome,
        }
    }

    /// Failed, once it is sure that no job of ours is alive.
    async fn give_up(&self, error: StepError) -> Outcome {
        let until = Instant::now() + self.timing.grace;
        match retrying(until, self.timing.patience, || {
            self.kind.interrupt(&self.context)
        })
        .await
        {
            Ok(()) => Outcome::Failed(error),
            Err(failure) => {
                let mut unsure = failure.into_error();
                unsure.causes.insert(0, error.message);
                Outcome::Unsure(unsure)
            }
        }
    }

    async fn settle_jobs(&self) -> Result<(), Outcome> {
        let attached = retrying(self.context.deadline, self.timing.patience, || {
            self.kind.reattach(&self.context)
        });
        match attached.await {
            Ok(Attached::Over) => Ok(()),
            Ok(Attached::Unsure { why }) => Err(Outcome::Unsure(error(why))),
            Err(failure) => Err(Outcome::Unsure(failure.into_error())),
        }
    }

    async fn ask(&self) -> Result<Probe, Outcome> {
        let probed = retrying(self.context.deadline, self.timing.patience, || {
            self.kind.probe(&self.context)
        })
        .await;
        probed.map_err(|failure| match failure {
            StepFailure::Fatal(error) => Outcome::Failed(error),
            StepFailure::Unreachable(error) if self.context.attempt == 0 => Outcome::Failed(error),
            StepFailure::Unreachable(error) => Outcome::Unsure(error),
        })
    }

    async fn open_output(&mut self) -> Result<(), Outcome> {
        let context = &mut self.context;
        match self
            .store
            .output(context.run, context.step, context.attempt)
            .await
        {
            Ok(output) => {
                context.output = Some(output);
                Ok(())
            }
            Err(e) => Err(Outcome::Unsure(error(format!(
                "the step's output cannot be stored: {e}"
            )))),
        }
    }

    /// Output to its end, then the outcome, then what was left on the host.
    async fn conclude(self, outcome: Outcome) {
        if let Some(output) = &self.context.output
            && let Err(e) = output.finish().await
        {
            tracing::error!(run = %self.context.run, step = self.context.step, error = %e, "output not finished");
        }
        let event = outcome_event(self.context.step, self.context.attempt, outcome);
        let settled = !matches!(event, Event::StepUnsure { .. });
        if self.recorder.record(event).await.is_ok()
            && settled
            && self.context.attempt > 0
            && let Err(failure) = self.kind.forget(&self.context).await
        {
            let error = failure.into_error();
            tracing::warn!(run = %self.context.run, step = self.context.step, error = error.message, "leftovers are swept later");
        }
    }
}

fn outcome_event(step: StepIndex, attempt: u32, outcome: Outcome) -> Event {
    match outcome {
        Outcome::Done(Probe::Done { observed, outputs }) if attempt == 0 => Event::StepSatisfied {
            step,
            observed,
            outputs,
        },
        Outcome::Done(Probe::Done { observed, outputs }) => Event::StepSucceeded {
            step,
            observed,
            outputs,
        },
        Outcome::Done(Probe::NotDone { why } | Probe::Unsure { why }) => Event::StepUnsure {
            step,
            error: error(why),
        },
        Outcome::Failed(error) => Event::StepFailed { step, error },
        Outcome::Unsure(error) => Event::StepUnsure { step, error },
    }
}

/// What `apply` said of itself.
enum Applied {
    Yes,
    No(StepError),
    /// Its target was lost on the way.
    Perhaps(StepError),
}

impl Applied {
    /// Not observed in time, with what was known before.
    fn too_late(self, why: &str) -> StepError {
        let late = error(format!("not observed before the deadline: {why}"));
        match self {
            Applied::Yes => late,
            Applied::No(said) | Applied::Perhaps(said) => StepError {
                causes: [said.message].into_iter().chain(said.causes).collect(),
                advice: said.advice,
                ..late
            },
        }
    }
}

/// Probes until done, fatal, or the deadline. `Err`: failed, but a job may be alive.
async fn observe(
    kind: &Arc<dyn StepKind>,
    context: &StepContext,
    timing: Timing,
    applied: Applied,
) -> Result<Outcome, StepError> {
    loop {
        let probe = retrying(context.deadline, timing.patience, || kind.probe(context)).await;
        match probe {
            Ok(done @ Probe::Done { .. }) => return Ok(Outcome::Done(done)),
            Ok(Probe::Unsure { why }) => return Ok(Outcome::Unsure(error(why))),
            Err(StepFailure::Fatal(error)) => return Err(error),
            Err(StepFailure::Unreachable(error)) => return Ok(Outcome::Unsure(error)),
            Ok(Probe::NotDone { why }) => {
                if let Applied::No(said) = applied {
                    return Err(said);
                }
                if Instant::now() + timing.poll >= context.deadline {
                    return Err(applied.too_late(&why));
                }
                sleep(timing.poll).await;
            }
        }
    }
}

/// Calls again after an unreachable target, with growing waits, until the deadline.
pub(crate) async fn retrying<T, F>(
    deadline: Instant,
    patience: Duration,
    mut call: impl FnMut() -> F,
) -> Result<T, StepFailure>
where
    F: Future<Output = Result<T, StepFailure>>,
{
    let mut wait = Duration::from_millis(250);
    loop {
        match call().await {
            Err(StepFailure::Unreachable(error)) => {
                if Instant::now() + wait >= deadline {
                    return Err(StepFailure::Unreachable(error));
                }
                sleep(wait).await;
                wait = (wait * 2).min(patience);
            }
            answered => return answered,
        }
    }
}

async fn halted(halt: &mut watch::Receiver<Halt>, ending: Ending) {
    if halt.wait_for(|h| ending.wanted(*h)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn halted_error() -> StepError {
    StepError {
        message: "ended on request".to_owned(),
        causes: Vec::new(),
        advice: Some(
            "Retry to go on; unwind, where something is left to undo; or abandon.".to_owned(),
        ),
    }
}

/// The context of a step before anything was done in this process.
pub(crate) fn context(
    state: &crate::state::RunState,
    run: coxswain_wire::RunId,
    step: StepIndex,
    outputs: &crate::plan::Outputs,
    deadline: Instant,
) -> Option<StepContext> {
    let planned = state.plan.step(step)?;
    let at = &state.steps[step as usize];
    Some(StepContext {
        run,
        step,
        attempt: if at.ours { at.attempt } else { 0 },
        host: planned.host,
        target: planned.target.clone(),
        params: planned.params.clone(),
        memo: if at.ours {
            at.memo.clone()
        } else {
            Value::Null
        },
        outputs: outputs.clone(),
        deadline,
        applied: at.status == coxswain_wire::StepStatus::Running,
        output: None,
    })
}
