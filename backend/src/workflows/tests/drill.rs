//! Failover drills as people read them: what the report says, what ends a drill early, and who heals a server when nobody
//! else does.

mod abort;
mod form;
mod gate;
mod heal;
mod ways;
mod workloads;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::testing::checks::{approver, starter};
use coxswain_engine::testing::{KillSwitch, MemoryStore};
use coxswain_wire::{
    ClusterId, DrillFault, DrillReport, DrillVerdict, FieldValue, HostId, LaneState, RunCommand,
    RunId, RunStatus, StepStatus,
};
use serde_json::Value;
use tokio::time::sleep;

use super::super::{Inventory, Preflights, find};
use super::conformance::lab_power;
use super::lab::{self, Lab, Memory, virtual_now};
use crate::steps::registry;
use crate::steps::services::{DrillBook, ServiceError};
use crate::world::PodOwner;
use crate::world::fake::FakeHost;

/// A panel over a lab.
struct Bench {
    lab: Lab,
    engine: Engine,
    kill: Arc<KillSwitch>,
}

/// The book of drills of a panel that can die: nothing is noted by a dead one.
struct Mortal {
    book: Memory,
    kill: Arc<KillSwitch>,
}

#[async_trait]
impl DrillBook for Mortal {
    async fn record(&self, run: RunId) -> Result<Option<Value>, ServiceError> {
        self.kill.point().await;
        self.book.record(run).await
    }
    async fn keep_record(
        &self,
        run: RunId,
        cluster: ClusterId,
        fault: DrillFault,
        record: &Value,
    ) -> Result<(), ServiceError> {
        self.kill.point().await;
        self.book.keep_record(run, cluster, fault, record).await
    }
    async fn report(&self, run: RunId) -> Result<Option<DrillReport>, ServiceError> {
        self.kill.point().await;
        self.book.report(run).await
    }
    async fn keep_report(&self, report: &DrillReport) -> Result<(), ServiceError> {
        self.kill.point().await;
        self.book.keep_report(report).await
    }
    async fn earlier(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
    ) -> Result<Vec<DrillReport>, ServiceError> {
        self.kill.point().await;
        self.book.earlier(cluster, fault, before).await
    }
}

/// Three servers and an agent, a workload with two replicas, one of them on node1, and a DaemonSet.
fn drilled_lab() -> Lab {
    let lab = lab::running_lab();
    lab.balance();
    for node in ["node1", "node2"] {
        let owner = PodOwner::Other("ReplicaSet".to_owned());
        lab.world.pod("web", node, owner, None);
    }
    lab.world.pod("agent", "node1", PodOwner::DaemonSet, None);
    lab
}

fn bench(lab: &Lab, store: &MemoryStore) -> Bench {
    let kill = Arc::new(KillSwitch::at(usize::MAX));
    let mut services = lab.services();
    services.drills = Arc::new(Mortal {
        book: lab.memory.clone(),
        kill: kill.clone(),
    });
    let engine = Engine::new(
        Arc::new(store.for_panel(kill.clone())),
        registry(&services),
        Arc::new(Preflights::new(services)),
        virtual_now,
        Timing::default(),
    );
    Bench {
        lab: lab.clone(),
        engine,
        kill,
    }
}

fn inventory() -> Inventory {
    let mut inventory = lab::running_inventory();
    inventory.hosts[0].power = Some(lab_power("node1"));
    inventory
}

impl Bench {
    async fn start(&self, more: &[(&str, FieldValue)]) -> RunId {
        self.start_on(&inventory(), more).await
    }

    async fn start_on(&self, inventory: &Inventory, more: &[(&str, FieldValue)]) -> RunId {
        let mut inputs =
            lab::inputs(&[("cluster", FieldValue::Id(1)), ("host", FieldValue::Id(1))]);
        inputs.extend(lab::inputs(more));
        let plan = find("failover_drill").unwrap();
        let plan = plan.plan(&inputs, inventory).unwrap();
        self.engine.start(plan, starter()).await.unwrap()
    }

    async fn until(
        &self,
        run: RunId,
        what: impl Fn(&coxswain_wire::RunView) -> bool,
    ) -> coxswain_wire::RunView {
        let mut changed = self.engine.changed();
        loop {
            let view = self.engine.view(run).await.unwrap();
            if what(&view) {
                return view;
            }
            // Lagging only means that there is news.
            let _ = changed.recv().await;
        }
    }

    async fn is(&self, run: RunId, status: RunStatus) -> coxswain_wire::RunView {
        self.until(run, |view| view.summary.status == status).await
    }

    async fn say(&self, run: RunId, command: RunCommand) {
        self.engine.command(run, command, approver()).await.unwrap();
    }

    async fn approve(&self, run: RunId) {
        self.approve_typing(run, "node1").await;
    }

    async fn approve_typing(&self, run: RunId, confirm: &str) {
        let view = self.is(run, RunStatus::Waiting).await;
        let evidence = view.stages[0].evidence.clone().unwrap();
        let approve = RunCommand::Approve {
            plan_sha256: view.plan.sha256,
            evidence_sha256: evidence.sha256,
            comment: String::new(),
            confirm: Some(confirm.to_owned()),
        };
        self.say(run, approve).await;
    }

    /// Waits until the cluster is watched with its fault.
    async fn watched(&self, run: RunId) {
        self.runs(run, "Watch for").await;
    }

    /// Waits until a step whose title begins so runs.
    async fn runs(&self, run: RunId, title: &str) {
        let running = |view: &coxswain_wire::RunView| {
            let mut steps = view
                .plan
                .stages
                .iter()
                .flat_map(|s| &s.steps)
                .zip(&view.steps);
            steps.any(|(step, now)| {
                step.title.starts_with(title) && now.status == StepStatus::Running
            })
        };
        self.until(run, running).await;
    }

    async fn report(&self, run: RunId) -> DrillReport {
        let found = self.lab.memory.report(run).await.unwrap();
        found.expect("there is a report")
    }
}

fn text(name: &'static str, value: &str) -> (&'static str, FieldValue) {
    (name, lab::text(value))
}

/// A point's time in whole seconds, and how it compares.
fn point(report: &DrillReport, name: &str) -> (Option<i64>, DrillVerdict) {
    let point = report.points.iter().find(|p| p.name.starts_with(name));
    let point = point.unwrap_or_else(|| panic!("{name} in {:?}", report.points));
    (point.after_ms.map(|ms| ms / 1000), point.verdict)
}

#[tokio::test(start_paused = true)]
async fn a_drill_tells_what_happened_and_when() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("fault", "power_off")]).await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Completed).await;
    drawn(&view);
    let report = bench.report(run).await;
    assert_eq!(report.fault, DrillFault::PowerOff);
    assert_eq!((report.aborted.clone(), report.gaps.len()), (None, 0));
    let good = DrillVerdict::AsExpected;
    let (at, verdict) = point(&report, "New etcd leader");
    assert!(at.is_some_and(|s| s <= 4) && verdict == good, "{at:?}");
    let (at, verdict) = point(&report, "Node NotReady");
    assert!(
        at.is_some_and(|s| (40..=45).contains(&s)) && verdict == good,
        "{at:?}"
    );
    let (at, verdict) = point(&report, "First eviction");
    assert!(
        at.is_some_and(|s| (345..=352).contains(&s)) && verdict == good,
        "{at:?}"
    );
    let (at, verdict) = point(&report, "All replicas ready");
    assert!(
        at.is_some_and(|s| (345..=352).contains(&s)) && verdict == good,
        "{at:?}"
    );
    let (at, verdict) = point(&report, "Recovery");
    assert!(
        at.is_some_and(|s| (15..=40).contains(&s)) && verdict == good,
        "{at:?}"
    );
    assert_eq!(
        point(&report, "Steady state during the fault"),
        (None, good)
    );
    assert_eq!(report.stuck, ["default/web"]);
    let away = |name: &str| {
        let found = report.availability.iter().find(|a| a.name == name);
        found.unwrap().away_ms / 1000
    };
    assert_eq!(away("lb"), 0);
    assert!((415..=421).contains(&away("node1")), "{}", away("node1"));
    assert!((344..=352).contains(&away("all replicas are ready")));
    assert_eq!(away("every workload has a ready replica"), 0);
    assert_eq!(report.score.points, Some(100));
    assert!(report.earlier.is_empty());

    // The next one is compared with it.
    let next = bench
        .start(&[text("fault", "power_off"), text("observe_s", "60")])
        .await;
    bench.approve(next).await;
    bench.is(next, RunStatus::Completed).await;
    let report = bench.report(next).await;
    assert_eq!(report.earlier.len(), 1);
    assert_eq!(
        (report.earlier[0].run, report.earlier[0].score),
        (run, Some(100))
    );
    assert_eq!(
        point(&report, "First eviction"),
        (None, DrillVerdict::NotObserved)
    );
}

/// The run's page has everything over time, and offers what to do about stuck pods.
fn drawn(view: &coxswain_wire::RunView) {
    let told = view.steps.iter().find(|step| !step.timelines.is_empty());
    let told = told.expect("a step draws something");
    let [timeline] = &told.timelines[..] else {
        panic!("{:?}", told.timelines)
    };
    let lane = |name: &str| {
        let found = timeline.lanes.iter().find(|lane| lane.name == name);
        let lane = found.unwrap_or_else(|| panic!("{name} in {:?}", timeline.lanes));
        let mut at = 0;
        for span in &lane.spans {
            assert_eq!(span.from_ms, at, "{lane:?}");
            at = span.until_ms;
        }
        assert_eq!(at, timeline.until_ms, "{lane:?}");
        lane.spans.iter().map(|s| s.state).collect::<Vec<_>>()
    };
    let (good, bad) = (LaneState::Good, LaneState::Bad);
    for name in ["lb", "node2", "node3", "every workload has a ready replica"] {
        assert_eq!(lane(name), [good], "{name}");
    }
    assert_eq!(lane("node1"), [good, bad]);
    assert_eq!(lane("node1 is Ready"), [good, bad]);
    assert_eq!(lane("all replicas are ready").last(), Some(&good));
    let marks: Vec<(&str, LaneState)> = timeline
        .marks
        .iter()
        .map(|mark| (mark.name.as_str(), mark.state))
        .collect();
    assert_eq!(
        marks,
        [
            ("New etcd leader", good),
            ("Node NotReady", good),
            ("First eviction", good),
            ("All replicas ready", good),
        ]
    );
    let [next] = &told.next[..] else {
        panic!("{:?}", told.next)
    };
    assert_eq!(next.workflow, "stuck_pods");
    assert!(
        find("stuck_pods")
            .unwrap()
            .plan(&next.inputs, &inventory())
            .is_ok()
    );
}

#[tokio::test(start_paused = true)]
async fn a_killed_k3s_comes_back_by_itself() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("fault", "killed")]).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    assert_eq!(
        point(&report, "Node NotReady"),
        (None, DrillVerdict::AsExpected)
    );
    let node1 = report
        .availability
        .iter()
        .find(|a| a.name == "node1")
        .unwrap();
    assert!((15_000..=25_000).contains(&node1.away_ms), "{node1:?}");
    assert_eq!(report.score.points, Some(100));
}

/// Killed in the middle of the observation: the next panel goes on, and says what it could not see.
#[tokio::test(start_paused = true)]
async fn a_panel_that_dies_goes_on_and_says_what_it_missed() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let first = bench(&lab, &store);
    let run = first.start(&[]).await;
    first.approve(run).await;
    first.watched(run).await;
    sleep(Duration::from_secs(100)).await;
    first.kill.strike();
    sleep(Duration::from_secs(60)).await;
    let second = bench(&lab, &store);
    second.engine.recover().await.unwrap();
    second.is(run, RunStatus::Completed).await;
    let report = second.report(run).await;
    assert_eq!(report.gaps.len(), 1, "{:?}", report.gaps);
    let gap = report.gaps[0];
    assert!((90_000..=110_000).contains(&gap.from_ms), "{gap:?}");
    assert!((155_000..=170_000).contains(&gap.until_ms), "{gap:?}");
    assert_eq!(point(&report, "First eviction").1, DrillVerdict::AsExpected);
}
