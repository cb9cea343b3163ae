//! Runs over HTTP, with the real engine and the real store.

use coxswain_engine::store::Store;
use coxswain_wire::{AuditPage, Role, RunStatus, RunSummary, RunView, StepStatus};
use serde_json::json;

use crate::support::{Panel, approve, reaches, waiting_run};

#[tokio::test]
async fn from_plan_to_end() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "hello\nworld\n").await;
    approve(&panel, run).await;
    let view = reaches(&panel, run, RunStatus::Completed).await;
    assert_eq!(view.steps[0].status, StepStatus::Succeeded);

    let viewer = panel.role(Role::Viewer).await;
    let listed: Vec<RunSummary> = viewer.get("/runs").await.is(200);
    assert_eq!(listed, std::slice::from_ref(&view.summary));
    assert_eq!((listed[0].steps_done, listed[0].steps_total), (1, 1));
    assert!(listed[0].finished_at.is_some());
    let text = viewer.get(&format!("/runs/{run}/output")).await;
    assert_eq!(text.text(), "=== step 1, attempt 1 ===\nhello\nworld\n");
    assert_eq!(text.headers["content-type"], "text/plain; charset=utf-8");

    // Every event is in the audit trail, with the person where there was one.
    let page: AuditPage = viewer.get("/audit").await.is(200);
    assert_eq!(page.flaw, None);
    let of_run: Vec<(&str, &str)> = page
        .entries
        .iter()
        .rev()
        .filter(|e| e.run == Some(run))
        .map(|e| (e.action.as_str(), e.actor.as_str()))
        .collect();
    assert_eq!(of_run.len() as u64, view.seq + 1);
    assert_eq!(of_run[0], ("run.created", "operator"));
    assert!(of_run.contains(&("run.approved", "approver")));
    assert_eq!(*of_run.last().unwrap(), ("run.completed", "engine"));
}

#[tokio::test]
async fn the_plan_that_was_read_is_the_plan_that_runs() {
    let panel = Panel::new().await;
    let operator = panel.role(Role::Operator).await;
    let body = |hash: Option<&str>| json!({"workflow": "note", "inputs": {"text": "x"}, "plan_sha256": hash});
    let missing = operator.post("/runs", body(None)).await.refused(422);
    assert_eq!(missing.field.as_deref(), Some("plan_sha256"));
    assert_eq!(
        operator
            .post("/runs", body(Some("other")))
            .await
            .refused(409)
            .code,
        "outdated"
    );
    for (body, field) in [
        (json!({"workflow": "none", "inputs": {}}), "workflow"),
        (json!({"workflow": "note", "inputs": {}}), "inputs.text"),
        (
            json!({"workflow": "note", "inputs": {"text": {"a": 1}}}),
            "inputs.text",
        ),
        (json!({"workflow": "note"}), "inputs"),
        (
            json!({"workflow": "note", "inputs": {}, "force": true}),
            "force",
        ),
    ] {
        let error = operator.post("/plans", body.clone()).await.refused(422);
        assert_eq!(error.field.as_deref(), Some(field), "{body}");
    }
    let listed: Vec<RunSummary> = operator.get("/runs").await.is(200);
    assert!(listed.is_empty(), "nothing was stored");
}

#[tokio::test]
async fn a_refused_command_changes_nothing_and_is_audited() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let path = format!("/runs/{run}/commands");
    let operator = panel.role(Role::Operator).await;
    let approver = panel.role(Role::Approver).await;
    let stale =
        json!({"command": "approve", "plan_sha256": "a", "evidence_sha256": "b", "comment": ""});
    assert_eq!(
        approver.post(&path, stale.clone()).await.refused(409).code,
        "outdated"
    );
    assert_eq!(operator.post(&path, stale).await.status, 403);
    assert_eq!(
        operator
            .post(&path, json!({"command": "resume"}))
            .await
            .refused(409)
            .code,
        "not_now"
    );
    let mute = approver
        .post(&path, json!({"command": "reject", "comment": " "}))
        .await
        .refused(422);
    assert_eq!(mute.field.as_deref(), Some("comment"));
    let view: RunView = operator.get(&format!("/runs/{run}")).await.is(200);
    assert_eq!(view.summary.status, RunStatus::Waiting);
    let page: AuditPage = operator.get("/audit").await.is(200);
    let refused = page
        .entries
        .iter()
        .filter(|e| e.action == "run.command_refused")
        .count();
    assert_eq!(refused, 4);
}

#[tokio::test]
async fn a_rejected_run_is_over() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let approver = panel.role(Role::Approver).await;
    let body = json!({"command": "reject", "comment": "not today"});
    let view: RunView = approver
        .post(&format!("/runs/{run}/commands"), body)
        .await
        .is(200);
    assert_eq!(view.summary.status, RunStatus::Rejected);
    assert!(view.commands.is_empty());
}

#[tokio::test]
async fn a_run_waits_through_a_restart() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "after the restart\n").await;
    let before = panel.app.engine.view(run).await.unwrap();
    let panel = Panel::in_folder(panel.stopped().await).await.unwrap();
    panel.app.engine.recover().await.unwrap();
    assert_eq!(panel.app.engine.view(run).await.unwrap(), before);
    approve(&panel, run).await;
    reaches(&panel, run, RunStatus::Completed).await;
}

#[tokio::test]
async fn a_secret_of_the_vault_is_no_input() {
    let panel = Panel::new().await;
    let operator = panel.role(Role::Operator).await;
    let secret = coxswain::world::Secret::new("hunter2hunter2");
    panel.app.vault.put("other", &secret).await.unwrap();
    let inputs = json!({"text": "echo hunter2hunter2"});
    let body = json!({"workflow": "note", "inputs": inputs});
    let error = operator.post("/plans", body.clone()).await.refused(422);
    assert_eq!(error.field.as_deref(), Some("inputs.text"));
    let body = json!({"workflow": "note", "inputs": inputs, "plan_sha256": "x"});
    let error = operator.post("/runs", body).await.refused(422);
    assert_eq!(error.field.as_deref(), Some("inputs.text"));
}

/// Output is read 64 chunks at a time; where that falls on a change of step, nothing is added.
#[tokio::test]
async fn a_download_parts_steps_the_same_everywhere() {
    let panel = Panel::new().await;
    let run = waiting_run(&panel, "x").await;
    let mut expected = "=== step 1, attempt 1 ===\n".to_owned();
    let first = panel.app.runs.output(run, 0, 1).await.unwrap();
    let mut from = 0;
    for n in 0..64 {
        let line = format!("line {n}\n");
        first.append(from, line.as_bytes()).await.unwrap();
        from += line.len() as u64;
        expected.push_str(&line);
    }
    first.finish().await.unwrap();
    for (step, text) in [(1, "half a line"), (2, "the end\n")] {
        let output = panel.app.runs.output(run, step, 1).await.unwrap();
        output.append(0, text.as_bytes()).await.unwrap();
        output.finish().await.unwrap();
    }
    expected
        .push_str("=== step 2, attempt 1 ===\nhalf a line\n=== step 3, attempt 1 ===\nthe end\n");
    let viewer = panel.role(Role::Viewer).await;
    let text = viewer.get(&format!("/runs/{run}/output")).await;
    assert_eq!(text.text(), expected);
}
