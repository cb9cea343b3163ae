//! Workflows and the plans they make.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coxswain_engine::plan::Plan;
use coxswain_engine::store::Store;
use coxswain_engine::view::plan_view;
use coxswain_k3s::redact::redact_text;
use coxswain_wire::{FieldValue, NewRun, PlanView, WorkflowInfo};

use super::errors::{Answer, Failure};
use super::input::Input;
use crate::app::App;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<WorkflowInfo>> {
    Json(app.planner.workflows())
}

pub(super) async fn plan(
    State(app): State<Arc<App>>,
    Input(request): Input<NewRun>,
) -> Answer<Json<PlanView>> {
    Ok(Json(plan_view(&planned(&app, &request).await?)))
}

/// The plan for a request. What holds a secret of the vault is refused: it would stand in the plan, which
/// everybody may read.
pub(super) async fn planned(app: &App, request: &NewRun) -> Answer<Plan> {
    for (name, value) in &request.inputs {
        let texts = match value {
            FieldValue::Text(text) => std::slice::from_ref(text),
            FieldValue::List(texts) => texts,
            FieldValue::Bool(_) | FieldValue::Id(_) | FieldValue::Ids(_) => &[],
        };
        for text in texts {
            // By its shape alone, a text may only seem to be secret: that is the workflow's to judge.
            if app.runs.redact(text).await? != redact_text(text) {
                let message = "This holds a secret that the panel keeps, and it would stand in the plan for everybody to read.";
                return Err(Failure::field(format!("inputs.{name}"), message));
            }
        }
    }
    Ok(app.planner.plan(&request.workflow, &request.inputs).await?)
}
