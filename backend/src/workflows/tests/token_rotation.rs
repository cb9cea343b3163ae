//! What a rotation of the token refuses, and what its gate says.

use std::sync::Arc;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, FieldValue, HostId, Inputs, RunId, Verdict};

use super::super::{Preflights, find};
use super::lab::{self, Lab, inputs};

async fn facts(lab: &Lab) -> Vec<Fact> {
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let plan = find("token_rotation").unwrap();
    let plan = plan.plan(&given, &lab::running_inventory()).unwrap();
    let before = lab.picture();
    let state = RunState::new(Arc::new(plan.clone()));
    let facts = Preflights::new(lab.services())
        .collect(RunId(1), &plan, 0, &state)
        .await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    facts
}

fn with(facts: &[Fact], verdict: Verdict) -> Vec<String> {
    let found = facts.iter().filter(|f| f.verdict == verdict);
    found
        .map(|f| {
            assert!(f.advice.is_some(), "{f:?}");
            format!("{}: {}", f.subject, f.name)
        })
        .collect()
}

#[test]
fn bad_inputs_are_named() {
    let refused = |given: &Inputs| -> Vec<String> {
        let plan = find("token_rotation").unwrap();
        let errors = plan.plan(given, &lab::running_inventory()).unwrap_err();
        errors.into_iter().map(|e| e.field).collect()
    };
    assert_eq!(refused(&Inputs::new()), ["cluster"]);
    assert_eq!(
        refused(&inputs(&[("cluster", FieldValue::Id(9))])),
        ["cluster"]
    );
    let token = lab::text("hunter2hunter2");
    let given = inputs(&[("cluster", FieldValue::Id(1)), ("token", token)]);
    assert_eq!(refused(&given), ["token"]);
}

#[tokio::test(start_paused = true)]
async fn a_whole_cluster_passes() {
    let facts = facts(&lab::running_lab()).await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
    let place = facts
        .iter()
        .find(|f| f.subject == "node4" && f.name == "Place of the token");
    assert_eq!(
        place.map(|f| f.value.as_str()),
        Some("goes into /etc/systemd/system/k3s-agent.service.env")
    );
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_told() {
    let lab = lab::running_lab();
    lab.world.run_version(HostId(2), "v1.27.1+k3s1");
    lab.world.change(HostId(1), |host| {
        host.files.insert(
            "/etc/rancher/k3s/config.yaml".to_owned(),
            "token-file: /etc/token\n".to_owned(),
        );
    });
    lab.world.change(HostId(3), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let text = host.files[unit].replace(
            "'--node-name'",
            "'--agent-token=hunter2hunter2' \\\n\t'--node-name'",
        );
        host.files.insert(unit.to_owned(), text);
    });
    let found = facts(&lab).await;
    assert_eq!(
        with(&found, Verdict::Fail),
        [
            "node1: Place of the token",
            "node2: Rotation",
            "node3: Token of agents"
        ]
    );
    assert!(with(&found, Verdict::Warn).contains(&"node3: Token in the unit file".to_owned()));
    assert!(!format!("{found:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn without_a_server_it_is_refused() {
    let lab = lab::running_lab();
    lab.world.stop_k3s(HostId(3));
    let found = with(&facts(&lab).await, Verdict::Fail);
    for fact in ["node3: k3s", "node3: etcd", "prod: etcd"] {
        assert!(found.contains(&fact.to_owned()), "{found:?}");
    }
}
