//! What is taken away only for the run's duration.

use std::sync::Arc;

use coxswain_engine::handle::Refusal;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::StepKind;
use coxswain_engine::testing::checks::{self, Subject};
use coxswain_engine::testing::{FailAt, FailFirst, NoUndo, UnsureAt, When, layer};
use coxswain_wire::{RunCommand, RunStatus, StepStatus};

use crate::commands::{Bench, bench, bench_of};
use crate::toy::Errand;

#[tokio::test(start_paused = true)]
async fn it_is_given_back_on_every_way_out() {
    checks::gives_back(&Errand, &|kind| kind).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn without_giving_back_the_check_says_what_is_missing() {
    let found = checks::gives_back(&Errand, &|kind| layer(kind, NoUndo))
        .await
        .unwrap_err();
    assert!(found.contains("still taken away"), "{found}");
}

#[tokio::test(start_paused = true)]
async fn failing_at_each_step_it_unwinds() {
    checks::unwinds(&Errand, &|kind, _| kind).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_write_and_effect_it_ends_the_same() {
    checks::survives(&Errand, &|kind| kind).await.unwrap();
}

fn failing(step: u32) -> Bench {
    let when = When::Before;
    bench(Some(FailAt { step, when }))
}

fn abandon() -> RunCommand {
    RunCommand::Abandon {
        comment: "by hand".to_owned(),
        dead_hosts: vec![],
    }
}

#[tokio::test(start_paused = true)]
async fn failed_the_last_taken_comes_back_first_and_the_history_says_so() {
    let bench = failing(Errand::JOB);
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Failed).await;
    let told: Vec<&str> = view
        .history
        .iter()
        .map(|h| h.text.as_str())
        .filter(|t| t.starts_with("Giving back") && t.contains("started"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("bring the light back"), "{told:?}");
    assert!(told[1].contains("bring the door back"), "{told:?}");
    assert!(view.notice.unwrap().message.contains("injected failure"));
    assert_eq!(view.taken, Vec::<u32>::new());
    assert_eq!(view.steps[0].status, StepStatus::Undone);
    assert_eq!(bench.store.locked(), ["cluster:1"]);
}

fn fails_first(kind: Arc<dyn StepKind>, step: u32) -> Arc<dyn StepKind> {
    let when = When::Before;
    layer(kind, FailFirst { step, when })
}

#[tokio::test(start_paused = true)]
async fn failing_at_each_step_and_tried_again_it_ends_the_same() {
    checks::retries(&Errand, &|kind| kind).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn tried_again_what_is_still_needed_is_taken_again_and_nothing_else_is_done_twice() {
    let bench = bench_of(|kind| fails_first(kind, Errand::JOB));
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Failed).await;
    bench.say(run, RunCommand::Retry).await.unwrap();
    let view = bench.is(run, RunStatus::Completed).await;
    let attempts: Vec<u32> = view.steps.iter().map(|s| s.attempt).collect();
    assert_eq!(attempts, [2, 1, 2, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn failed_behind_its_span_it_is_not_taken_again() {
    let back = Errand::DOOR_BACK - 1;
    let bench = bench_of(|kind| fails_first(kind, back));
    let mut plan = Errand.plan();
    plan.stages.remove(2);
    let run = bench.start(plan).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Failed).await;
    assert!(bench.world.things().taken.is_empty());
    bench.say(run, RunCommand::Retry).await.unwrap();
    let view = bench.is(run, RunStatus::Completed).await;
    assert_eq!(view.steps[Errand::DOOR as usize].attempt, 1);
    assert_eq!(view.steps[Errand::DOOR as usize].status, StepStatus::Undone);
    assert_eq!(view.summary.steps_done, view.summary.steps_total);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_before_the_run_is_not_given_back() {
    let bench = failing(Errand::JOB);
    bench.world.things().taken.insert("door".to_owned());
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Failed).await;
    assert!(bench.world.things().taken.contains("door"));
    assert!(!bench.world.things().taken.contains("light"));
}

#[tokio::test(start_paused = true)]
async fn a_gentle_stop_ends_at_once_what_only_watches() {
    let bench = bench(None);
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[3].status == StepStatus::Running)
        .await;
    let before = tokio::time::Instant::now();
    bench.say(run, RunCommand::Stop).await.unwrap();
    bench.is(run, RunStatus::Failed).await;
    // The job would have taken 20 seconds.
    assert!(before.elapsed() < std::time::Duration::from_secs(5));
    assert!(bench.world.things().taken.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_given_back_parks_and_a_retry_gives_it_back_first() {
    let bench = failing(Errand::JOB);
    *bench.world.stuck.lock().unwrap() = true;
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Parked).await;
    assert!(view.notice.unwrap().message.contains("it is stuck"));
    assert_eq!(view.taken, [2, 0]);
    *bench.world.stuck.lock().unwrap() = false;
    bench.say(run, RunCommand::Retry).await.unwrap();
    let view = bench.is(run, RunStatus::Failed).await;
    assert_eq!(view.taken, Vec::<u32>::new());
    assert!(view.notice.unwrap().message.contains("injected failure"));
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_given_back_is_not_in_the_way_of_abandoning() {
    let bench = failing(Errand::JOB);
    *bench.world.stuck.lock().unwrap() = true;
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Parked).await;
    // The light has been tried, the door has not.
    bench.say(run, abandon()).await.unwrap();
    let view = bench
        .until(run, |v| v.steps[0].status == StepStatus::UndoFailed)
        .await;
    assert_eq!(view.summary.status, RunStatus::Parked);
    bench.say(run, abandon()).await.unwrap();
    let view = bench.is(run, RunStatus::Abandoned).await;
    assert_eq!(view.taken, [2, 0]);
    assert!(bench.store.locked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn abandoned_at_an_open_gate_the_locks_go_after_it_was_given_back() {
    let bench = bench(None);
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    let view = bench.until(run, |v| v.open_gate == Some(2)).await;
    assert_eq!(view.taken, [Errand::DOOR]);
    bench.say(run, abandon()).await.unwrap();
    let view = bench.is(run, RunStatus::Abandoned).await;
    let last = &view.history[view.history.len() - 3..];
    assert!(last[0].text.starts_with("Giving back"), "{last:?}");
    assert!(last[1].text.contains("succeeded"), "{last:?}");
    assert!(last[2].text.starts_with("abandoned"), "{last:?}");
    assert!(bench.world.things().taken.is_empty());
    assert!(bench.store.locked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_it_and_says_so() {
    let bench = bench(None);
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[3].status == StepStatus::Running)
        .await;
    bench.say(run, RunCommand::Pause).await.unwrap();
    let view = bench
        .until(run, |v| v.steps[3].status == StepStatus::Succeeded)
        .await;
    assert_eq!(view.summary.status, RunStatus::Paused);
    assert_eq!(view.taken, [2, 0]);
    let notice = view.notice.expect("it says what is held");
    for held in &view.taken {
        let steps = view.plan.stages.iter().flat_map(|stage| &stage.steps);
        let title = steps
            .filter(|step| step.index == *held)
            .map(|step| &step.title);
        assert!(
            title.into_iter().all(|t| notice.message.contains(t)),
            "{notice:?}"
        );
    }
    assert!(notice.advice.is_some(), "{notice:?}");
    bench.say(run, RunCommand::Stop).await.unwrap();
    bench.is(run, RunStatus::Stopped).await;
    assert!(bench.world.things().taken.is_empty());
}

#[tokio::test(start_paused = true)]
async fn parked_it_is_kept_and_unwinding_gives_it_back() {
    let bench = bench_of(|kind| layer(kind, UnsureAt { step: Errand::JOB }));
    let run = bench.start(Errand.plan()).await;
    bench.approve(run).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Parked).await;
    assert_eq!(view.taken, [2, 0]);
    let advice = view.notice.and_then(|notice| notice.advice).unwrap();
    assert!(advice.contains("stays so"), "{advice}");
    let undo = bench.engine.unwind(run).await.unwrap();
    let order: Vec<u32> = undo.steps.iter().map(|s| s.index).collect();
    assert_eq!(order, [3, 2, 1, 0]);
    let unwind = RunCommand::Unwind {
        plan_sha256: undo.sha256,
        confirm: None,
    };
    bench.say(run, unwind).await.unwrap();
    bench.is(run, RunStatus::Unwound).await;
    assert_eq!(*bench.world.things(), crate::toy::Things::default());
}

/// Who undoes what may be in use by then has to type whose it is.
#[tokio::test(start_paused = true)]
async fn an_outage_by_undoing_is_confirmed() {
    let bench = bench_of(|kind| layer(kind, UnsureAt { step: Errand::JOB }));
    let run = bench
        .start(Plan {
            undo_outage: Some("The toys are gone.".to_owned()),
            ..Errand.plan()
        })
        .await;
    bench.approve(run).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Parked).await;
    let undo = bench.engine.unwind(run).await.unwrap();
    assert_eq!(undo.outage.as_deref(), Some("The toys are gone."));
    let name = undo.confirm.unwrap();
    for confirm in [None, Some(format!("{name}s"))] {
        let unwind = RunCommand::Unwind {
            plan_sha256: undo.sha256.clone(),
            confirm,
        };
        assert_eq!(
            bench.say(run, unwind).await,
            Err(Refusal::ConfirmationMissing {
                expected: name.clone()
            })
        );
    }
    bench.is(run, RunStatus::Parked).await;
    let unwind = RunCommand::Unwind {
        plan_sha256: undo.sha256,
        confirm: Some(name),
    };
    bench.say(run, unwind).await.unwrap();
    bench.is(run, RunStatus::Unwound).await;
}
