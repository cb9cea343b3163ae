//! Who takes a fault away, and when it is gone.

use coxswain_engine::store::Store as _;

use super::*;
use crate::steps::report_drill::{Params, of_what_was_seen, page};

#[tokio::test(start_paused = true)]
async fn a_stop_heals_at_once() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench.start(&[]).await;
    bench.approve(run).await;
    bench.watched(run).await;
    bench.say(run, RunCommand::Stop).await;
    bench.is(run, RunStatus::Failed).await;
    assert!(lab.taken().is_empty(), "{:?}", lab.taken());
}

/// Dead for good: the timer on the host heals it, and a panel that comes back much later finds that out.
#[tokio::test(start_paused = true)]
async fn without_a_panel_the_timer_on_the_host_heals_it() {
    for (fault, taken) in [
        ("stopped", "k3s.service is inactive on node1"),
        ("cut", "the network of node1 is cut"),
    ] {
        let (lab, store) = (drilled_lab(), MemoryStore::default());
        let first = bench(&lab, &store);
        let run = first
            .start(&[text("fault", fault), text("observe_s", "60")])
            .await;
        first.approve(run).await;
        first.watched(run).await;
        first.kill.strike();
        assert!(lab.taken().contains(taken), "{:?}", lab.taken());
        sleep(Duration::from_secs(250)).await;
        assert!(lab.taken().is_empty(), "{:?}", lab.taken());
        let second = bench(&lab, &store);
        second.engine.recover().await.unwrap();
        second.is(run, RunStatus::Completed).await;
        let report = second.report(run).await;
        assert!(!report.gaps.is_empty(), "{:?}", report.gaps);
    }
}

/// Nodes with addresses of two families: neither stays open. The victim's own are no business of the cut.
#[tokio::test(start_paused = true)]
async fn a_network_is_cut_in_both_families() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    for n in 1..=3 {
        let more = vec![format!("fd00::{n}")];
        lab.world
            .change(HostId(n), |host| host.node_addresses = more);
    }
    let bench = bench(&lab, &store);
    let run = bench.start(&[text("fault", "cut")]).await;
    bench.approve(run).await;
    bench.watched(run).await;
    lab.world.change(HostId(1), |host| {
        let wanted = [
            "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.9", "fd00::2", "fd00::3",
        ];
        assert_eq!(host.cut_from, wanted);
    });
}

/// Whoever is asked for the power may not answer for a while: that is no sign that it is on again.
#[tokio::test(start_paused = true)]
async fn a_fault_is_gone_when_it_is_seen_gone() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let run = bench
        .start(&[text("fault", "power_off"), text("observe_s", "20")])
        .await;
    bench.approve(run).await;
    bench.runs(run, "Take the fault").await;
    sleep(Duration::from_secs(5)).await;
    lab.world.change(lab::LB, |lb| lb.ssh_hangs = true);
    sleep(Duration::from_secs(60)).await;
    lab.world.change(lab::LB, |lb| lb.ssh_hangs = false);
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    let healed = report.healed_at.expect("it was seen gone");
    let after = healed.0 - report.ended_at.0;
    assert!(after >= 60_000, "gone {after} ms after the observation");
}

/// A power control that switches another machine.
#[tokio::test(start_paused = true)]
async fn a_machine_that_answers_is_not_off() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let mut inventory = inventory();
    inventory.hosts[0].power = Some(lab_power("node5"));
    let run = bench
        .start_on(&inventory, &[text("fault", "power_off")])
        .await;
    bench.approve(run).await;
    let view = bench.is(run, RunStatus::Failed).await;
    let said = view.notice.expect("it says why").message;
    assert!(said.contains("node1 answers over SSH"), "{said}");
    assert!(lab.taken().is_empty(), "{:?}", lab.taken());
}

/// The machine cannot be switched on again, so no report is made: what was seen is reported all the same, with the offer
/// to free the pods that wait for it.
#[tokio::test(start_paused = true)]
async fn a_machine_that_stays_off_leaves_pods_to_be_freed() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let mut inventory = inventory();
    let mut power = lab_power("node1");
    power.on = ["lab-power", "sideways", "node1"].map(str::to_owned).into();
    inventory.hosts[0].power = Some(power);
    let run = bench
        .start_on(&inventory, &[text("fault", "power_off")])
        .await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Parked).await;
    assert_eq!(lab.memory.report(run).await.unwrap(), None);

    let params = Params::of(&store.load(run).await.unwrap().plan).unwrap();
    let record = lab.memory.record(run).await.unwrap().unwrap();
    let report = of_what_was_seen(record, run, &params, &[])
        .unwrap()
        .unwrap();
    assert_eq!(report.aborted, None);
    let [pod] = &report.stuck[..] else {
        panic!("stuck: {:?}", report.stuck);
    };
    assert!(pod.contains("web"), "{pod}");
    let page = page(&report, &params.watched);
    assert!(!page.timelines.is_empty() && !page.tables.is_empty());
    let [next] = &page.next[..] else {
        panic!("offered: {:?}", page.next);
    };
    assert!(
        next.why.contains("tick the machine as dead"),
        "{}",
        next.why
    );
    let offered = find(&next.workflow).unwrap();
    let plan = || offered.plan(&next.inputs, &inventory).unwrap();
    let held = bench.engine.start(plan(), starter()).await.unwrap();
    bench.approve_typing(held, "node1 is off").await;
    let view = bench.until(held, |view| view.notice.is_some()).await;
    let said = view.notice.unwrap().message;
    assert!(said.contains(&format!("in use by run {run}")), "{said}");
    let abandon = RunCommand::Abandon {
        comment: "it is scrap".to_owned(),
        dead_hosts: vec![HostId(1)],
    };
    bench.say(run, abandon).await;
    bench.is(run, RunStatus::Abandoned).await;
    bench.approve_typing(held, "node1 is off").await;
    bench.is(held, RunStatus::Completed).await;
}

/// While its fault is there a drill is not asked about: what it took away comes back.
#[tokio::test(start_paused = true)]
async fn a_drill_goes_on_after_a_pause_and_after_a_long_time_without_a_panel() {
    for fault in ["stopped", "cut", "power_off"] {
        let (lab, store) = (drilled_lab(), MemoryStore::default());
        let first = bench(&lab, &store);
        let run = first
            .start(&[text("fault", fault), text("observe_s", "60")])
            .await;
        first.approve(run).await;
        first.watched(run).await;
        first.say(run, RunCommand::Pause).await;
        sleep(Duration::from_secs(70)).await;
        first.say(run, RunCommand::Resume).await;
        first.is(run, RunStatus::Completed).await;
        assert!(lab.taken().is_empty(), "{fault}: {:?}", lab.taken());

        let run = first
            .start(&[text("fault", fault), text("observe_s", "60")])
            .await;
        first.approve(run).await;
        first.watched(run).await;
        first.kill.strike();
        sleep(Duration::from_secs(1000)).await;
        let second = bench(&lab, &store);
        second.engine.recover().await.unwrap();
        second.is(run, RunStatus::Completed).await;
        assert!(lab.taken().is_empty(), "{fault}: {:?}", lab.taken());
    }
}
