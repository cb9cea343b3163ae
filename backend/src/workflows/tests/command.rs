//! Following a log: an end by the run's stop is as good as the one by time.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::testing::MemoryStore;
use coxswain_engine::testing::checks::{approver, starter};
use coxswain_wire::{FieldValue, RunCommand, RunId, RunStatus, RunView, StepStatus};
use tokio::time::{Instant, sleep};

use super::super::{Preflights, find};
use super::lab::{self, virtual_now};
use crate::steps::registry;

async fn until(engine: &Engine, run: RunId, what: impl Fn(&RunView) -> bool) -> RunView {
    let mut changed = engine.changed();
    loop {
        let view = engine.view(run).await.unwrap();
        if what(&view) {
            return view;
        }
        // Lagging only means that there is news.
        let _ = changed.recv().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_until_the_run_is_stopped() {
    for command in [RunCommand::Stop, RunCommand::Kill] {
        let services = lab::running_lab().services();
        let engine = Engine::new(
            Arc::new(MemoryStore::default()),
            registry(&services),
            Arc::new(Preflights::new(services)),
            virtual_now,
            Timing::default(),
        );
        let inputs = lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("what", lab::text("log")),
            ("hosts", FieldValue::Ids(vec![1, 4])),
            ("follow_s", lab::text("600")),
        ]);
        let plan = find("command").unwrap();
        let plan = plan.plan(&inputs, &lab::running_inventory()).unwrap();
        let run = engine.start(plan, starter()).await.unwrap();
        let all = |view: &RunView, status| view.steps.iter().all(|step| step.status == status);
        until(&engine, run, |view| all(view, StepStatus::Running)).await;
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        engine.command(run, command, approver()).await.unwrap();
        let view = until(&engine, run, |view| {
            view.summary.status != RunStatus::Running
        })
        .await;
        assert_eq!(
            view.summary.status,
            RunStatus::Completed,
            "{:?}",
            view.notice
        );
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        for step in view.steps {
            assert_eq!(
                step.observed.as_deref(),
                Some("followed until it was stopped")
            );
        }
    }
}
