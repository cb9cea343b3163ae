//! Failures as people meet them: the step says what k3s said, within seconds.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::install::{InstallRequest, Release, Role, Source};
use coxswain_wire::{FieldValue, HostId, RunId, SecretId, StepError, Verdict};
use tokio::time::{Instant, sleep};

use super::super::{Preflights, find};
use super::lab::{self, Lab};
use crate::steps::ApiHost;
use crate::steps::install_k3s::{InstallK3s, KIND, Params};
use crate::steps::services::{SecretKind, Secrets};
use crate::world::Secret;

fn api(n: i64) -> ApiHost {
    ApiHost {
        host: HostId(n),
        name: format!("node{n}"),
        address: format!("10.0.0.{n}"),
    }
}

fn context(params: &Params) -> StepContext {
    StepContext {
        run: RunId(1),
        step: 0,
        attempt: 1,
        host: Some(HostId(5)),
        target: "node5".to_owned(),
        params: serde_json::to_value(params).unwrap(),
        memo: serde_json::json!({ "kept": [], "invocation": "" }),
        outputs: coxswain_engine::plan::Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(600),
        applied: true,
        output: None,
    }
}

/// A joining node5, changed.
async fn joining(lab: &Lab, token: &str, change: impl FnOnce(&mut InstallRequest)) -> Params {
    let id: SecretId = lab
        .memory
        .put(SecretKind::ServerToken, Secret::new(token))
        .await
        .unwrap();
    let mut request = InstallRequest {
        source: Source::Online {
            installer_url: "https://get.example/".parse().unwrap(),
            release: Release::Version("v1.33.5+k3s1".parse().unwrap()),
        },
        role: Role::JoinServer {
            server_url: "https://10.0.0.1:6443".parse().unwrap(),
        },
        node_name: Some("node5".parse().unwrap()),
        node_ip: None,
        second_ip: None,
        sans: Vec::new(),
        extra_args: Vec::new(),
    };
    change(&mut request);
    Params {
        request,
        node: api(5),
        via: Some(api(1)),
        token: Some(coxswain_engine::plan::Param::Value(id)),
    }
}

/// Applies and observes as the engine does, until the step fails; gives why, and after how long.
async fn failure(lab: &Lab, params: &Params) -> (StepError, Duration) {
    let kind = InstallK3s(lab.services());
    let context = context(params);
    let started = Instant::now();
    kind.apply(&context).await.unwrap();
    let installed = Instant::now();
    loop {
        match kind.probe(&context).await {
            Err(StepFailure::Fatal(error)) => return (error, installed.elapsed()),
            Ok(Probe::NotDone { .. }) => sleep(Duration::from_secs(1)).await,
            other => panic!("{other:?} after {:?}", started.elapsed()),
        }
    }
}

fn token(lab: &Lab) -> String {
    let picture = lab.picture().0;
    picture.hosts["node1"].files["/var/lib/rancher/k3s/server/token"]
        .trim()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn failed_joins_say_what_k3s_said() {
    let seconds = Duration::from_secs(12);

    let lab = lab::running_lab();
    let wrong = token(&lab).replace("::server:0", "::server:1");
    let (error, after) = failure(&lab, &joining(&lab, &wrong, |_| {}).await).await;
    assert!(
        error.message.contains("401 Unauthorized") && error.advice.is_some() && after < seconds,
        "{error:?} {after:?}"
    );

    let lab = lab::running_lab();
    let wrong = format!("K10{}::server:x", "a".repeat(64));
    let (error, after) = failure(&lab, &joining(&lab, &wrong, |_| {}).await).await;
    assert!(
        error.message.contains("token CA hash does not match") && after < seconds,
        "{error:?}"
    );

    let lab = lab::running_lab();
    let elsewhere = |r: &mut InstallRequest| {
        r.role = Role::JoinServer {
            server_url: "https://10.0.0.77:6443".parse().unwrap(),
        }
    };
    let (error, after) = failure(&lab, &joining(&lab, &token(&lab), elsewhere).await).await;
    assert!(
        error.message.contains("failed to get CA certs") && after < seconds,
        "{error:?} {after:?}"
    );

    let lab = lab::running_lab();
    let flags = |r: &mut InstallRequest| {
        r.extra_args = vec!["--flannel-backend".to_owned(), "none".to_owned()]
    };
    let (error, after) = failure(&lab, &joining(&lab, &token(&lab), flags).await).await;
    assert!(
        error
            .message
            .contains("critical configuration value mismatch")
            && after < seconds,
        "{error:?}"
    );

    let lab = lab::running_lab();
    let name = |r: &mut InstallRequest| r.node_name = Some("node2".parse().unwrap());
    let (error, after) = failure(&lab, &joining(&lab, &token(&lab), name).await).await;
    assert!(
        error.message.contains("duplicate hostname") && after < seconds,
        "{error:?}"
    );
}

/// A binary that crashes says nothing; systemd does.
#[tokio::test(start_paused = true)]
async fn a_k3s_that_crashes_again_and_again_is_not_waited_for() {
    let lab = lab::running_lab();
    lab.world.change(HostId(5), |host| host.k3s_crashes = true);
    let (error, after) = failure(&lab, &joining(&lab, &token(&lab), |_| {}).await).await;
    assert!(
        error
            .message
            .contains("3 times in a row (core-dump, status 11)"),
        "{error:?}"
    );
    assert!(error.causes[0].contains("SEGV") && error.advice.is_some());
    assert!(after < Duration::from_secs(30), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_is_not_blamed_for_the_first() {
    let lab = lab::running_lab();
    let wrong = token(&lab).replace("::server:0", "::server:1");
    failure(&lab, &joining(&lab, &wrong, |_| {}).await).await;

    let params = joining(&lab, &token(&lab), |_| {}).await;
    let kind: Arc<dyn StepKind> = Arc::new(InstallK3s(lab.services()));
    let second = StepContext {
        attempt: 2,
        ..context(&params)
    };
    // The panel died between the intent and the start of the job.
    assert!(matches!(
        kind.probe(&second).await,
        Ok(Probe::NotDone { .. })
    ));
    kind.apply(&second).await.unwrap();
    let done = loop {
        match kind.probe(&second).await {
            Ok(Probe::NotDone { .. }) => sleep(Duration::from_secs(1)).await,
            ended => break ended,
        }
    };
    assert!(matches!(done, Ok(Probe::Done { .. })), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn an_installation_is_not_overwritten() {
    let lab = lab::running_lab();
    let kind = InstallK3s(lab.services());
    let mut params = joining(&lab, "x", |_| {}).await;
    params.node = api(2);
    let fresh = StepContext {
        host: Some(HostId(2)),
        attempt: 0,
        applied: false,
        memo: serde_json::Value::Null,
        ..context(&params)
    };
    assert_eq!(kind.name(), KIND);
    assert!(
        matches!(kind.probe(&fresh).await, Ok(Probe::NotDone { .. })),
        "it runs with other arguments"
    );
    let refused = kind.prepare(&fresh).await.unwrap_err().into_error();
    assert!(
        refused
            .message
            .contains("an installation of k3s is on the host"),
        "{refused:?}"
    );
}

/// k3s tries again for ever: once its cause is corrected, a failed join succeeds before anybody retries the run.
#[tokio::test(start_paused = true)]
async fn a_node_that_joined_after_the_failure_does_not_block_the_retry() {
    let lab = lab::running_lab();
    let params = joining(&lab, &token(&lab), |_| {}).await;
    let kind = InstallK3s(lab.services());
    kind.apply(&context(&params)).await.unwrap();
    while !matches!(kind.probe(&context(&params)).await, Ok(Probe::Done { .. })) {
        sleep(Duration::from_secs(1)).await;
    }

    let given = lab::inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(5)),
        ("version", lab::text("v1.33.5+k3s1")),
    ]);
    let plan = find("join").unwrap();
    let plan = Arc::new(plan.plan(&given, &lab::running_inventory()).unwrap());
    let etcd = async |state: &RunState| {
        let facts = Preflights::new(lab.services())
            .collect(RunId(1), &plan, 0, state)
            .await;
        let fact = facts
            .into_iter()
            .find(|f| (f.subject.as_str(), f.name.as_str()) == ("prod", "etcd"));
        fact.map(|f| (f.verdict, f.value)).unwrap()
    };
    let mut state = RunState::new(plan.clone());
    let stranger = etcd(&state).await;
    assert_eq!(stranger.0, Verdict::Fail, "{stranger:?}");
    for (index, _, step) in plan.steps() {
        state.steps[index as usize].attempt = u32::from(step.target == "node5");
    }
    let ours = (Verdict::Pass, "3 of 3 members healthy, 2 needed".to_owned());
    assert_eq!(etcd(&state).await, ours);
}

/// The undo of a join that a dying panel leaves half-done: the member goes, and does not come back.
#[tokio::test(start_paused = true)]
async fn a_join_that_is_undone_does_not_join_again() {
    let lab = lab::running_lab();
    let mut params = joining(&lab, &token(&lab), |_| {}).await;
    params.node = api(3);
    let context = StepContext {
        host: Some(HostId(3)),
        ..context(&params)
    };
    let kind = InstallK3s(lab.services());
    let undo = kind.undo(&context);
    let cut = tokio::time::timeout(Duration::from_secs(2), undo).await;
    assert!(cut.is_err(), "{cut:?}");
    for _ in 0..10 {
        sleep(Duration::from_secs(12)).await;
        assert_eq!(lab.picture().0.clusters[0].members.len(), 2);
    }
}
