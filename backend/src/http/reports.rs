//! Reports of failover drills: as JSON, for the page of their run, and to print.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use coxswain_engine::store::Store as _;
use coxswain_wire::{DrillReport, Report, RunId, RunStatus};

use super::envelope::OwnPolicy;
use super::errors::{Answer, Failure};
use super::input::Id;
use super::report_html;
use crate::app::App;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Id(run): Id<RunId>,
) -> Answer<Json<DrillReport>> {
    Ok(Json(report(&app, run).await?))
}

/// Drawn, as tables, and with what may be done next: for the page of a run that made no report itself.
pub(super) async fn page(State(app): State<Arc<App>>, Id(run): Id<RunId>) -> Answer<Json<Report>> {
    let report = report(&app, run).await?;
    let plan = app.runs.load(run).await?.plan;
    let page = app.planner.page_of(&report, &plan);
    Ok(Json(page.ok_or_else(|| none(run))?))
}

/// One file without anything from elsewhere, so that it can be kept and printed.
pub(super) async fn printable(State(app): State<Arc<App>>, Id(run): Id<RunId>) -> Answer<Response> {
    let report = report(&app, run).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("inline; filename=\"failover-drill-{run}.html\""),
        ),
    ];
    let mut response = (headers, report_html::page(&report)).into_response();
    let policy = OwnPolicy(report_html::policy());
    response.extensions_mut().insert(policy);
    Ok(response)
}

async fn report(app: &App, run: RunId) -> Answer<DrillReport> {
    if let Some(kept) = app.db.drill_report(run).await? {
        return Ok(kept);
    }
    if !rests(app.engine.view(run).await?.summary.status) {
        return Err(none(run));
    }
    let plan = app.runs.load(run).await?.plan;
    let late = app.planner.late_report(run, &plan).await?;
    late.ok_or_else(|| none(run))
}

fn none(run: RunId) -> Failure {
    Failure::not_found(format!("report of run {run}"))
}

/// A drill that goes on makes its report itself.
fn rests(status: RunStatus) -> bool {
    match status {
        RunStatus::Stopped
        | RunStatus::Failed
        | RunStatus::Parked
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Abandoned => true,
        RunStatus::Preflight
        | RunStatus::Waiting
        | RunStatus::Running
        | RunStatus::Paused
        | RunStatus::Unwinding
        | RunStatus::Rejected => false,
    }
}
