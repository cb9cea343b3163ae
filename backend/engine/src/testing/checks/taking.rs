//! What a run takes away only for its duration is given back on every way out.

use std::collections::BTreeSet;
use std::sync::Arc;

use coxswain_wire::{RunCommand, RunId, RunStatus, StageIndex, StepIndex};
use tokio::sync::Notify;

use super::{
    Finding, Panel, Subject, Wrap, as_it_is, ended, last_events, never, panel, see_through, see_to,
    start, starter,
};
use crate::engine::CommandError;
use crate::handle::Refusal;
use crate::plan::Plan;
use crate::step::StepKind;
use crate::testing::{FailAt, HoldAt, KillSwitch, MemoryStore, UnsureAt, When, layer};

/// A workflow that may take something away for its duration.
pub trait Takes: Subject {
    /// What is taken away in the world now that a run may take only for its duration: services that do not
    /// run, nodes that are cordoned, faults. Each in words.
    fn taken(&self, world: &Self::World) -> BTreeSet<String>;
}

/// Whichever way a run ends or comes to rest (it completes; any step fails, is stopped, killed, or unsure and
/// abandoned; a later gate is rejected or the run abandoned there; the panel dies while it gives back),
/// nothing is taken away that was not taken before. A plan that takes nothing passes. That it is taken again where it
/// is still needed is seen by [`super::retries`].
///
/// # Errors
/// What is still taken away, and on which way out.
pub async fn gives_back<S: Takes>(subject: &S, mutilate: Wrap<'_>) -> Result<(), Finding> {
    let plan = subject.plan();
    let Some(spans) = spans(&plan)? else {
        return Ok(());
    };
    let checker = Checker { subject, mutilate };
    checker.completing().await?;
    for (step, _, planned) in plan.steps() {
        let at =
            |what: &str, e: Finding| format!("step {} ({}) {what}: {e}", step + 1, planned.title);
        for when in [When::Before, When::After] {
            let failing = checker.failing(step, when).await;
            failing.map_err(|e| at(&format!("failing ({when:?})"), e))?;
        }
        for command in [RunCommand::Stop, RunCommand::Kill] {
            let halting = checker.halting(step, &command).await;
            halting.map_err(|e| at(&format!("while {:?} was asked for", command.kind()), e))?;
        }
        let parking = checker.parking(step).await;
        parking.map_err(|e| at("unsure, and abandoned", e))?;
    }
    for stage in (0..)
        .zip(&plan.stages)
        .filter(|(_, s)| s.gate.is_some())
        .map(|(at, _)| at)
    {
        let comment = || "no more".to_owned();
        let abandon = RunCommand::Abandon {
            comment: comment(),
            dead_hosts: Vec::new(),
        };
        let reject = RunCommand::Reject { comment: comment() };
        for command in [abandon, reject] {
            let leaving = checker.leaving_at(stage, &command).await;
            leaving.map_err(|e| {
                format!(
                    "{:?} at the gate of stage {}: {e}",
                    command.kind(),
                    stage + 1
                )
            })?;
        }
    }
    if let Some(step) = spans.first() {
        let dying = checker.dying(*step).await;
        dying.map_err(|e| format!("step {} failing, {e}", step + 1))?;
    }
    Ok(())
}

/// The last step within the span of each that takes; none if no step takes.
fn spans(plan: &Plan) -> Result<Option<Vec<StepIndex>>, Finding> {
    let mut last = Vec::new();
    for (taking, stage, step) in plan.steps().filter(|(_, _, s)| s.compensation.is_some()) {
        let until = plan.restorer(taking);
        if until.is_some_and(|by| plan.stage_of(by) <= Some(stage)) {
            return Err(format!(
                "\u{201c}{}\u{201d} is restored before or beside itself",
                step.title
            ));
        }
        let within = plan
            .steps()
            .filter(|(index, at, _)| *at > stage && until.is_none_or(|by| *index < by));
        last.extend(within.map(|(index, _, _)| index).next_back());
    }
    Ok((!last.is_empty()).then_some(last))
}

struct Checker<'a, S> {
    subject: &'a S,
    mutilate: Wrap<'a>,
}

/// One run in a world of its own.
struct Trial<W> {
    world: W,
    store: MemoryStore,
    panel: Panel,
    run: RunId,
}

impl<S: Takes> Checker<'_, S> {
    async fn trial(&self, kill: KillSwitch, wrap: Wrap<'_>) -> Result<Trial<S::World>, Finding> {
        let (world, store) = (self.subject.world(), MemoryStore::default());
        let panel = self.panel(&world, &store, kill, wrap);
        let run = start(self.subject, &panel).await?;
        Ok(Trial {
            world,
            store,
            panel,
            run,
        })
    }

    fn panel(
        &self,
        world: &S::World,
        store: &MemoryStore,
        kill: KillSwitch,
        wrap: Wrap<'_>,
    ) -> Panel {
        panel(self.subject, world, store, kill, &|kind| {
            (self.mutilate)(wrap(kind))
        })
    }

    fn at_rest(&self, trial: &Trial<S::World>, status: RunStatus) -> Result<(), Finding> {
        let now = self.subject.taken(&trial.world);
        let before = self.subject.taken(&self.subject.world());
        let left: Vec<_> = now.difference(&before).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(format!(
            "{status:?}, and still taken away: {left:?}\n  {}",
            last_events(&trial.store, trial.run)
        ))
    }

    async fn completing(&self) -> Result<(), Finding> {
        let trial = self.trial(never(), &as_it_is).await?;
        let status = see_through(&trial.panel, trial.run).await?;
        ended(status, RunStatus::Completed, &trial.store, trial.run)?;
        self.at_rest(&trial, status)
    }

    async fn failing(&self, step: StepIndex, when: When) -> Result<(), Finding> {
        let fail = |inner: Arc<dyn StepKind>| layer(inner, FailAt { step, when });
        let trial = self.trial(never(), &fail).await?;
        let status = see_through(&trial.panel, trial.run).await?;
        ended(status, RunStatus::Failed, &trial.store, trial.run)?;
        self.at_rest(&trial, status)?;
        self.abandoning(&trial).await
    }

    async fn halting(&self, step: StepIndex, command: &RunCommand) -> Result<(), Finding> {
        let hold = HoldAt {
            step,
            held: Arc::new(Notify::new()),
            release: Arc::new(Notify::new()),
        };
        let held = |inner: Arc<dyn StepKind>| layer(inner, hold.clone());
        let trial = self.trial(never(), &held).await?;
        tokio::select! {
            () = hold.held.notified() => {}
            // Satisfied from the start, the step is never in flight.
            ended = see_through(&trial.panel, trial.run) => return ended.map(drop),
        }
        let said = say(&trial, command.clone()).await;
        said.map_err(|e| e.to_string())?;
        hold.release.notify_one();
        let status = see_through(&trial.panel, trial.run).await?;
        if status == RunStatus::Parked {
            return Err(format!(
                "parked:\n  {}",
                last_events(&trial.store, trial.run)
            ));
        }
        self.at_rest(&trial, status)
    }

    /// Where the host must be declared dead to abandon, nothing can be given back on it.
    async fn parking(&self, step: StepIndex) -> Result<(), Finding> {
        let unsure = |inner: Arc<dyn StepKind>| layer(inner, UnsureAt { step });
        let trial = self.trial(never(), &unsure).await?;
        let status = see_through(&trial.panel, trial.run).await?;
        if status == RunStatus::Completed {
            return Ok(());
        }
        ended(status, RunStatus::Parked, &trial.store, trial.run)?;
        self.abandoning(&trial).await
    }

    async fn abandoning(&self, trial: &Trial<S::World>) -> Result<(), Finding> {
        let abandon = RunCommand::Abandon {
            comment: "no more".to_owned(),
            dead_hosts: Vec::new(),
        };
        match say(trial, abandon).await {
            Err(CommandError::Refused(Refusal::JobMayBeAlive { .. })) => return Ok(()),
            said => said.map_err(|e| e.to_string())?,
        }
        let status = see_through(&trial.panel, trial.run).await?;
        ended(status, RunStatus::Abandoned, &trial.store, trial.run)?;
        self.at_rest(trial, status)
    }

    async fn leaving_at(&self, stage: StageIndex, command: &RunCommand) -> Result<(), Finding> {
        let trial = self.trial(never(), &as_it_is).await?;
        let status = see_to(&trial.panel, trial.run, Some(stage)).await?;
        ended(status, RunStatus::Waiting, &trial.store, trial.run)?;
        let said = say(&trial, command.clone()).await;
        said.map_err(|e| e.to_string())?;
        let status = see_through(&trial.panel, trial.run).await?;
        self.at_rest(&trial, status)
    }

    async fn dying(&self, step: StepIndex) -> Result<(), Finding> {
        let fail = |inner: Arc<dyn StepKind>| {
            let when = When::After;
            layer(inner, FailAt { step, when })
        };
        for nth in 1.. {
            let mut trial = self.trial(KillSwitch::at(nth), &fail).await?;
            let at = |e: Finding| format!("killed at point {nth}: {e}");
            let mut status = see_through(&trial.panel, trial.run).await.map_err(at)?;
            let struck = trial.panel.kill.struck();
            if struck {
                trial.panel = self.panel(&trial.world, &trial.store, never(), &fail);
                trial
                    .panel
                    .engine
                    .recover()
                    .await
                    .map_err(|e| e.to_string())?;
                status = see_through(&trial.panel, trial.run).await.map_err(at)?;
            }
            ended(status, RunStatus::Failed, &trial.store, trial.run).map_err(at)?;
            self.at_rest(&trial, status).map_err(at)?;
            if !struck {
                break;
            }
        }
        Ok(())
    }
}

async fn say<W>(trial: &Trial<W>, command: RunCommand) -> Result<(), CommandError> {
    trial
        .panel
        .engine
        .command(trial.run, command, starter())
        .await
}
