//! Workflows and the plans they make.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coxswain_engine::view::plan_view;
use coxswain_wire::{NewRun, PlanView, WorkflowInfo};

use super::errors::Answer;
use super::input::Input;
use crate::app::App;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<WorkflowInfo>> {
    Json(app.planner.workflows())
}

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Input(request): Input<NewRun>,
) -> Answer<Json<PlanView>> {
    let plan = app.planner.plan(&request.workflow, &request.inputs).await?;
    Ok(Json(plan_view(&plan)))
}
