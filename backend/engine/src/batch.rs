//! Appending to a run's log.
//!
//! A commit costs one write through to the disk, however many events it holds. While one is under way, what steps
//! side by side report queues in the mailbox: all of that goes into the next commit together, in the order in which it
//! came. Nobody is answered before it.

use std::time::Duration;

use coxswain_wire::Timestamp;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::decide::{Activity, Next, decide};
use crate::event::{Event, Recorded};
use crate::fold::Impossible;
use crate::plan::Outputs;
use crate::runner::{Message, Record, Runner, locks};
use crate::state::RunState;
use crate::store::{Append, Locks, StoreError};

/// Why an event does not stand in the log.
#[derive(Clone, Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Events for one commit, and what they lead to.
struct Batch {
    at: Timestamp,
    events: Vec<Event>,
    state: RunState,
    outputs: Outputs,
    locks: Locks,
}

impl Batch {
    fn on(runner: &Runner) -> Self {
        Self {
            at: runner.shared.now(),
            events: Vec::new(),
            state: runner.state.clone(),
            outputs: runner.outputs.clone(),
            locks: Locks::Keep,
        }
    }

    /// Changes nothing if the event is impossible now.
    fn add(&mut self, event: Event) -> Result<(), Impossible> {
        let before = self.state.clone();
        let recorded = Recorded {
            seq: before.next_seq,
            at: self.at,
            event,
        };
        self.state.fold(&recorded, &mut self.outputs)?;
        self.locks = locks(&recorded.event, &before, &self.state);
        self.events.push(recorded.event);
        Ok(())
    }

    /// Whether an activity under way would still be wanted if all of this were stored.
    fn leaves(&self, activity: Activity) -> bool {
        self.locks == Locks::Keep
            && match decide(&self.state) {
                Next::Work(wanted) => wanted.contains(&activity),
                Next::End(_) => false,
            }
    }
}

impl Runner {
    /// Stores a record, with those that wait behind it as far as they stand beside each other. Gives back the
    /// message that does not.
    pub(crate) async fn take_records(
        &mut self,
        first: Record,
        mailbox: &mut mpsc::Receiver<Message>,
    ) -> Option<Message> {
        let mut batch = Batch::on(self);
        let (mut events, mut replies) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        let mut left = None;
        while let Some(Record { from, event, reply }) = next.take() {
            // From an activity that was dropped meanwhile: it changed nothing, so nothing is lost.
            if self.is_live(from) {
                let event = self.shared.scrub(*event).await;
                // An impossible one is told of when the others are stored.
                batch.add(event.clone()).ok();
                events.push(event);
                replies.push((from, reply));
            }
            match mailbox.try_recv() {
                Ok(Message::Record(record)) if batch.leaves(record.from) => next = Some(record),
                Ok(other) => left = Some(other),
                Err(_) => {}
            }
        }
        let stored = self.append_all(events).await;
        for ((from, reply), stored) in replies.into_iter().zip(stored) {
            match stored {
                Ok(()) if reply.send(()).is_err() => {
                    tracing::debug!(run = %self.run, ?from, "the activity ended before its event was stored");
                }
                Ok(()) => {}
                // Not acknowledged: the activity must not go on as if it stood in the log.
                Err(refused) => self.refused(from, &refused).await,
            }
        }
        left
    }

    /// Appends one event.
    ///
    /// # Errors
    /// It was left out.
    pub(crate) async fn append(&mut self, event: Event) -> Result<(), Refused> {
        self.append_all(vec![event]).await.into_iter().collect()
    }

    /// Appends and folds in one commit. A conflict reloads; a broken storage is tried again for ever, since an
    /// outcome must not be dropped; an event that has become impossible is logged and left out.
    async fn append_all(&mut self, mut events: Vec<Event>) -> Vec<Result<(), Refused>> {
        let mut wait = Duration::from_millis(100);
        loop {
            let mut batch = Batch::on(self);
            let mut stored = Vec::with_capacity(events.len());
            for event in &events {
                let added = batch.add(event.clone());
                if let Err(impossible) = &added {
                    tracing::error!(run = %self.run, error = %impossible, "an event was left out");
                }
                stored.push(added.map_err(|impossible| Refused(impossible.to_string())));
            }
            if batch.events.is_empty() {
                return stored;
            }
            let append = Append {
                run: self.run,
                next_seq: self.state.next_seq,
                at: batch.at,
                locks: batch.locks,
                events: batch.events,
                status: batch.state.status(),
                steps_done: batch.state.steps_done(),
            };
            match self.shared.append(append).await {
                Ok(()) => {
                    self.state = batch.state;
                    self.outputs = batch.outputs;
                    return stored;
                }
                Err(StoreError::Conflict(_)) => self.reload().await,
                Err(StoreError::LockHeld { resource, holder }) => {
                    let [Event::GatePassed { stage }] = events[..] else {
                        tracing::error!(run = %self.run, %resource, "only a gate takes locks");
                        let refused =
                            Refused(format!("only a gate takes locks, not on {resource}"));
                        return vec![Err(refused); events.len()];
                    };
                    events = vec![Event::LockHeld {
                        stage,
                        resource,
                        holder,
                    }];
                }
                Err(broken @ (StoreError::Broken(_) | StoreError::NotFound(_))) => {
                    tracing::error!(run = %self.run, error = ?broken, "cannot append, trying again");
                    sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(30));
                }
            }
        }
    }

    async fn reload(&mut self) {
        match self.shared.load(self.run).await {
            Ok((state, outputs)) => {
                self.state = state;
                self.outputs = outputs;
            }
            Err(error) => tracing::error!(run = %self.run, ?error, "cannot reload"),
        }
    }
}
