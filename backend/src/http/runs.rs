//! Runs: starting, reading, steering, downloading.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use coxswain_engine::store::Store;
use coxswain_k3s::names::unseen_in_prose;
use coxswain_wire::{
    CommandKind, NewRun, Permission, Role, RunCommand, RunId, RunSummary, RunView, StepIndex,
    UnwindView,
};
use futures::stream;

use super::errors::{Answer, Failure};
use super::guard::{Caller, forbidden};
use super::input::{Id, Input};
use super::workflows::planned;
use crate::app::App;
use crate::audit::Draft;
use crate::store::DbError;
use crate::time::now;

const LISTED: u32 = 1000;
/// Chunks of output read at a time.
const BATCH: u32 = 64;

pub(super) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<RunSummary>>> {
    Ok(Json(app.db.runs(LISTED).await?))
}

pub(super) async fn show(State(app): State<Arc<App>>, Id(run): Id<RunId>) -> Answer<Json<RunView>> {
    Ok(Json(app.engine.view(run).await?))
}

pub(super) async fn unwind(
    State(app): State<Arc<App>>,
    Id(run): Id<RunId>,
) -> Answer<Json<UnwindView>> {
    Ok(Json(app.engine.unwind(run).await?))
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    caller: Caller,
    Input(request): Input<NewRun>,
) -> Answer<(StatusCode, Json<RunSummary>)> {
    let shown = request.plan_sha256.clone().ok_or_else(|| {
        Failure::field(
            "plan_sha256",
            "The hash of the plan that was read must be given; ask for the plan first.",
        )
    })?;
    let plan = planned(&app, &request).await?;
    if plan.sha256() != shown {
        let message = "The plan is not the one that was shown: the inventory has changed. Read the new plan, then start.";
        return Err(Failure {
            field: Some("plan_sha256".to_owned()),
            ..Failure::new(StatusCode::CONFLICT, "outdated", message)
        });
    }
    let (engine, actor) = (app.engine.clone(), caller.actor());
    let run = to_the_end(async move { engine.start(plan, actor).await }).await??;
    Ok((
        StatusCode::CREATED,
        Json(app.engine.view(run).await?.summary),
    ))
}

/// Which permission a command needs; none if any of the two will do.
fn needed(kind: CommandKind) -> Option<Permission> {
    match kind {
        CommandKind::Approve | CommandKind::Reject => Some(Permission::Approve),
        CommandKind::Refresh => None,
        CommandKind::Pause
        | CommandKind::Resume
        | CommandKind::Stop
        | CommandKind::Kill
        | CommandKind::Retry
        | CommandKind::Unwind
        | CommandKind::Abandon => Some(Permission::Operate),
    }
}

/// Whether a role may give a command.
#[must_use]
pub fn may_command(role: Role, kind: CommandKind) -> bool {
    match needed(kind) {
        Some(permission) => role.allows(permission),
        None => role.allows(Permission::Operate) || role.allows(Permission::Approve),
    }
}

pub(super) async fn command(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(run): Id<RunId>,
    Input(mut command): Input<RunCommand>,
) -> Answer<Json<RunView>> {
    if let Some(comment) = comment_of(&mut command) {
        if let Some(message) = unseen_in_prose(comment) {
            return Err(Failure::field("comment", message));
        }
        *comment = app.runs.redact(comment).await?;
    }
    let kind = command.kind();
    let outcome = if may_command(caller.signed_in.session.role, kind) {
        let (engine, actor) = (app.engine.clone(), caller.actor());
        to_the_end(async move { engine.command(run, command, actor).await })
            .await?
            .map_err(Failure::from)
    } else {
        Err(forbidden())
    };
    if let Err(failure) = outcome {
        let draft = Draft {
            who: caller.who(),
            action: "run.command_refused",
            subject: format!("run {run}"),
            detail: format!("{kind:?}: {}", failure.message),
            run: Some(run),
            event_sha256: None,
        };
        app.db.audit(now(), draft).await?;
        return Err(failure);
    }
    Ok(Json(app.engine.view(run).await?))
}

/// What a person typed: it may hold a secret that was pasted by mistake.
fn comment_of(command: &mut RunCommand) -> Option<&mut String> {
    match command {
        RunCommand::Approve { comment, .. }
        | RunCommand::Reject { comment }
        | RunCommand::Abandon { comment, .. } => Some(comment),
        RunCommand::Refresh
        | RunCommand::Pause
        | RunCommand::Resume
        | RunCommand::Stop
        | RunCommand::Kill
        | RunCommand::Retry
        | RunCommand::Unwind { .. } => None,
    }
}

/// Runs a change to its end, also when the caller hangs up meanwhile.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = T> + Send + 'static,
) -> Answer<T> {
    tokio::spawn(change).await.map_err(Failure::internal)
}

/// The whole output of a run as text; a line before each change of step or attempt.
pub(super) async fn output(State(app): State<Arc<App>>, Id(run): Id<RunId>) -> Answer<Response> {
    if !app.db.run_exists(run).await? {
        return Err(Failure::not_found(format!("run {run}")));
    }
    let text = Text {
        app,
        run,
        after: 0,
        at: None,
        line_open: false,
    };
    let pieces = stream::try_unfold(text, Text::piece);
    let name = format!("attachment; filename=\"run-{run}.txt\"");
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Output on its way out.
struct Text {
    app: Arc<App>,
    run: RunId,
    /// Latest chunk that was read.
    after: u64,
    /// Step and attempt that printed it.
    at: Option<(StepIndex, u32)>,
    /// What was printed last does not end its line.
    line_open: bool,
}

impl Text {
    /// What the next batch of chunks says; none at the end.
    async fn piece(mut self) -> Result<Option<(String, Self)>, DbError> {
        let chunks = self
            .app
            .db
            .output_after(self.run, self.after, BATCH)
            .await
            .inspect_err(|error| {
                tracing::error!(run = %self.run, %error, "a download of output broke off");
            })?;
        let Some(last) = chunks.last() else {
            return Ok(None);
        };
        self.after = last.id;
        let mut text = String::new();
        for chunk in chunks {
            if self.at != Some((chunk.step, chunk.attempt)) {
                if self.line_open {
                    text.push('\n');
                }
                text.push_str(&format!(
                    "=== step {}, attempt {} ===\n",
                    chunk.step + 1,
                    chunk.attempt
                ));
                self.at = Some((chunk.step, chunk.attempt));
            }
            text.push_str(&chunk.text);
            self.line_open = !chunk.text.ends_with('\n');
        }
        Ok(Some((text, self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_approvers_decide_and_only_operators_steer() {
        for role in Role::ALL {
            assert_eq!(
                may_command(role, CommandKind::Approve),
                matches!(role, Role::Approver | Role::Admin)
            );
            assert_eq!(
                may_command(role, CommandKind::Abandon),
                matches!(role, Role::Operator | Role::Admin)
            );
            assert_eq!(
                may_command(role, CommandKind::Refresh),
                role != Role::Viewer
            );
        }
    }
}
