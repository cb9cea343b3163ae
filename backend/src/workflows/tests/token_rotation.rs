//! What a rotation of the token refuses, and what its gate says.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Outputs;
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Probe, StepContext, StepKind as _};
use coxswain_k3s::token::SERVER_TOKEN_FILE;
use coxswain_wire::{Fact, FieldValue, HostId, Inputs, RunId, Verdict};
use serde_json::Value;
use tokio::time::Instant;

use super::super::{Preflights, find};
use super::lab::{self, CLUSTER, Lab, inputs};
use crate::steps::ApiHost;
use crate::steps::rotate_token::{self, RotateToken};
use crate::steps::services::{ClusterBook as _, SecretKind, Secrets as _};
use crate::world::Secret;

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
async fn an_agent_keeps_a_token_made_for_joining_alone() {
    let lab = lab::running_lab();
    lab.world.change(HostId(4), |host| {
        let env = "/etc/systemd/system/k3s-agent.service.env".to_owned();
        let token = "K3S_TOKEN=abcdef.0123456789abcdef\n".to_owned();
        host.files.insert(env, token);
    });
    let facts = facts(&lab).await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
    let place = facts
        .iter()
        .find(|f| f.subject == "node4" && f.name == "Place of the token");
    assert!(place.unwrap().value.contains("stays as it is"));
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_told() {
    let lab = lab::running_lab();
    lab.world.run_version(HostId(2), "v1.28.2+k3s1");
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

/// A node that nobody enrolled would stay behind with a token that is refused.
#[tokio::test(start_paused = true)]
async fn a_stranger_stands_in_the_way() {
    let lab = lab::running_lab();
    let agent = "agent --server https://10.0.0.1:6443 --node-name node5";
    lab.world.set_up(HostId(5), "k3s-agent.service", agent);
    assert_eq!(with(&facts(&lab).await, Verdict::Fail), ["prod: Nodes"]);
}

/// What would not be read, or read from elsewhere, is told before anything is changed.
#[tokio::test(start_paused = true)]
async fn a_place_that_does_not_count_is_refused() {
    let lab = lab::running_lab();
    let more = |host: i64, more: &str| {
        lab.world.change(HostId(host), |host| {
            let unit = "/etc/systemd/system/k3s.service";
            let text = host.files[unit].replace("'--node-name'", &format!("{more}'--node-name'"));
            host.files.insert(unit.to_owned(), text);
        });
    };
    more(1, "'--config=/srv/k3s.yaml' \\\n\t");
    lab.world.change(HostId(2), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let text = host.files[unit].replace("EnvironmentFile=", "#EnvironmentFile=");
        host.files.insert(unit.to_owned(), text);
    });
    lab.world.change(HostId(3), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let text = format!(
            "{}\n[Service]\nEnvironmentFile=/etc/more\n",
            host.files[unit]
        );
        host.files.insert(unit.to_owned(), text);
        let later = "K3S_TOKEN=hunter2hunter2\n".to_owned();
        host.files.insert("/etc/more".to_owned(), later);
    });
    let found = facts(&lab).await;
    let places = (1..=3).map(|n| format!("node{n}: Place of the token"));
    assert_eq!(with(&found, Verdict::Fail), places.collect::<Vec<_>>());
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

/// A step on node1 as an attempt of the engine sees it.
fn attempt(n: u32, memo: Value) -> StepContext {
    let params = rotate_token::Params {
        cluster: CLUSTER,
        server: ApiHost {
            host: HostId(1),
            name: "node1".to_owned(),
            address: "10.0.0.1".to_owned(),
        },
    };
    StepContext {
        run: RunId(1),
        step: 2,
        attempt: n,
        host: Some(HostId(1)),
        target: "node1".to_owned(),
        params: serde_json::to_value(params).unwrap(),
        memo,
        outputs: Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(300),
        applied: n > 0,
        output: None,
    }
}

fn on_disk(lab: &Lab, host: i64) -> String {
    let file = lab.world.file(HostId(host), SERVER_TOKEN_FILE).unwrap();
    file.trim().to_owned()
}

/// k3s writes its file before it turns to the database: between the two, nothing may count as done.
#[tokio::test(start_paused = true)]
async fn half_a_rotation_is_none() {
    let lab = lab::running_lab();
    let old = on_disk(&lab, 1);
    let stored = lab.memory.put(SecretKind::ServerToken, Secret::new(&*old));
    let stored = stored.await.unwrap();
    lab.memory.set_token(CLUSTER, Some(stored)).await.unwrap();
    let kind = RotateToken(lab.services());
    let memo = kind.prepare(&attempt(0, Value::Null)).await.unwrap();

    lab.world
        .change(HostId(1), |host| host.rotates_halfway = true);
    kind.apply(&attempt(1, memo.clone())).await.unwrap_err();
    assert_ne!(on_disk(&lab, 1), old);
    let failed = kind.probe(&attempt(1, memo.clone())).await.unwrap_err();
    assert!(failed.into_error().message.contains("half done"));

    lab.world
        .change(HostId(1), |host| host.rotates_halfway = false);
    let failed = kind.apply(&attempt(2, memo.clone())).await.unwrap_err();
    let failed = failed.into_error();
    assert!(failed.message.contains("half done"), "{failed:?}");
    // With the new token in that file k3s would not start with the old one.
    let ways_back = |a: String| a.contains("K3S_TOKEN") && a.contains("server/cred/passwd aside");
    assert!(failed.advice.is_some_and(ways_back));
    let seen = kind.probe(&attempt(2, memo.clone())).await;
    assert!(!matches!(seen, Ok(Probe::Done { .. })), "{seen:?}");
    assert_eq!(lab.memory.token(CLUSTER).await.unwrap(), Some(stored));
    // Nor does a run that begins there take the file's word.
    let new = lab
        .memory
        .put(SecretKind::ServerToken, Secret::new(on_disk(&lab, 1)));
    let new = new.await.unwrap();
    lab.memory.set_token(CLUSTER, Some(new)).await.unwrap();
    let refused = kind.prepare(&attempt(0, Value::Null)).await.unwrap_err();
    let refused = refused.into_error();
    assert!(refused.message.contains("half done"));
    assert!(refused.advice.is_some_and(ways_back));
    lab.memory.set_token(CLUSTER, Some(stored)).await.unwrap();

    // As advised: with the old token k3s writes the old file again.
    lab.world.change(HostId(1), |host| {
        host.files
            .insert(SERVER_TOKEN_FILE.to_owned(), format!("{old}\n"));
    });
    kind.apply(&attempt(3, memo.clone())).await.unwrap();
    let seen = kind.probe(&attempt(3, memo)).await;
    assert!(matches!(seen, Ok(Probe::Done { .. })), "{seen:?}");
    assert_ne!(lab.memory.token(CLUSTER).await.unwrap(), Some(stored));
}
