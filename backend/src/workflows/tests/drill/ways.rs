//! Clients without a load balancer that the panel knows: the drill watches the endpoint that they take.

use coxswain_wire::{Fact, MemberRole, Verdict};

use super::*;

/// A cluster without load-balancer hosts. At 10.0.0.9 stands something that the panel does not know.
fn without_balancers(endpoint: &str) -> Inventory {
    let mut inventory = inventory();
    let cluster = &mut inventory.clusters[0];
    cluster
        .members
        .retain(|m| m.role != MemberRole::LoadBalancer);
    cluster.endpoint = endpoint.to_owned();
    inventory
}

async fn fact_of(lab: &Lab, inventory: &Inventory) -> Fact {
    let store = MemoryStore::default();
    let bench = bench(lab, &store);
    let run = bench.start_on(inventory, &[]).await;
    let view = bench.is(run, RunStatus::Waiting).await;
    let mut facts = view.stages[0].evidence.clone().unwrap().facts.into_iter();
    facts
        .find(|fact| fact.name == "Endpoint")
        .expect("it is told")
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_on_the_victim_is_away_with_it() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let inventory = without_balancers("10.0.0.1");
    let run = bench
        .start_on(&inventory, &[text("api_away_s", "20")])
        .await;
    bench.approve(run).await;
    bench.is(run, RunStatus::Completed).await;
    let report = bench.report(run).await;
    let why = report.aborted.unwrap_or_default();
    assert!(why.contains("the API was away for 2"), "{why}");
    let mut all = report.availability.iter();
    let endpoint = all.find(|a| a.name == "endpoint 10.0.0.1").unwrap();
    assert!(
        (19_000..=25_000).contains(&endpoint.away_ms),
        "{endpoint:?}"
    );
    let api = report.score.parts.iter().find(|part| part.name == "API");
    assert!(api.unwrap().why.starts_with("away for 2"), "{api:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_nobody_ends_it() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let inventory = without_balancers("10.0.0.9");
    let run = bench
        .start_on(&inventory, &[text("api_away_s", "20")])
        .await;
    bench.approve(run).await;
    bench.watched(run).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(true));
    sleep(Duration::from_secs(60)).await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(false));
    bench.is(run, RunStatus::Completed).await;
    let why = bench.report(run).await.aborted.unwrap_or_default();
    assert!(why.contains("the API was away for 2"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn no_fault_is_made_where_clients_have_no_way_before() {
    let (lab, store) = (drilled_lab(), MemoryStore::default());
    let bench = bench(&lab, &store);
    let inventory = without_balancers("10.0.0.9");
    let run = bench.start_on(&inventory, &[]).await;
    bench.approve(run).await;
    bench.runs(run, "Save an etcd snapshot").await;
    lab.world.change(lab::LB, |lb| lb.halt_haproxy(true));
    let view = bench.is(run, RunStatus::Failed).await;
    let said = view.notice.expect("it says why").message;
    assert!(said.contains("10.0.0.9"), "{said}");
    assert!(lab.taken().is_empty(), "{:?}", lab.taken());
}

#[tokio::test(start_paused = true)]
async fn the_gate_says_where_clients_get_to() {
    let lab = drilled_lab();
    for (endpoint, verdict, value) in [
        ("10.0.0.1", Verdict::Warn, "10.0.0.1 leads to node1"),
        ("node1", Verdict::Warn, "node1 leads to node1"),
        ("10.0.0.2", Verdict::Pass, "10.0.0.2 leads to node2"),
        ("10.0.0.9", Verdict::Pass, "no server's own address"),
        ("10.0.0.77", Verdict::Fail, "10.0.0.77"),
    ] {
        let fact = fact_of(&lab, &without_balancers(endpoint)).await;
        assert_eq!(fact.verdict, verdict, "{fact:?}");
        assert!(fact.value.contains(value), "{fact:?}");
    }
    // With load balancers it should lead to them.
    let mut inventory = inventory();
    for (endpoint, verdict, value) in [
        ("10.0.0.9", Verdict::Pass, "10.0.0.9 leads to lb"),
        ("lb", Verdict::Pass, "lb leads to lb"),
        ("node2", Verdict::Warn, "node2 leads to node2"),
        ("nowhere", Verdict::Warn, "does not resolve"),
    ] {
        inventory.clusters[0].endpoint = endpoint.to_owned();
        let fact = fact_of(&lab, &inventory).await;
        assert_eq!(fact.verdict, verdict, "{fact:?}");
        assert!(fact.value.contains(value), "{fact:?}");
    }
}
