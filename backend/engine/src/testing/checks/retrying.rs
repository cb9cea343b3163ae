//! A step that failed is tried again, and the run ends as if nothing had failed.

use std::collections::BTreeSet;

use coxswain_wire::{RunCommand, RunId, RunStatus};

use super::{
    Finding, Subject, Wrap, WrapIn, completes, ended, log_is_whole, never, panel, see_through,
    start, starter,
};
use crate::event::Event;
use crate::testing::{FailFirst, MemoryStore, When, layer};

/// The first attempt of each step fails, before and after its effect; tried again, the run completes and the
/// world is as if nothing had failed.
///
/// # Errors
/// What went wrong, at which step.
pub async fn retries<S: Subject>(subject: &S, mutilate: Wrap<'_>) -> Result<(), Finding> {
    let expected = completes(subject).await?;
    for (step, _, planned) in subject.plan().steps() {
        for when in [When::Before, When::After] {
            let fail = |_: &_, inner| mutilate(layer(inner, FailFirst { step, when }));
            let at = |e| format!("step {} ({}, {when:?}): {e}", step + 1, planned.title);
            let now = retried(subject, &fail).await.map_err(at)?;
            if now != expected {
                return Err(at(format!(
                    "the world differs\n  expected {expected:?}\n  got      {now:?}"
                )));
            }
        }
    }
    Ok(())
}

/// Tried again once where it failed, it completes, and no gate asks again; gives the world at the end. How it fails is
/// the caller's, who is told in which world.
///
/// # Errors
/// What went wrong.
pub async fn retried<S: Subject>(
    subject: &S,
    fail: WrapIn<'_, S::World>,
) -> Result<S::Picture, Finding> {
    let (world, store) = (subject.world(), MemoryStore::default());
    let panel = panel(subject, &world, &store, never(), &|inner| {
        fail(&world, inner)
    });
    let run = start(subject, &panel).await?;
    let mut status = see_through(&panel, run).await?;
    // A step that is satisfied from the start is not tried at all.
    if status == RunStatus::Failed {
        let retried = panel.engine.command(run, RunCommand::Retry, starter());
        retried.await.map_err(|e| e.to_string())?;
        status = see_through(&panel, run).await?;
    }
    ended(status, RunStatus::Completed, &store, run)?;
    if !store.locked().is_empty() {
        return Err(format!("still locked: {:?}", store.locked()));
    }
    log_is_whole(&store, run)?;
    asked_once(&store, run)?;
    Ok(subject.picture(&world))
}

/// What a run does itself is no reason to ask for its approval again.
fn asked_once(store: &MemoryStore, run: RunId) -> Result<(), Finding> {
    let mut opened = BTreeSet::new();
    for recorded in store.log(run) {
        if let Event::GateOpened { stage, changes, .. } = recorded.event
            && !opened.insert(stage)
        {
            return Err(format!(
                "the gate of stage {} asks again: {}",
                stage + 1,
                changes.join("; ")
            ));
        }
    }
    Ok(())
}
