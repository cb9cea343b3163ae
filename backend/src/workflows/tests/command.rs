//! Following a log: an end by the run's stop is as good as the one by time.

use std::time::Duration;

use coxswain_wire::{FieldValue, RunCommand, RunStatus, StepStatus};
use tokio::time::{Instant, sleep};

use super::lab;
use super::panel::Panel;

#[tokio::test(start_paused = true)]
async fn a_log_is_followed_until_the_run_is_stopped() {
    for command in [RunCommand::Stop, RunCommand::Kill] {
        let panel = Panel::over(&lab::running_lab());
        let inputs = lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("what", lab::text("log")),
            ("hosts", FieldValue::Ids(vec![1, 4])),
            ("follow_s", lab::text("600")),
        ]);
        let inventory = lab::running_inventory();
        let run = panel.start("command", &inputs, &inventory).await;
        let running = |s: &coxswain_wire::StepProgress| s.status == StepStatus::Running;
        panel
            .until(run, |view| view.steps.iter().all(running))
            .await;
        sleep(Duration::from_secs(5)).await;
        let asked = Instant::now();
        panel.say(run, command).await;
        let view = panel.is(run, RunStatus::Completed).await;
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        for step in view.steps {
            let observed = step.observed.as_deref();
            assert_eq!(observed, Some("followed until it was stopped"));
        }
    }
}
