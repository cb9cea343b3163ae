//! What ends a drill before its time, and what does not.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_second_node_that_fails_ends_it_at_once() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("fault", "cut")]).await;
    bench.approve(run).await;
    bench.watched(run).await;
    // An agent: the quorum stays.
    lab.world.stop_k3s(HostId(4));
    sleep(Duration::from_secs(10)).await;
    assert!(
        !lab.taken().iter().any(|taken| taken.contains("cut")),
        "{:?}",
        lab.taken()
    );
    lab.world.start_k3s(HostId(4));
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    let why = report.aborted.clone().unwrap_or_default();
    assert!(why.contains("node4"), "{why}");
    assert!(report.score.points.is_some_and(|points| points < 100));
    let (_, held) = point(&report, "Steady state during the fault");
    assert_eq!(held, DrillVerdict::Worse);
}

#[tokio::test(start_paused = true)]
async fn the_api_away_for_too_long_ends_it() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("api_away_s", "20")]).await;
    bench.approve(run).await;
    bench.watched(run).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(true));
    sleep(Duration::from_secs(60)).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(false));
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    let why = report.aborted.unwrap_or_default();
    assert!(
        why.contains("the API was away for 20 s") || why.contains("the API was away for 21 s"),
        "{why}"
    );
    let lb = report.availability.iter().find(|a| a.name == "lb").unwrap();
    assert!((19_000..=23_000).contains(&lb.away_ms), "{lb:?}");
}

/// Begins a drill that ends after so many seconds without an API, does something to the world a while later, undoes it after
/// five minutes, and gives the report.
async fn meanwhile(
    change: impl Fn(&Lab),
    undo: impl Fn(&Lab),
    more: &[(&str, FieldValue)],
) -> DrillReport {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(more).await;
    bench.approve(run).await;
    bench.watched(run).await;
    sleep(Duration::from_secs(10)).await;
    change(&lab);
    sleep(Duration::from_secs(300)).await;
    undo(&lab);
    bench.is(run, RunStatus::Completed).await;
    bench.report(run).await
}

fn hang(lab: &Lab, servers: &[i64], how: impl Fn(&mut FakeHost)) {
    for server in servers {
        lab.world.change(HostId(*server), &how);
    }
}

/// Seconds from the fault until the observation ended.
fn observed(report: &DrillReport) -> i64 {
    (report.ended_at.0 - report.started_at.0) / 1000
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_on_all_others_ends_it() {
    let report = meanwhile(
        |lab| hang(lab, &[2, 3], |host| host.api_hangs = true),
        |lab| hang(lab, &[2, 3], |host| host.api_hangs = false),
        &[text("api_away_s", "20")],
    )
    .await;
    let why = report.aborted.clone().unwrap_or_default();
    assert!(why.starts_with("the API was away for 2"), "{why}");
    assert!((30..=45).contains(&observed(&report)), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_hangs_on_one_of_the_others_hides_nothing() {
    let report = meanwhile(
        |lab| hang(lab, &[2], |host| host.api_hangs = true),
        |lab| hang(lab, &[2], |host| host.api_hangs = false),
        &[text("api_away_s", "20")],
    )
    .await;
    assert_eq!(report.aborted, None);
    let mut all = report.availability.iter();
    let reads = all.find(|a| a.name.contains("nodes listed")).unwrap();
    assert_eq!((reads.away_ms, reads.unseen.len()), (0, 0), "{reads:?}");
    assert_eq!(point(&report, "First eviction").1, DrillVerdict::AsExpected);
}

#[tokio::test(start_paused = true)]
async fn an_etcd_that_hangs_ends_it() {
    let report = meanwhile(
        |lab| hang(lab, &[3], |host| host.etcd_hangs = true),
        |lab| hang(lab, &[3], |host| host.etcd_hangs = false),
        &[],
    )
    .await;
    let why = report.aborted.clone().unwrap_or_default();
    assert!(why.contains("etcd on node3"), "{why}");
    assert!((30..=45).contains(&observed(&report)), "{report:?}");
    let (_, held) = point(&report, "Steady state during the fault");
    assert_eq!(held, DrillVerdict::Worse);
}

/// Nothing comes back over SSH: its etcd may be anything, and the machine is not well.
#[tokio::test(start_paused = true)]
async fn a_machine_that_hangs_ends_it() {
    let report = meanwhile(
        |lab| hang(lab, &[3], |host| host.ssh_hangs = true),
        |lab| hang(lab, &[3], |host| host.ssh_hangs = false),
        &[],
    )
    .await;
    let why = report.aborted.clone().unwrap_or_default();
    assert!(why.contains("etcd on node3"), "{why}");
}

/// Somebody else's node, which was not Ready before.
#[tokio::test(start_paused = true)]
async fn a_stranger_that_was_down_before_does_not_end_it() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let mut inventory = inventory();
    inventory.clusters[0]
        .members
        .retain(|member| member.host != HostId(4));
    lab.world.stop_k3s(HostId(4));
    let run = bench.start_on(&inventory, &[text("observe_s", "60")]).await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    assert_eq!(report.aborted, None);
    assert_eq!(point(&report, "Recovery").1, DrillVerdict::AsExpected);
}

/// What the panel saw last before it died was an outage: nobody knows how long that went on.
#[tokio::test(start_paused = true)]
async fn a_panel_that_was_dead_counts_no_outage() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let first = bench(&lab, &store);
    let run = first.start(&[text("api_away_s", "30")]).await;
    first.approve(run).await;
    first.watched(run).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(true));
    sleep(Duration::from_secs(10)).await;
    first.kill.strike();
    sleep(Duration::from_secs(100)).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(false));
    let second = bench(&lab, &store);
    second.engine.recover().await.unwrap();
    second.is(run, RunStatus::Completed).await;
    let report = second.report(run).await;
    assert_eq!(report.aborted, None);
    let lb = report.availability.iter().find(|a| a.name == "lb").unwrap();
    assert!(lb.away_ms <= 12_000, "{lb:?}");
    // NotReady came in that time: it cannot be told whether in time.
    assert_eq!(
        point(&report, "Node NotReady").1,
        DrillVerdict::NotObserved,
        "{report:?}"
    );
}
