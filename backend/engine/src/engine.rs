//! The facade: starts runs, hands commands to their runners, takes unfinished runs up again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coxswain_wire::{RunCommand, RunId, RunView, StageIndex, Timestamp, UnwindView};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use crate::drive::Timing;
use crate::event::{Actor, Event};
use crate::evidence::Preflight;
use crate::handle::Refusal;
use crate::plan::{Outputs, Plan};
use crate::runner::{Message, Runner, Woken, mailbox};
use crate::state::RunState;
use crate::step::Registry;
use crate::store::{Append, Store, StoreError};
use crate::{unwind, view};

/// How many changes a slow listener may miss before it must look at everything.
const CHANGES: usize = 1024;

/// Why a command was not carried out.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The state of the run does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The storage failed, or there is no such run.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Runs plans. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What runners and activities share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    preflight: Arc<dyn Preflight>,
    clock: fn() -> Timestamp,
    pub(crate) timing: Timing,
    runners: Mutex<HashMap<RunId, mpsc::Sender<Message>>>,
    changed: broadcast::Sender<RunId>,
}

impl Engine {
    /// An engine over this storage, these step kinds and this way to collect evidence. `clock` gives
    /// the time that events carry.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        registry: Registry,
        preflight: Arc<dyn Preflight>,
        clock: fn() -> Timestamp,
        timing: Timing,
    ) -> Self {
        let (changed, _) = broadcast::channel(CHANGES);
        let runners = Mutex::new(HashMap::new());
        Self {
            shared: Arc::new(Shared {
                store,
                registry,
                preflight,
                clock,
                timing,
                runners,
                changed,
            }),
        }
    }

    /// Stores a new run of this plan and begins with its preflight.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn start(&self, plan: Plan, by: Actor) -> Result<RunId, StoreError> {
        let shared = &self.shared;
        let created = Event::Created {
            by,
            plan_sha256: plan.sha256(),
        };
        let mut state = RunState::new(Arc::new(plan.clone()));
        let at = shared.now();
        let recorded = crate::event::Recorded {
            seq: 0,
            at,
            event: created.clone(),
        };
        state
            .fold(&recorded, &mut Outputs::new())
            .map_err(|e| StoreError::Broken(Box::new(e)))?;
        let run = shared
            .store
            .create(&plan, created, at, state.status())
            .await?;
        shared.announce(run);
        shared.ensure_runner(run, Woken::ByWork).await?;
        Ok(run)
    }

    /// Carries out a command. Whether `by` has the right to give it is the caller's question.
    ///
    /// # Errors
    /// A refusal, or a failing storage; nothing was changed.
    pub async fn command(
        &self,
        run: RunId,
        command: RunCommand,
        by: Actor,
    ) -> Result<(), CommandError> {
        loop {
            let mailbox = self.shared.ensure_runner(run, Woken::ByWork).await?;
            let (reply, answer) = oneshot::channel();
            let message = Message::Command {
                command: command.clone(),
                by: by.clone(),
                reply,
            };
            // A runner that has just retired takes no more mail: the next one does.
            if mailbox.send(message).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return Ok(answer?);
            }
        }
    }

    /// A run in full.
    ///
    /// # Errors
    /// No such run, or the storage failed.
    pub async fn view(&self, run: RunId) -> Result<RunView, StoreError> {
        let stored = self.shared.store.load(run).await?;
        Ok(view::view(run, stored))
    }

    /// What unwinding would do now.
    ///
    /// # Errors
    /// No such run, or the storage failed.
    pub async fn unwind(&self, run: RunId) -> Result<UnwindView, StoreError> {
        let (state, _) = self.shared.load(run).await?;
        Ok(unwind::plan(&state))
    }

    /// Takes every unfinished run up where its log stands; the log of one that has something under way says
    /// so. Called once, at start.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn recover(&self) -> Result<(), StoreError> {
        for run in self.shared.store.unfinished().await? {
            self.shared.ensure_runner(run, Woken::ByStart).await?;
        }
        Ok(())
    }

    /// Tells of every run whose log has grown.
    #[must_use]
    pub fn changed(&self) -> broadcast::Receiver<RunId> {
        self.shared.changed.subscribe()
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) async fn append(&self, append: Append) -> Result<(), StoreError> {
        let run = append.run;
        self.store.append(append).await?;
        self.announce(run);
        Ok(())
    }

    pub(crate) async fn load(&self, run: RunId) -> Result<(RunState, Outputs), StoreError> {
        let stored = self.store.load(run).await?;
        Ok(RunState::replay(Arc::new(stored.plan), &stored.log))
    }

    /// The event with every secret in its texts masked. A storage that cannot tell the secrets is asked
    /// again for ever: an outcome must not be dropped, nor stored with a secret in it.
    pub(crate) async fn scrub(&self, mut event: Event) -> Event {
        for text in event.texts() {
            let mut wait = Duration::from_millis(100);
            loop {
                match self.store.redact(text).await {
                    Ok(safe) => {
                        *text = safe;
                        break;
                    }
                    Err(e) => {
                        tracing::error!(error = ?e, "cannot redact, trying again");
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(Duration::from_secs(30));
                    }
                }
            }
        }
        event
    }

    fn announce(&self, run: RunId) {
        // An error means that nobody listens.
        if self.changed.send(run).is_err() {
            tracing::trace!(%run, "nobody listens");
        }
    }

    /// The mailbox of the run's runner, started if there is none.
    async fn ensure_runner(
        self: &Arc<Self>,
        run: RunId,
        woken: Woken,
    ) -> Result<mpsc::Sender<Message>, StoreError> {
        if let Some(mailbox) = self.runners().get(&run) {
            return Ok(mailbox.clone());
        }
        let (state, outputs) = self.load(run).await?;
        let (sender, receiver) = mailbox();
        let mut runners = self.runners();
        if let Some(mailbox) = runners.get(&run) {
            return Ok(mailbox.clone());
        }
        runners.insert(run, sender.clone());
        let runner = Runner::new(self.clone(), run, state, outputs, sender.clone());
        tokio::spawn(runner.work(receiver, woken));
        Ok(sender)
    }

    /// Takes the runner off the list if nothing waits for it. True: it must end.
    pub(crate) fn retire(&self, run: RunId, mailbox: &mut mpsc::Receiver<Message>) -> bool {
        let mut runners = self.runners();
        if !mailbox.is_empty() {
            return false;
        }
        runners.remove(&run);
        true
    }

    fn runners(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, mpsc::Sender<Message>>> {
        // The map is only ever changed by one insert or remove: it is whole even after a panic.
        self.runners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Facts about what this run has not changed itself, without secrets.
    pub(crate) async fn facts(
        &self,
        run: RunId,
        stage: StageIndex,
        state: &RunState,
    ) -> Result<Vec<coxswain_wire::Fact>, StoreError> {
        let mut facts = self.preflight.collect(run, &state.plan, stage, state).await;
        facts.retain(|fact| state.untouched(&fact.subject, stage));
        for fact in &mut facts {
            fact.value = self.store.redact(&fact.value).await?;
            if let Some(diff) = &mut fact.diff {
                *diff = self.store.redact(diff).await?;
            }
        }
        Ok(facts)
    }
}
