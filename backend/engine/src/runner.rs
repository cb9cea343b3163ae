//! The only writer of a run's log: one task per run that has something to do.
//!
//! Load, fold, decide, start what is wanted, take what comes in the mailbox, append ([`crate::batch`]), fold,
//! decide again.
//! An activity that the state no longer wants is dropped: that can only be one which has not changed
//! anything yet. When nothing is left to do the task ends; a gate waits without one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use coxswain_wire::{RunCommand, RunId, StepStatus};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::batch::Refused;
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
    /// Begun again they would end as they did: not before a person wants something.
    barred: HashSet<Activity>,
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
            barred: HashSet::new(),
            halt: watch::Sender::new(Halt::No),
        }
    }

    /// Works until nothing is left to do.
    pub(crate) async fn work(mut self, mut mailbox: mpsc::Receiver<Message>, woken: Woken) {
        // Before anything is taken up, so that the log reads in the order in which things happened.
        if woken == Woken::ByStart && !decide(&self.state).waits_for_people() {
            // Left out: it is logged, and nothing depends on it.
            self.append(Event::PanelRestarted).await.ok();
        }
        let mut next: Option<Message> = None;
        loop {
            self.halt.send_replace(halt(&self.state));
            match decide(&self.state) {
                Next::End(event) => {
                    self.end(event).await;
                    continue;
                }
                Next::Work(mut wanted) => {
                    wanted.retain(|activity| !self.barred.contains(activity));
                    self.tend(&wanted);
                }
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
                    Ok(event) => match self.append(event).await {
                        Ok(()) => {
                            self.barred.clear();
                            Ok(())
                        }
                        // Somebody else was faster.
                        Err(Refused(_)) => Err(Refusal::NotNow {
                            kind: command.kind(),
                            status: self.state.status(),
                        }),
                    },
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
                    self.barred.insert(activity);
                    self.park(format!("an internal error ended {activity:?}"))
                        .await;
                }
            }
        }
    }

    /// Ends the run. Parks it if what was decided cannot follow: deciding again would say the same.
    async fn end(&mut self, event: Event) {
        if let Err(Refused(why)) = self.append(event.clone()).await
            && decide(&self.state) == Next::End(event)
        {
            self.park(contradiction(&why)).await;
        }
    }

    /// An activity's event was left out. Where the state still asks for that activity, doing it again would
    /// report the same: it is parked.
    pub(crate) async fn refused(&mut self, from: Activity, why: &Refused) {
        let wanted = match decide(&self.state) {
            Next::Work(wanted) => wanted.contains(&from),
            Next::End(_) => false,
        };
        if wanted && self.barred.insert(from) {
            self.park(contradiction(&why.0)).await;
        }
    }

    async fn park(&mut self, reason: String) {
        let parked = Event::Parked {
            reason: reason.clone(),
        };
        if self.append(parked).await.is_err() {
            // A log that takes not even this: nothing more happens to it here.
            self.state.parked = Some(reason);
        }
    }
}

fn contradiction(why: &str) -> String {
    format!(
        "The panel's own rules contradict each other, so nothing more was done: {why}. Look at the hosts, then retry, \
         unwind or abandon."
    )
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
    } else if state.stop.is_some() || state.giving_back().is_some() {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use async_trait::async_trait;
    use coxswain_wire::{Fact, RunStatus, StageIndex, Timestamp, UserId};
    use serde_json::Value;

    use super::*;
    use crate::engine::{Engine, Timing};
    use crate::evidence::Preflight;
    use crate::plan::{Plan, Stage, Step};
    use crate::step::{Probe, Registry, StepContext, StepFailure, StepKind};
    use crate::testing::MemoryStore;

    /// Panics whatever is asked of it.
    struct Broken;

    #[async_trait]
    impl StepKind for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }
        fn check(&self, _: &Value) -> Result<(), String> {
            Ok(())
        }
        async fn probe(&self, _: &StepContext) -> Result<Probe, StepFailure> {
            panic!("a step kind with a bug")
        }
        async fn apply(&self, _: &StepContext) -> Result<(), StepFailure> {
            panic!("a step kind with a bug")
        }
    }

    struct NoFacts;

    #[async_trait]
    impl Preflight for NoFacts {
        async fn collect(&self, _: RunId, _: &Plan, _: StageIndex, _: &RunState) -> Vec<Fact> {
            Vec::new()
        }
    }

    fn plan(steps: usize) -> Plan {
        let step = Step {
            kind: "broken".to_owned(),
            title: "Break".to_owned(),
            host: None,
            target: "host".to_owned(),
            params: Value::Null,
            commands: vec![],
            undo: None,
            compensation: None,
            restores: vec![],
            irreversible: false,
            interruptible: true,
            ends_at_stop: false,
            deadline_s: 60,
            forecast: None,
        };
        Plan {
            workflow: "toy".to_owned(),
            title: "Play".to_owned(),
            inputs: BTreeMap::new(),
            cluster: None,
            cluster_name: "toys".to_owned(),
            locks: vec![],
            stages: vec![Stage {
                title: "Only".to_owned(),
                gate: None,
                steps: vec![step; steps],
            }],
            warnings: vec![],
            outage: None,
            undo_outage: None,
        }
    }

    fn somebody() -> Actor {
        Actor {
            id: UserId(1),
            name: "ada".to_owned(),
            address: "::1".to_owned(),
        }
    }

    /// Lets a runner work on a new run whose state was bent, until it rests; gives the log.
    async fn work(steps: usize, bend: impl FnOnce(&mut RunState)) -> Vec<Event> {
        let store = Arc::new(MemoryStore::default());
        let engine = Engine::new(
            store.clone(),
            Registry::new([Arc::new(Broken) as Arc<dyn StepKind>]),
            Arc::new(NoFacts),
            || Timestamp(0),
            Timing::default(),
        );
        let plan = plan(steps);
        let created = Event::Created {
            by: somebody(),
            plan_sha256: plan.sha256(),
        };
        let run =
            crate::store::Store::create(&*store, &plan, created, Timestamp(0), RunStatus::Running)
                .await
                .unwrap();
        let (mut state, outputs) = engine.shared.load(run).await.unwrap();
        bend(&mut state);
        let (sender, receiver) = mailbox();
        let runner = Runner::new(engine.shared.clone(), run, state, outputs, sender);
        tokio::time::timeout(
            Duration::from_secs(600),
            runner.work(receiver, Woken::ByWork),
        )
        .await
        .expect("it rests");
        store.log(run).into_iter().map(|r| r.event).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_and_refused_parks_once() {
        // Undoing, but nobody asked to unwind: the undo is taken up, and its intent cannot follow.
        let log = work(1, |state| state.steps[0].status = StepStatus::Undoing).await;
        let [Event::Created { .. }, Event::Parked { reason }] = &log[..] else {
            panic!("{log:?}");
        };
        assert!(reason.contains("nobody asked to unwind"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_activity_that_always_breaks_parks_once() {
        let log = work(1, |state| {
            state.steps[0].status = StepStatus::Running;
            state.steps[0].attempt = 1;
        })
        .await;
        let [Event::Created { .. }, Event::Parked { reason }] = &log[..] else {
            panic!("{log:?}");
        };
        assert!(reason.contains("internal error"), "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_cannot_be_written_ends_the_work() {
        // Nothing can follow in a log that does not begin; not even that it is parked.
        let log = work(0, |state| state.created_by = None).await;
        assert!(matches!(log[..], [Event::Created { .. }]), "{log:?}");
    }
}
