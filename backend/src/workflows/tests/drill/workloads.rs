//! Workloads that were down before the fault, and those that go down with it.

use coxswain_wire::Verdict;

use super::*;

fn replica_set() -> PodOwner {
    PodOwner::Other("ReplicaSet".to_owned())
}

#[tokio::test(start_paused = true)]
async fn one_that_was_down_before_is_named_and_left_out() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    lab.world.pod("broken", "node2", replica_set(), None);
    lab.world.crash("broken", true);
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("observe_s", "60")]).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    let evidence = view.stages[0].evidence.clone().unwrap();
    let mut facts = evidence.facts.iter();
    let fact = facts.find(|f| f.name == "Workloads without a ready replica");
    let fact = fact.unwrap();
    assert_eq!(fact.verdict, Verdict::Warn);
    assert_eq!(fact.value, "ReplicaSet default/broken");
    // It is ready for a moment, as what crashes is: no new evidence.
    lab.world.crash("broken", false);
    bench.approve(run).await;
    lab.world.crash("broken", true);
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    let mut points = report.points.iter();
    let left_out = points.find(|p| p.name == "Workloads left out").unwrap();
    assert_eq!(left_out.verdict, DrillVerdict::NotObserved);
    assert!(left_out.observed.contains("default/broken"), "{left_out:?}");
    assert_eq!(point(&report, "Recovery").1, DrillVerdict::AsExpected);
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_down_after_the_fault_fails_the_drill() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("observe_s", "60")]).await;
    bench.approve(run).await;
    bench.watched(run).await;
    lab.world.crash("web", true);
    let view = bench.is(run, RunStatus::Failed).await;
    let said = view.notice.expect("it says why").message;
    assert!(said.contains("ReplicaSet default/web"), "{said}");
    let points = bench.report(run).await.points;
    assert!(points.iter().all(|p| p.name != "Workloads left out"));
}
