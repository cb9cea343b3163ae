//! How events reach the store when several steps report at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::event::Event;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::Registry;
use coxswain_engine::store::{Append, StepOutput, Store, StoreError, StoredRun};
use coxswain_engine::testing::checks::starter;
use coxswain_engine::testing::{FailAt, MemoryStore, When, layer};
use coxswain_wire::{RunId, RunStatus, StepIndex, StepStatus, Timestamp};

use crate::toy::{self, Weather, World};

const STEPS: usize = 20;

/// As slow as a disk, and counts what it is asked to write.
struct Disk {
    inner: MemoryStore,
    commits: AtomicUsize,
}

#[async_trait]
impl Store for Disk {
    async fn create(
        &self,
        plan: &Plan,
        created: Event,
        at: Timestamp,
        status: RunStatus,
    ) -> Result<RunId, StoreError> {
        self.inner.create(plan, created, at, status).await
    }
    async fn load(&self, run: RunId) -> Result<StoredRun, StoreError> {
        self.inner.load(run).await
    }
    async fn append(&self, append: Append) -> Result<(), StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.inner.append(append).await
    }
    async fn unfinished(&self) -> Result<Vec<RunId>, StoreError> {
        self.inner.unfinished().await
    }
    async fn output(
        &self,
        run: RunId,
        step: StepIndex,
        attempt: u32,
    ) -> Result<Arc<dyn StepOutput>, StoreError> {
        self.inner.output(run, step, attempt).await
    }
    async fn redact(&self, text: &str) -> Result<String, StoreError> {
        self.inner.redact(text).await
    }
}

/// Does the plan of steps side by side until it rests as wanted; gives steps' states, log and number of commits.
async fn done(fail: Option<StepIndex>, rests: RunStatus) -> (Vec<StepStatus>, Vec<Event>, usize) {
    let disk = Arc::new(Disk {
        inner: MemoryStore::default(),
        commits: AtomicUsize::new(0),
    });
    let world = World::default();
    let mut kinds = toy::kinds(&world);
    if let Some(step) = fail {
        let when = When::Before;
        kinds = kinds
            .into_iter()
            .map(|kind| layer(kind, FailAt { step, when }))
            .collect();
    }
    let engine = Engine::new(
        disk.clone(),
        Registry::new(kinds),
        Arc::new(Weather(world)),
        || Timestamp(0),
        Timing::default(),
    );
    let mut plan = toy::plan();
    plan.stages.truncate(1);
    plan.stages[0].gate = None;
    plan.stages[0].steps = (0..STEPS)
        .map(|n| toy::step("put", &n.to_string(), false))
        .collect();
    let mut changed = engine.changed();
    let run = engine.start(plan, starter()).await.unwrap();
    let view = loop {
        let view = engine.view(run).await.unwrap();
        if view.summary.status == rests {
            break view;
        }
        changed.recv().await.unwrap();
    };
    (
        view.steps.iter().map(|step| step.status).collect(),
        disk.inner.log(run).into_iter().map(|r| r.event).collect(),
        disk.commits.load(Ordering::SeqCst),
    )
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_at_once_is_stored_at_once() {
    let (steps, log, commits) = done(None, RunStatus::Completed).await;
    assert_eq!(steps, [StepStatus::Succeeded; STEPS]);
    // Created, an intent and an outcome for each step, Completed.
    assert_eq!(log.len(), 2 + 2 * STEPS, "{log:?}");
    assert!(commits < STEPS, "{commits} commits");
}

#[tokio::test(start_paused = true)]
async fn a_failure_among_them_lets_the_others_end_and_nothing_new_start() {
    let (steps, log, _) = done(Some(3), RunStatus::Failed).await;
    let count = |wanted: fn(&Event) -> bool| log.iter().filter(|event| wanted(event)).count();
    let started = count(|event| matches!(event, Event::StepStarted { .. }));
    let succeeded = count(|event| matches!(event, Event::StepSucceeded { .. }));
    let failed = count(|event| matches!(event, Event::StepFailed { .. }));
    assert_eq!((failed, succeeded), (1, started - 1), "{log:?}");
    assert_eq!(steps[3], StepStatus::Failed);
}
