//! Unwinding outlives the panel.

use std::sync::Arc;

use coxswain_wire::{RunCommand, RunId, RunStatus, StepIndex};

use super::{
    Finding, Panel, Subject, WrapAt, ended, log_is_whole, never, panel, see_through, start, starter,
};
use crate::event::Event;
use crate::plan::Plan;
use crate::step::StepKind;
use crate::testing::{FailAt, KillSwitch, MemoryStore, When, layer};

/// Failed as late as it can be undone, and unwound by a panel that is killed at every write and every effect
/// of the unwinding, and started again: the world ends as after an unwinding that nobody interrupted. Between
/// two irreversible steps the last step with an undo fails, after its effect. Gives the number of points; a
/// plan without an undo passes, and has none.
///
/// Every trial does the plan before it unwinds, so of more than [`MOST_POINTS`] points as many are tried,
/// evenly spread.
///
/// # Errors
/// What went wrong, after which step failed and at which point.
pub async fn survives_unwinding<S: Subject>(
    subject: &S,
    mutilate: WrapAt<'_>,
) -> Result<usize, Finding> {
    let plan = subject.plan();
    let mut points = 0;
    for step in last_with_undo(&plan) {
        let title = plan.step(step).map_or("", |planned| &planned.title);
        points += killed_at_each_point(subject, step, mutilate)
            .await
            .map_err(|e| format!("unwinding after step {} ({title}) failed: {e}", step + 1))?;
    }
    Ok(points)
}

/// How many points of one unwinding are tried at most.
pub const MOST_POINTS: usize = 24;

/// The last step with an undo before each irreversible one, and before the end.
fn last_with_undo(plan: &Plan) -> Vec<StepIndex> {
    let mut found = Vec::new();
    let mut last = None;
    for (index, _, step) in plan.steps() {
        if step.irreversible {
            found.extend(last.take());
        } else if step.undo.is_some() {
            last = Some(index);
        }
    }
    found.extend(last);
    found
}

async fn killed_at_each_point<S: Subject>(
    subject: &S,
    step: StepIndex,
    mutilate: WrapAt<'_>,
) -> Result<usize, Finding> {
    let (expected, points) = unwound(subject, step, &|kind, _| kind, never()).await?;
    for nth in spread(points) {
        let at = |e: Finding| format!("killed at point {nth} of {points}: {e}");
        let killed = unwound(subject, step, mutilate, KillSwitch::at(nth)).await;
        let (now, _) = killed.map_err(at)?;
        if now != expected {
            return Err(at(format!(
                "the world differs\n  expected {expected:?}\n  got      {now:?}"
            )));
        }
    }
    Ok(points)
}

/// All of 1 to `points`, or [`MOST_POINTS`] of them from the first to the last.
fn spread(points: usize) -> Vec<usize> {
    if points <= MOST_POINTS {
        return (1..=points).collect();
    }
    (0..MOST_POINTS)
        .map(|n| 1 + n * (points - 1) / (MOST_POINTS - 1))
        .collect()
}

/// A run that failed and was unwound by a panel with this switch, and by a second one if the first died; the
/// world afterwards, and how many points the first panel passed.
async fn unwound<S: Subject>(
    subject: &S,
    step: StepIndex,
    mutilate: WrapAt<'_>,
    kill: KillSwitch,
) -> Result<(S::Picture, usize), Finding> {
    let (world, store) = (subject.world(), MemoryStore::default());
    let when = When::After;
    let fail = |inner: Arc<dyn StepKind>| mutilate(layer(inner, FailAt { step, when }), step);
    let failing = panel(subject, &world, &store, never(), &fail);
    let run = start(subject, &failing).await?;
    let status = see_through(&failing, run).await?;
    ended(status, RunStatus::Failed, &store, run)?;

    let first = panel(subject, &world, &store, kill, &fail);
    let mut status = tokio::select! {
        status = unwind(&first, run) => status?,
        () = first.kill.strikes() => RunStatus::Running,
    };
    if first.kill.struck() {
        let second = panel(subject, &world, &store, never(), &fail);
        second.engine.recover().await.map_err(|e| e.to_string())?;
        status = if is_asked(&store, run) {
            see_through(&second, run).await?
        } else {
            unwind(&second, run).await?
        };
    }
    ended(status, RunStatus::Unwound, &store, run)?;
    log_is_whole(&store, run)?;
    if !store.locked().is_empty() {
        return Err(format!("still locked: {:?}", store.locked()));
    }
    Ok((subject.picture(&world), first.kill.passed()))
}

async fn unwind(panel: &Panel, run: RunId) -> Result<RunStatus, Finding> {
    let undo = panel.engine.unwind(run).await.map_err(|e| e.to_string())?;
    let command = RunCommand::Unwind {
        plan_sha256: undo.sha256,
        confirm: undo.confirm,
    };
    let said = panel.engine.command(run, command, starter()).await;
    said.map_err(|e| e.to_string())?;
    see_through(panel, run).await
}

/// The panel died after it had written that the run is to be unwound.
fn is_asked(store: &MemoryStore, run: RunId) -> bool {
    let log = store.log(run);
    log.iter()
        .any(|recorded| matches!(recorded.event, Event::UnwindAsked { .. }))
}
