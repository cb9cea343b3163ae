//! The work behind each [`Activity`]: gates, rechecks, and the set-up of steps and undos.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use coxswain_wire::{RunId, StageIndex, StepIndex, StepStatus};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::decide::Activity;
use crate::drive::{self, Drive, Ending, Halt};
use crate::engine::Shared;
use crate::event::Event;
use crate::evidence::{changes, evidence};
use crate::runner::{Recorder, Runner};
use crate::state::RunState;
use crate::step::{StepContext, error};
use crate::store::StoreError;
use crate::undo::Undo;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The work behind an activity.
pub(crate) fn start(
    runner: &Runner,
    activity: Activity,
    recorder: Recorder,
    halt: watch::Receiver<Halt>,
) -> Task {
    let shared = runner.shared.clone();
    let (run, state) = (runner.run, runner.state.clone());
    match activity {
        Activity::OpenGate(stage) => Box::pin(open_gate(shared, run, state, stage, recorder)),
        Activity::PassGate(stage) => Box::pin(pass_gate(shared, run, state, stage, recorder)),
        Activity::Recheck(stage) => Box::pin(recheck(shared, run, state, stage, recorder)),
        Activity::Drive(step) => drive_step(runner, step, recorder, halt),
        Activity::Undo(step) => undo_step(runner, step, recorder),
    }
}

async fn open_gate(
    shared: Arc<Shared>,
    run: RunId,
    state: RunState,
    stage: StageIndex,
    recorder: Recorder,
) {
    let event = match shared.facts(run, stage, &state).await {
        Ok(facts) => Event::GateOpened {
            stage,
            evidence: evidence(shared.now(), facts),
            changes: Vec::new(),
        },
        Err(e) => parked(&e),
    };
    report(&recorder, event).await;
}

async fn pass_gate(
    shared: Arc<Shared>,
    run: RunId,
    state: RunState,
    stage: StageIndex,
    recorder: Recorder,
) {
    let event = match shared.facts(run, stage, &state).await {
        Err(e) => parked(&e),
        Ok(facts) => {
            let now = evidence(shared.now(), facts);
            match &state.stages[stage as usize].evidence {
                Some(approved) if approved.sha256 == now.sha256 => Event::GatePassed { stage },
                approved => {
                    let before = approved.as_ref().map_or(&[][..], |e| &e.facts);
                    let changes = changes(before, &now.facts, &|_| true);
                    Event::GateOpened {
                        stage,
                        evidence: now,
                        changes,
                    }
                }
            }
        }
    };
    report(&recorder, event).await;
}

async fn recheck(
    shared: Arc<Shared>,
    run: RunId,
    state: RunState,
    stage: StageIndex,
    recorder: Recorder,
) {
    let event = match shared.facts(run, stage, &state).await {
        Err(e) => parked(&e),
        Ok(facts) => {
            let before = state.stages[stage as usize]
                .evidence
                .as_ref()
                .map_or(&[][..], |e| &e.facts);
            let changes = changes(before, &facts, &|subject| state.untouched(subject, stage));
            if changes.is_empty() {
                Event::EvidenceHeld { stage }
            } else {
                Event::GateOpened {
                    stage,
                    evidence: evidence(shared.now(), facts),
                    changes,
                }
            }
        }
    };
    report(&recorder, event).await;
}

fn drive_step(
    runner: &Runner,
    step: StepIndex,
    recorder: Recorder,
    halt: watch::Receiver<Halt>,
) -> Task {
    let shared = runner.shared.clone();
    let Some((planned, context)) = prepared(runner, step, Remaining::OfAttempt) else {
        return Box::pin(async move { report(&recorder, no_such_step(step)).await });
    };
    let Some(kind) = shared.registry.get(&planned.kind) else {
        let reason = format!("this panel does not know the step kind {}", planned.kind);
        return Box::pin(async move { report(&recorder, Event::Parked { reason }).await });
    };
    if let Err(why) = kind.check(&planned.params) {
        let reason = format!("the parameters of step {} do not decode: {why}", step + 1);
        return Box::pin(async move { report(&recorder, Event::Parked { reason }).await });
    }
    let drive = Drive {
        kind,
        context,
        ending: match (planned.ends_at_stop, planned.interruptible) {
            (true, _) => Ending::AtStop,
            (false, true) => Ending::AtKill,
            (false, false) => Ending::Never,
        },
        attempts: runner.state.steps[step as usize].attempt,
        deadline: Duration::from_secs(planned.deadline_s.into()),
        store: shared.store.clone(),
        recorder,
        halt,
        timing: shared.timing,
    };
    Box::pin(drive.run())
}

fn undo_step(runner: &Runner, step: StepIndex, recorder: Recorder) -> Task {
    let Some((planned, context)) = prepared(runner, step, Remaining::Whole) else {
        return Box::pin(async move { report(&recorder, no_such_step(step)).await });
    };
    let Some(kind) = runner.shared.registry.get(&planned.kind) else {
        let event = Event::UndoFailed {
            step,
            error: error(format!("unknown step kind {}", planned.kind)),
        };
        return Box::pin(async move {
            if recorder.record(Event::UndoStarted { step }).await.is_ok() {
                report(&recorder, event).await;
            }
        });
    };
    Box::pin(
        Undo {
            kind,
            context,
            recorder,
            timing: runner.shared.timing,
        }
        .run(),
    )
}

/// How much time is left.
#[derive(PartialEq)]
enum Remaining {
    /// Of an attempt found in flight, less what it has used; a pending step has all of it.
    OfAttempt,
    /// All of it.
    Whole,
}

fn prepared(
    runner: &Runner,
    step: StepIndex,
    remaining: Remaining,
) -> Option<(crate::plan::Step, StepContext)> {
    let planned = runner.state.plan.step(step)?.clone();
    let at = &runner.state.steps[step as usize];
    let whole = Duration::from_secs(planned.deadline_s.into());
    let used = match (at.status, at.started_at) {
        (StepStatus::Running, Some(started)) if remaining == Remaining::OfAttempt => {
            Duration::from_millis(u64::try_from(runner.shared.now().0 - started.0).unwrap_or(0))
        }
        _ => Duration::ZERO,
    };
    let left = whole.saturating_sub(used).max(runner.shared.timing.grace);
    let context = drive::context(
        &runner.state,
        runner.run,
        step,
        &runner.outputs,
        Instant::now() + left,
    )?;
    Some((planned, context))
}

fn no_such_step(step: StepIndex) -> Event {
    Event::Parked {
        reason: format!("the plan has no step {}", step + 1),
    }
}

fn parked(error: &StoreError) -> Event {
    Event::Parked {
        reason: format!("evidence could not be collected: {error}"),
    }
}

/// A refused record means that the state no longer asks for it.
async fn report(recorder: &Recorder, event: Event) {
    recorder
        .record(event)
        .await
        .unwrap_or_else(|gone| tracing::debug!(?gone, "report not wanted any more"));
}
