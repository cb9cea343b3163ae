//! The audit trail.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use coxswain_wire::AuditPage;
use schemars::JsonSchema;
use serde::Deserialize;

use super::errors::Answer;
use super::input::Search;
use crate::app::App;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Where {
    before: Option<i64>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Search(Where { before }): Search<Where>,
) -> Answer<Json<AuditPage>> {
    Ok(Json(app.db.audit_page(before).await?))
}
