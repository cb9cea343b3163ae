//! The only writer of a run's log: one task per run that has something to do.
//!
//! Load, fold, decide, start what is wanted, take what comes in the mailbox, append ([`crate::batch`]), fold,
//! decide again.
//! An activity that the state no longer wants is dropped: that can only be one which has not changed
//! anything yet. When nothing is left to do the task ends; a gate waits without one.

use std::collections::HashMap;
use std::sync::Arc;

use coxswain_wire::{RunCommand, RunId, StepStatus};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::decide::{Activity, Next, decide};
use crate::drive::Halt;
use crate::engine::Shared;
use crate::event::{Actor, Event};
use crate::handle::{Refusal, handle};
use crate::plan::Outputs;
use crate::state::{RunState, Stop};
use crate::store::Locks;

/// Bound of a run's mailbox: activities wait for their acknowledgement, so few are ever queued.
const MAILBOX: usize = 64;

/// What may arrive.
pub(crate) enum Message {
    /// A person wants something.
    Command {
        command: RunCommand,
        by: Actor,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// An activity reports.
    Record(Record),
}

/// A report of an activity, which goes on when the event is stored.
pub(crate) struct Record {
    pub(crate) from: Activity,
    pub(crate) event: Box<Event>,
    pub(crate) reply: oneshot::Sender<()>,
}

/// Why a runner begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// A new run, or a command.
    ByWork,
    /// The panel was started and the run is not over.
    ByStart,
}

/// The runner has moved on; the activity should end.
#[derive(Debug)]
pub(crate) struct Gone;

/// An activity's way to the log.
#[derive(Clone)]
pub(crate) struct Recorder {
    activity: Activity,
    mailbox: mpsc::Sender<Message>,
}

impl Recorder {
    /// Returns once the event is stored and folded.
    pub(crate) async fn record(&self, event: Event) -> Result<(), Gone> {
        let (reply, stored) = oneshot::channel();
        let message = Message::Record(Record {
            from: self.activity,
            event: Box::new(event),
            reply,
        });
        self.mailbox.send(message).await.map_err(|_| Gone)?;
        stored.await.map_err(|_| Gone)
    }
}

/// A mailbox and its two ends.
pub(crate) fn mailbox() -> (mpsc::Sender<Message>, mpsc::Receiver<Message>) {
    mpsc::channel(MAILBOX)
}

pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) run: RunId,
    pub(crate) state: RunState,
    pub(crate) outputs: Outputs,
    own: mpsc::Sender<Message>,
    tasks: JoinSet<Activity>,
    live: HashMap<Activity, tokio::task::AbortHandle>,
    halt: watch::Sender<Halt>,
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        run: RunId,
        state: RunState,
        outputs: Outputs,
        own: mpsc::Sender<Message>,
    ) -> Self {
        Self {
            shared,
            run,
            state,
            outputs,
            own,
            tasks: JoinSet::new(),
            live: HashMap::new(),
            halt: watch::Sender::new(Halt::No),
        }
    }

    /// Works until nothing is left to do.
    pub(crate) async fn work(mut self, mut mailbox: mpsc::Receiver<Message>, woken: Woken) {
        // Before anything is taken up, so that the log reads in the order in which things happened.
        if woken == Woken::ByStart && !decide(&self.state).waits_for_people() {
            self.append(Event::PanelRestarted).await;
        }
        let mut next: Option<Message> = None;
        loop {
            self.halt.send_replace(halt(&self.state));
            match decide(&self.state) {
                Next::End(event) => {
                    self.append(event).await;
                    continue;
                }
                Next::Work(wanted) => self.tend(&wanted),
            }
            if let Some(message) = next.take() {
                next = self.take(message, &mut mailbox).await;
                continue;
            }
            if self.tasks.is_empty() && self.shared.retire(self.run, &mut mailbox) {
                return;
            }
            tokio::select! {
                message = mailbox.recv() => match message {
                    Some(message) => next = self.take(message, &mut mailbox).await,
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await,
            }
        }
    }

    /// Starts what is wanted and not under way, drops what is no longer wanted.
    fn tend(&mut self, wanted: &[Activity]) {
        let state = &self.state;
        self.live.retain(|activity, task| {
            let keep = wanted.contains(activity);
            if !keep && !concluded(*activity, state) {
                task.abort();
            }
            keep
        });
        for activity in wanted {
            if self.live.contains_key(activity) {
                continue;
            }
            let recorder = Recorder {
                activity: *activity,
                mailbox: self.own.clone(),
            };
            let task = crate::activity::start(self, *activity, recorder, self.halt.subscribe());
            let activity = *activity;
            let handle = self.tasks.spawn(async move {
                task.await;
                activity
            });
            self.live.insert(activity, handle);
        }
    }

    /// Gives back a message that was taken out of the mailbox and must wait until what comes next is decided.
    async fn take(
        &mut self,
        message: Message,
        mailbox: &mut mpsc::Receiver<Message>,
    ) -> Option<Message> {
        match message {
            Message::Command { command, by, reply } => {
                let answer = match handle(&self.state, &command, &by) {
                    Ok(event) => {
                        self.append(event).await;
                        Ok(())
                    }
                    Err(refusal) => Err(refusal),
                };
                if reply.send(answer).is_err() {
                    tracing::debug!(run = %self.run, "nobody waits for the answer to a command");
                }
                None
            }
            Message::Record(record) => self.take_records(record, mailbox).await,
        }
    }

    /// Under way, and not dropped since.
    pub(crate) fn is_live(&self, activity: Activity) -> bool {
        self.live.contains_key(&activity)
    }

    async fn ended(&mut self, ended: Result<(tokio::task::Id, Activity), tokio::task::JoinError>) {
        match ended {
            Ok((id, activity)) => {
                if self.live.get(&activity).is_some_and(|task| task.id() == id) {
                    self.live.remove(&activity);
                }
            }
            Err(failed) => {
                let broken = self
                    .live
                    .iter()
                    .find(|(_, task)| task.id() == failed.id())
                    .map(|(a, _)| *a);
                let Some(activity) = broken else { return };
                self.live.remove(&activity);
                if failed.is_panic() {
                    tracing::error!(run = %self.run, ?activity, "an activity panicked");
                    self.append(Event::Parked {
                        reason: format!("an internal error ended {activity:?}"),
                    })
                    .await;
                }
            }
        }
    }
}

/// True if the activity has recorded its outcome: it may tidy up behind itself. Everything else that is no
/// longer wanted has changed nothing yet.
fn concluded(activity: Activity, state: &RunState) -> bool {
    match activity {
        Activity::OpenGate(_) | Activity::PassGate(_) | Activity::Recheck(_) => false,
        Activity::Drive(step) | Activity::Undo(step) => state
            .steps
            .get(step as usize)
            .is_some_and(|s| s.status != StepStatus::Pending),
    }
}

/// How urgently running steps are to end.
fn halt(state: &RunState) -> Halt {
    if state.stop == Some(Stop::Now) || state.abandon.is_some() {
        Halt::Now
    } else if state.is_leaving() {
        Halt::Leaving
    } else {
        Halt::No
    }
}

/// Locks are taken with the first gate and given up at the end. A plan without gates takes none.
pub(crate) fn locks(event: &Event, before: &RunState, after: &RunState) -> Locks {
    if after.status().is_final() {
        return Locks::Release;
    }
    let first =
        matches!(event, Event::GatePassed { .. }) && !before.stages.iter().any(|s| s.passed);
    if first && !before.plan.locks.is_empty() {
        Locks::Take(before.plan.locks.clone())
    } else {
        Locks::Keep
    }
}
