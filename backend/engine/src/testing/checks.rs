//! The checks that every workflow gets for nothing, from its example input (design §3).
//!
//! They run in virtual time: start them in a current-thread runtime with the clock paused.

mod retrying;
mod taking;
mod unwinding;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use coxswain_wire::{RunCommand, RunId, RunStatus, StageIndex, StepIndex, Timestamp, UserId};

use super::{Applied, Count, FailAt, KillAround, KillSwitch, MemoryStore, Twice, When, layer};
use crate::engine::{Engine, Timing};
use crate::event::{Actor, Event};
use crate::evidence::Preflight;
use crate::plan::Plan;
use crate::step::{Registry, StepKind};

pub use retrying::{retried, retries};
pub use taking::{Takes, gives_back};
pub use unwinding::{MOST_POINTS, survives_unwinding};

/// A workflow with its example input, over a world that tests can look at.
pub trait Subject {
    /// What is compared: everything of the world that the workflow may change.
    type Picture: PartialEq + Debug;
    /// A world, as it is before the run. Outlives panels: its jobs go on when a panel dies.
    type World: Clone;

    /// A fresh world.
    fn world(&self) -> Self::World;
    /// The plan for the example input.
    fn plan(&self) -> Plan;
    /// The step kinds that the plan uses, working on this world.
    fn kinds(&self, world: &Self::World) -> Vec<Arc<dyn StepKind>>;
    /// The evidence of its gates.
    fn preflight(&self, world: &Self::World) -> Arc<dyn Preflight>;
    /// What the world looks like now.
    fn picture(&self, world: &Self::World) -> Self::Picture;
}

/// Changes a step kind for one panel; the mutilations of [`super::NoProbe`] and others come in here.
pub type Wrap<'a> = &'a dyn Fn(Arc<dyn StepKind>) -> Arc<dyn StepKind>;

/// The same, told which step is made to fail.
pub type WrapAt<'a> = &'a dyn Fn(Arc<dyn StepKind>, StepIndex) -> Arc<dyn StepKind>;

/// The same, told in which world.
pub type WrapIn<'a, W> = &'a dyn Fn(&W, Arc<dyn StepKind>) -> Arc<dyn StepKind>;

/// Virtual time after which a run that does not come to rest is stuck.
const STUCK: Duration = Duration::from_secs(24 * 3600);

/// What a check found wrong.
pub type Finding = String;

struct Panel {
    engine: Engine,
    store: MemoryStore,
    kill: Arc<KillSwitch>,
}

fn panel<S: Subject>(
    subject: &S,
    world: &S::World,
    store: &MemoryStore,
    kill: KillSwitch,
    wrap: Wrap<'_>,
) -> Panel {
    let kill = Arc::new(kill);
    let kinds = subject
        .kinds(world)
        .into_iter()
        .map(|inner| layer(wrap(inner), KillAround { kill: kill.clone() }));
    let engine = Engine::new(
        Arc::new(store.for_panel(kill.clone())),
        Registry::new(kinds),
        subject.preflight(world),
        virtual_now,
        Timing::default(),
    );
    Panel {
        engine,
        store: store.clone(),
        kill,
    }
}

/// Milliseconds of the runtime's paused clock.
fn virtual_now() -> Timestamp {
    thread_local! {
        static START: tokio::time::Instant = tokio::time::Instant::now();
    }
    let elapsed = START.with(|start| tokio::time::Instant::now().saturating_duration_since(*start));
    Timestamp(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// Somebody who is not the one who started the run.
#[must_use]
pub fn approver() -> Actor {
    Actor {
        id: UserId(2),
        name: "approver".to_owned(),
        address: String::new(),
    }
}

/// Who starts the runs.
#[must_use]
pub fn starter() -> Actor {
    Actor {
        id: UserId(1),
        name: "operator".to_owned(),
        address: String::new(),
    }
}

/// Approves every gate until the run rests in another state or the panel dies.
async fn see_through(panel: &Panel, run: RunId) -> Result<RunStatus, Finding> {
    see_to(panel, run, None).await
}

/// The same, but waits at the gate of a stage.
async fn see_to(
    panel: &Panel,
    run: RunId,
    until: Option<StageIndex>,
) -> Result<RunStatus, Finding> {
    let mut changed = panel.engine.changed();
    let through = async {
        loop {
            match panel.store.status(run).ok_or("the run is not stored")? {
                RunStatus::Waiting => {
                    // A view folds the whole log: not at every change.
                    let view = panel.engine.view(run).await.map_err(|e| e.to_string())?;
                    if view.open_gate.is_some() && view.open_gate == until {
                        return Ok(RunStatus::Waiting);
                    }
                    let stage = view.open_gate.ok_or("waiting at no gate")? as usize;
                    let evidence = view.stages[stage]
                        .evidence
                        .as_ref()
                        .ok_or("a gate without evidence")?;
                    let approve = RunCommand::Approve {
                        plan_sha256: view.plan.sha256.clone(),
                        evidence_sha256: evidence.sha256.clone(),
                        comment: String::new(),
                        confirm: view.plan.stages[stage]
                            .gate
                            .as_ref()
                            .and_then(|g| g.confirm.clone()),
                    };
                    panel
                        .engine
                        .command(run, approve, approver())
                        .await
                        .map_err(|e| e.to_string())?;
                }
                RunStatus::Preflight | RunStatus::Running | RunStatus::Unwinding => {
                    // Lagging only means that there is news.
                    if let Err(tokio::sync::broadcast::error::RecvError::Closed) =
                        changed.recv().await
                    {
                        return Err("the engine is gone".to_owned());
                    }
                }
                rest @ (RunStatus::Paused
                | RunStatus::Stopped
                | RunStatus::Failed
                | RunStatus::Parked
                | RunStatus::Completed
                | RunStatus::Unwound
                | RunStatus::Rejected
                | RunStatus::Abandoned) => return Ok(rest),
            }
        }
    };
    tokio::select! {
        ended = tokio::time::timeout(STUCK, through) => ended.map_err(|_| "the run is stuck".to_owned())?,
        () = panel.kill.strikes() => Ok(RunStatus::Running),
    }
}

async fn start<S: Subject>(subject: &S, panel: &Panel) -> Result<RunId, Finding> {
    panel
        .engine
        .start(subject.plan(), starter())
        .await
        .map_err(|e| e.to_string())
}

fn as_it_is(kind: Arc<dyn StepKind>) -> Arc<dyn StepKind> {
    kind
}

fn never() -> KillSwitch {
    KillSwitch::at(usize::MAX)
}

fn ended(
    status: RunStatus,
    wanted: RunStatus,
    store: &MemoryStore,
    run: RunId,
) -> Result<(), Finding> {
    if status == wanted {
        return Ok(());
    }
    Err(format!(
        "ended {status:?} instead of {wanted:?}:\n  {}",
        last_events(store, run)
    ))
}

fn last_events(store: &MemoryStore, run: RunId) -> String {
    let log = store.log(run);
    log.iter()
        .rev()
        .take(4)
        .rev()
        .map(|r| format!("{:?}", r.event))
        .collect::<Vec<_>>()
        .join("\n  ")
}

/// It completes; gives the world at the end.
///
/// # Errors
/// What went wrong.
pub async fn completes<S: Subject>(subject: &S) -> Result<S::Picture, Finding> {
    let (world, store) = (subject.world(), MemoryStore::default());
    let panel = panel(subject, &world, &store, never(), &as_it_is);
    let run = start(subject, &panel).await?;
    let status = see_through(&panel, run).await?;
    ended(status, RunStatus::Completed, &store, run)?;
    if !store.locked().is_empty() {
        return Err(format!("still locked: {:?}", store.locked()));
    }
    Ok(subject.picture(&world))
}

/// Fails at each step, before and after its effect, and unwound, the world is as before, or as after the
/// last irreversible step.
///
/// # Errors
/// What went wrong, at which step.
pub async fn unwinds<S: Subject>(subject: &S, mutilate: WrapAt<'_>) -> Result<(), Finding> {
    let plan = subject.plan();
    let mut expected = subject.picture(&subject.world());
    for (step, _, planned) in plan.steps() {
        for when in [When::Before, When::After] {
            let (world, store) = (subject.world(), MemoryStore::default());
            let fail = |inner: Arc<dyn StepKind>| {
                let inner = layer(inner, FailAt { step, when });
                mutilate(inner, step)
            };
            let panel = panel(subject, &world, &store, never(), &fail);
            let run = start(subject, &panel).await?;
            let at = || format!("failing at step {} ({}, {when:?})", step + 1, planned.title);
            let status = see_through(&panel, run)
                .await
                .map_err(|e| format!("{}: {e}", at()))?;
            if status != RunStatus::Failed {
                return Err(format!(
                    "{}: ended {status:?}:\n  {}",
                    at(),
                    last_events(&store, run)
                ));
            }
            unwind(&panel, &store, run)
                .await
                .map_err(|e| format!("{}: {e}", at()))?;
            // A failed irreversible step may have done what it does: unwinding stops there.
            if !planned.irreversible {
                let now = subject.picture(&world);
                if now != expected {
                    return Err(format!(
                        "{}: left behind\n  before {expected:?}\n  after  {now:?}",
                        at()
                    ));
                }
            }
        }
        if planned.irreversible {
            expected = after_step(subject, step).await?;
        }
    }
    Ok(())
}

/// The world when the run has stopped right after a step, everything before it standing. Only asked for
/// irreversible steps, and reversible steps before them are not undone either.
async fn after_step<S: Subject>(subject: &S, step: u32) -> Result<S::Picture, Finding> {
    let (world, store) = (subject.world(), MemoryStore::default());
    let stop = |inner: Arc<dyn StepKind>| -> Arc<dyn StepKind> {
        layer(
            inner,
            FailAt {
                step: step + 1,
                when: When::Before,
            },
        )
    };
    let panel = panel(subject, &world, &store, never(), &stop);
    let run = start(subject, &panel).await?;
    see_through(&panel, run).await?;
    Ok(subject.picture(&world))
}

async fn unwind(panel: &Panel, store: &MemoryStore, run: RunId) -> Result<(), Finding> {
    let undo = panel.engine.unwind(run).await.map_err(|e| e.to_string())?;
    if undo.steps.is_empty() {
        return Ok(());
    }
    let command = RunCommand::Unwind {
        plan_sha256: undo.sha256,
        confirm: undo.confirm,
    };
    panel
        .engine
        .command(run, command, starter())
        .await
        .map_err(|e| e.to_string())?;
    let status = see_through(panel, run).await?;
    ended(status, RunStatus::Unwound, store, run)
}

/// Run a second time, the plan finds everything satisfied, or does it again: the world is the same.
///
/// # Errors
/// What went wrong.
pub async fn twice<S: Subject>(subject: &S) -> Result<(), Finding> {
    let (world, store) = (subject.world(), MemoryStore::default());
    let doubled = |inner: Arc<dyn StepKind>| -> Arc<dyn StepKind> { layer(inner, Twice) };
    let panel = panel(subject, &world, &store, never(), &doubled);
    let run = start(subject, &panel).await?;
    let status = see_through(&panel, run).await?;
    ended(status, RunStatus::Completed, &store, run)?;
    let (once, now) = (completes(subject).await?, subject.picture(&world));
    if once == now {
        Ok(())
    } else {
        Err(format!("applied once {once:?}\n  twice {now:?}"))
    }
}

/// Killed at every write and every effect, and started again, it ends the same, and no step is applied
/// again that had taken effect. Gives the number of points.
///
/// # Errors
/// What went wrong, at which point.
pub async fn survives<S: Subject>(subject: &S, mutilate: Wrap<'_>) -> Result<usize, Finding> {
    let expected = completes(subject).await?;
    for nth in 1.. {
        let (world, store) = (subject.world(), MemoryStore::default());
        let applied = Applied::default();
        let count = |inner: Arc<dyn StepKind>| -> Arc<dyn StepKind> {
            mutilate(layer(
                inner,
                Count {
                    applied: applied.clone(),
                },
            ))
        };
        let first = panel(subject, &world, &store, KillSwitch::at(nth), &count);
        let run = start(subject, &first).await?;
        let at = || format!("killed at point {nth}");
        let mut status = see_through(&first, run)
            .await
            .map_err(|e| format!("{}: {e}", at()))?;
        let struck = first.kill.struck();
        if struck {
            let second = panel(subject, &world, &store, never(), &count);
            second.engine.recover().await.map_err(|e| e.to_string())?;
            status = see_through(&second, run)
                .await
                .map_err(|e| format!("{}: {e}", at()))?;
        }
        if status != RunStatus::Completed {
            return Err(format!(
                "{}: ended {status:?}:\n  {}",
                at(),
                last_events(&store, run)
            ));
        }
        let now = subject.picture(&world);
        if now != expected {
            return Err(format!(
                "{}: the world differs\n  expected {expected:?}\n  got      {now:?}",
                at()
            ));
        }
        log_is_whole(&store, run).map_err(|e| format!("{}: {e}", at()))?;
        if !struck {
            return Ok(nth - 1);
        }
    }
    Err("ran out of points".to_owned())
}

/// Every attempt has one intent and at most one outcome.
fn log_is_whole(store: &MemoryStore, run: RunId) -> Result<(), Finding> {
    let mut open: Option<(u32, u32)> = None;
    for recorded in store.log(run) {
        match recorded.event {
            Event::StepStarted { step, attempt, .. } => {
                if open.is_some_and(|(s, a)| s == step && a == attempt) {
                    return Err(format!("step {step} has two intents for attempt {attempt}"));
                }
                open = Some((step, attempt));
            }
            Event::Parked { reason } => return Err(format!("parked: {reason}")),
            Event::Created { .. }
            | Event::GateOpened { .. }
            | Event::GateApproved { .. }
            | Event::GateRejected { .. }
            | Event::RefreshAsked { .. }
            | Event::GatePassed { .. }
            | Event::LockHeld { .. }
            | Event::EvidenceHeld { .. }
            | Event::StepSatisfied { .. }
            | Event::StepSucceeded { .. }
            | Event::StepFailed { .. }
            | Event::StepUnsure { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::StopAsked { .. }
            | Event::RetryAsked { .. }
            | Event::UnwindAsked { .. }
            | Event::UndoStarted { .. }
            | Event::UndoSucceeded { .. }
            | Event::UndoFailed { .. }
            | Event::AbandonAsked { .. }
            | Event::Abandoned { .. }
            | Event::Completed
            | Event::Unwound
            | Event::PanelRestarted
            | Event::Unknown => {}
        }
    }
    Ok(())
}
