//! What people may do to a run, and what the engine refuses.

use std::sync::Arc;

use coxswain_engine::engine::{CommandError, Engine, Timing};
use coxswain_engine::handle::Refusal;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::{Registry, StepKind};
use coxswain_engine::testing::checks::{approver, starter};
use coxswain_engine::testing::{FailAt, KillAround, KillSwitch, MemoryStore, When, layer};
use coxswain_wire::{RunCommand, RunId, RunStatus, RunView, StepStatus, Timestamp};

use crate::toy::{self, Weather, World};

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) store: MemoryStore,
    pub(crate) world: World,
}

pub(crate) fn bench(fail: Option<FailAt>) -> Bench {
    match fail {
        Some(FailAt { step, when }) => bench_of(|kind| layer(kind, FailAt { step, when })),
        None => bench_of(|kind| kind),
    }
}

pub(crate) fn bench_of(wrap: impl Fn(Arc<dyn StepKind>) -> Arc<dyn StepKind>) -> Bench {
    let (world, store) = (World::default(), MemoryStore::default());
    let engine = Engine::new(
        Arc::new(store.clone()),
        Registry::new(toy::kinds(&world).into_iter().map(wrap)),
        Arc::new(Weather(world.clone())),
        || Timestamp(0),
        Timing::default(),
    );
    Bench {
        engine,
        store,
        world,
    }
}

impl Bench {
    pub(crate) async fn start(&self, plan: Plan) -> RunId {
        self.engine.start(plan, starter()).await.unwrap()
    }

    pub(crate) async fn until(&self, run: RunId, wanted: impl Fn(&RunView) -> bool) -> RunView {
        let mut changed = self.engine.changed();
        loop {
            let view = self.engine.view(run).await.unwrap();
            if wanted(&view) {
                return view;
            }
            changed.recv().await.unwrap();
        }
    }

    pub(crate) async fn is(&self, run: RunId, status: RunStatus) -> RunView {
        self.until(run, |view| view.summary.status == status).await
    }

    pub(crate) async fn say(&self, run: RunId, command: RunCommand) -> Result<(), Refusal> {
        match self.engine.command(run, command, approver()).await {
            Ok(()) => Ok(()),
            Err(CommandError::Refused(refusal)) => Err(refusal),
            Err(CommandError::Store(e)) => panic!("{e}"),
        }
    }

    pub(crate) async fn approve(&self, run: RunId) {
        let view = self.is(run, RunStatus::Waiting).await;
        self.say(run, approval(&view)).await.unwrap();
    }
}

fn approval(view: &RunView) -> RunCommand {
    let stage = view.open_gate.unwrap() as usize;
    RunCommand::Approve {
        plan_sha256: view.plan.sha256.clone(),
        evidence_sha256: view.stages[stage].evidence.as_ref().unwrap().sha256.clone(),
        comment: "fine".to_owned(),
        confirm: None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_names_what_was_read() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    let RunCommand::Approve {
        plan_sha256,
        evidence_sha256,
        ..
    } = approval(&view)
    else {
        unreachable!()
    };
    let with = |plan: &str, evidence: &str| RunCommand::Approve {
        plan_sha256: plan.to_owned(),
        evidence_sha256: evidence.to_owned(),
        comment: String::new(),
        confirm: None,
    };
    assert_eq!(
        bench.say(run, with("other", &evidence_sha256)).await,
        Err(Refusal::Outdated { what: "The plan" })
    );
    assert_eq!(
        bench.say(run, with(&plan_sha256, "other")).await,
        Err(Refusal::Outdated {
            what: "The evidence"
        })
    );
    bench
        .say(run, with(&plan_sha256, &evidence_sha256))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_started_the_run_approves_it_only_by_typing_the_name() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    let refused = bench
        .engine
        .command(run, approval(&view), starter())
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            CommandError::Refused(Refusal::ConfirmationMissing { .. })
        ),
        "{refused}"
    );
    let RunCommand::Approve {
        plan_sha256,
        evidence_sha256,
        comment,
        ..
    } = approval(&view)
    else {
        unreachable!()
    };
    let typed = RunCommand::Approve {
        plan_sha256,
        evidence_sha256,
        comment,
        confirm: Some("toys".to_owned()),
    };
    bench.engine.command(run, typed, starter()).await.unwrap();
    let view = bench.until(run, |v| v.stages[0].decision.is_some()).await;
    assert!(view.stages[0].decision.as_ref().unwrap().self_approved);
}

#[tokio::test(start_paused = true)]
async fn an_intended_outage_is_approved_by_nobody_without_the_name() {
    let bench = bench(None);
    let mut plan = toy::plan();
    plan.outage = Some("no toys for a minute".to_owned());
    let run = bench.start(plan).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    assert_eq!(view.plan.outage.as_deref(), Some("no toys for a minute"));
    let gate = view.plan.stages[0].gate.as_ref().unwrap();
    assert_eq!(gate.confirm.as_deref(), Some("toys"));
    let expected = "toys".to_owned();
    assert_eq!(
        bench.say(run, approval(&view)).await,
        Err(Refusal::ConfirmationMissing { expected })
    );
}

#[tokio::test(start_paused = true)]
async fn a_diff_binds_an_approval() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    *bench.world.diff.lock().unwrap() = Some("-old\n+new".to_owned());
    bench.say(run, approval(&view)).await.unwrap();
    let view = bench.until(run, |v| !v.stages[0].changes.is_empty()).await;
    assert_eq!(view.summary.status, RunStatus::Waiting);
    let evidence = view.stages[0].evidence.as_ref().unwrap();
    assert_eq!(evidence.facts[0].diff.as_deref(), Some("-old\n+new"));
}

#[tokio::test(start_paused = true)]
async fn people_read_what_a_step_reports_and_no_other_output() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    let view = bench
        .until(run, |v| v.steps[0].status == StepStatus::Succeeded)
        .await;
    let tables: Vec<&str> = view.steps[0].report.iter().map(|t| &*t.title).collect();
    assert_eq!(tables, ["Put"]);
    assert_eq!(view.steps[0].report[0].rows, [["a"]]);
}

#[tokio::test(start_paused = true)]
async fn a_finding_in_the_way_refuses_the_approval() {
    let bench = bench(None);
    *bench.world.blocked.lock().unwrap() = true;
    let run = bench.start(toy::plan()).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    assert!(matches!(
        bench.say(run, approval(&view)).await,
        Err(Refusal::Blocked { count: 1, .. })
    ));
    *bench.world.blocked.lock().unwrap() = false;
    bench.say(run, RunCommand::Refresh).await.unwrap();
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[0].status == StepStatus::Succeeded)
        .await;
}

#[tokio::test(start_paused = true)]
async fn evidence_that_changed_after_the_approval_reopens_the_gate() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    *bench.world.weather.lock().unwrap() = "storm".to_owned();
    bench.say(run, approval(&view)).await.unwrap();
    let view = bench.until(run, |v| !v.stages[0].changes.is_empty()).await;
    assert_eq!(view.summary.status, RunStatus::Waiting);
    assert!(view.stages[0].changes[0].contains("storm"));
    assert!(view.steps.iter().all(|s| s.status == StepStatus::Pending));
}

#[tokio::test(start_paused = true)]
async fn a_second_run_waits_at_its_gate_for_the_lock() {
    let bench = bench(None);
    let first = bench.start(toy::plan()).await;
    bench.approve(first).await;
    bench
        .until(first, |v| v.steps[2].status == StepStatus::Running)
        .await;
    assert_eq!(bench.store.locked(), ["cluster:1"]);
    let second = bench.start(toy::plan()).await;
    bench.approve(second).await;
    let view = bench.until(second, |v| v.notice.is_some()).await;
    assert_eq!(view.summary.status, RunStatus::Waiting);
    assert!(
        view.notice
            .unwrap()
            .message
            .contains(&format!("run {first}"))
    );
}

#[tokio::test(start_paused = true)]
async fn rejected_before_anything_was_done_the_run_is_over() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.is(run, RunStatus::Waiting).await;
    assert_eq!(
        bench
            .say(
                run,
                RunCommand::Reject {
                    comment: " ".to_owned()
                }
            )
            .await,
        Err(Refusal::CommentMissing)
    );
    bench
        .say(
            run,
            RunCommand::Reject {
                comment: "not today".to_owned(),
            },
        )
        .await
        .unwrap();
    assert_eq!(bench.is(run, RunStatus::Rejected).await.commands, []);
}

#[tokio::test(start_paused = true)]
async fn paused_nothing_new_starts_and_resumed_the_evidence_is_checked() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[2].status == StepStatus::Running)
        .await;
    bench.say(run, RunCommand::Pause).await.unwrap();
    let view = bench
        .until(run, |v| v.steps[2].status == StepStatus::Succeeded)
        .await;
    assert_eq!(view.summary.status, RunStatus::Paused);
    bench.say(run, RunCommand::Resume).await.unwrap();
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Completed).await;
    assert!(
        view.history.iter().any(|h| h.text.contains("still held")),
        "{:#?}",
        view.history
    );
}

#[tokio::test(start_paused = true)]
async fn stopped_after_the_running_step_it_can_go_on() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[2].status == StepStatus::Running)
        .await;
    bench.say(run, RunCommand::Stop).await.unwrap();
    let view = bench.is(run, RunStatus::Stopped).await;
    assert_eq!(view.steps[2].status, StepStatus::Succeeded);
    bench.say(run, RunCommand::Retry).await.unwrap();
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
}

#[tokio::test(start_paused = true)]
async fn killed_now_the_running_step_ends_and_a_retry_makes_a_new_attempt() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[2].status == StepStatus::Running)
        .await;
    bench.say(run, RunCommand::Kill).await.unwrap();
    let view = bench.is(run, RunStatus::Failed).await;
    assert_eq!(
        view.steps[2].error.as_ref().unwrap().message,
        "ended on request"
    );
    bench.say(run, RunCommand::Retry).await.unwrap();
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
    assert_eq!(bench.world.things().ticks["job"], 1);
}

#[tokio::test(start_paused = true)]
async fn failed_it_is_abandoned_only_with_a_reason_and_frees_its_locks() {
    let bench = bench(Some(FailAt {
        step: 1,
        when: When::Before,
    }));
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Failed).await;
    assert!(view.notice.unwrap().message.contains("injected failure"));
    assert_eq!(bench.store.locked(), ["cluster:1"]);
    let abandon = |comment: &str| RunCommand::Abandon {
        comment: comment.to_owned(),
        dead_hosts: vec![],
    };
    assert_eq!(
        bench.say(run, abandon("")).await,
        Err(Refusal::CommentMissing)
    );
    bench.say(run, abandon("by hand")).await.unwrap();
    bench.is(run, RunStatus::Abandoned).await;
    assert!(bench.store.locked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_step_kind_parks_the_run() {
    let bench = bench(None);
    let mut plan = toy::plan();
    plan.stages[0].steps[0].kind = "from_the_future".to_owned();
    let run = bench.start(plan).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Parked).await;
    assert!(view.notice.unwrap().message.contains("from_the_future"));
}

#[tokio::test(start_paused = true)]
async fn commands_that_make_no_sense_are_refused() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.is(run, RunStatus::Waiting).await;
    for command in [RunCommand::Resume, RunCommand::Retry, RunCommand::Stop] {
        let kind = command.kind();
        assert_eq!(
            bench.say(run, command).await,
            Err(Refusal::NotNow {
                kind,
                status: RunStatus::Waiting
            })
        );
    }
    let unwind = RunCommand::Unwind {
        plan_sha256: String::new(),
        confirm: None,
    };
    assert_eq!(bench.say(run, unwind).await, Err(Refusal::NothingToUndo));
}

#[tokio::test(start_paused = true)]
async fn what_a_job_left_on_its_host_is_removed_after_its_outcome() {
    let bench = bench(None);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    bench
        .until(run, |v| v.steps[2].status == StepStatus::Succeeded)
        .await;
    assert_eq!(bench.world.jobs_left(), 1);
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while bench.world.jobs_left() > 0 {
            tokio::task::yield_now().await;
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
    })
    .await
    .unwrap();
}

/// A panel on this data that can be killed.
fn mortal(store: &MemoryStore, world: &World) -> (Bench, Arc<KillSwitch>) {
    mortal_at(store, world, || Timestamp(0))
}

fn mortal_at(
    store: &MemoryStore,
    world: &World,
    now: fn() -> Timestamp,
) -> (Bench, Arc<KillSwitch>) {
    let kill = Arc::new(KillSwitch::at(usize::MAX));
    let kinds = toy::kinds(world)
        .into_iter()
        .map(|kind| layer(kind, KillAround { kill: kill.clone() }));
    let engine = Engine::new(
        Arc::new(store.for_panel(kill.clone())),
        Registry::new(kinds),
        Arc::new(Weather(world.clone())),
        now,
        Timing::default(),
    );
    let bench = Bench {
        engine,
        store: store.clone(),
        world: world.clone(),
    };
    (bench, kill)
}

fn restarts(view: &RunView) -> usize {
    let text = "The panel was started again";
    let entries = view.history.iter();
    entries.filter(|e| e.text.starts_with(text)).count()
}

#[tokio::test(start_paused = true)]
async fn each_start_is_in_the_history_of_a_run_that_was_under_way() {
    let (world, store) = (World::default(), MemoryStore::default());
    let (mut bench, mut kill) = mortal(&store, &world);
    let run = bench.start(toy::plan()).await;
    bench.approve(run).await;
    let under_way = |view: &RunView| view.steps.iter().any(|s| s.status == StepStatus::Running);
    bench.until(run, under_way).await;
    for start in 1..=2 {
        kill.strike();
        (bench, kill) = mortal(&store, &world);
        bench.engine.recover().await.unwrap();
        bench.until(run, |view| restarts(view) == start).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_is_no_news_to_a_run_that_waits_for_people() {
    let (world, store) = (World::default(), MemoryStore::default());
    let (bench, kill) = mortal(&store, &world);
    let run = bench.start(toy::plan()).await;
    let before = bench.is(run, RunStatus::Waiting).await;
    kill.strike();
    let (bench, _kill) = mortal(&store, &world);
    bench.engine.recover().await.unwrap();
    assert_eq!(bench.is(run, RunStatus::Waiting).await.seq, before.seq);
    // Nor is a command, which wakes the run too.
    bench.approve(run).await;
    let view = bench.until(run, |view| view.seq > before.seq).await;
    assert_eq!(restarts(&view), 0);
}

/// Whether a run asks again whose panel was away for a while, in which the weather changed or not.
async fn asks_again(now: fn() -> Timestamp, weather: &str, plan: Plan) -> bool {
    let (world, store) = (World::default(), MemoryStore::default());
    let (bench, kill) = mortal(&store, &world);
    let run = bench.start(plan).await;
    bench.approve(run).await;
    let under_way = |view: &RunView| view.steps.iter().any(|s| s.status == StepStatus::Running);
    bench.until(run, under_way).await;
    kill.strike();
    weather.clone_into(&mut world.weather.lock().unwrap());
    let (bench, _kill) = mortal_at(&store, &world, now);
    bench.engine.recover().await.unwrap();
    let asks = |view: &RunView| !view.stages[0].changes.is_empty();
    let settled = |view: &RunView| asks(view) || view.summary.status == RunStatus::Completed;
    let view = bench.until(run, settled).await;
    assert!(
        !under_way(&view),
        "what was under way is seen to its end first"
    );
    asks(&view)
}

/// Only its first stage has a gate.
fn gated_once() -> Plan {
    let mut plan = toy::plan();
    for later in &mut plan.stages[1..] {
        later.gate = None;
    }
    plan
}

#[tokio::test(start_paused = true)]
async fn after_a_long_time_without_a_panel_the_evidence_is_looked_at_before_the_run_goes_on() {
    let fine = World::default().weather.lock().unwrap().clone();
    let (soon, late) = (|| Timestamp(899_000), || Timestamp(900_000));
    assert!(asks_again(late, "storm", gated_once()).await);
    assert!(!asks_again(late, &fine, gated_once()).await);
    assert!(!asks_again(soon, "storm", gated_once()).await);
}
