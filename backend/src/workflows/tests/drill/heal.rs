//! Who takes a fault away, and when it is gone.

use super::*;

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
