//! Turns a workflow's name and inputs into a plan, and what a run saw into a report.

use async_trait::async_trait;
use coxswain_engine::plan::Plan;
use coxswain_wire::{DrillReport, Inputs, Report, RunId, WorkflowInfo};
use thiserror::Error;

use crate::store::DbError;

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// No workflow of that name.
    #[error("there is no workflow {0}")]
    UnknownWorkflow(String),
    /// An input cannot be.
    #[error("{message}")]
    Field {
        /// e.g. `inputs.sans[1]`.
        field: String,
        /// For a person.
        message: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// All workflows, with the inventory they plan on.
#[async_trait]
pub trait Planner: Send + Sync + 'static {
    /// What there is to choose from.
    fn workflows(&self) -> Vec<WorkflowInfo>;

    /// The plan for these inputs on today's inventory. Changes nothing.
    ///
    /// # Errors
    /// The first input that cannot be.
    async fn plan(&self, workflow: &str, inputs: &Inputs) -> Result<Plan, PlanError>;

    /// The report of a run that came to rest before it made one, of what had been seen by then; none if its workflow
    /// makes no reports, or nothing was seen.
    ///
    /// # Errors
    /// The storage failed.
    async fn late_report(&self, run: RunId, plan: &Plan) -> Result<Option<DrillReport>, DbError>;

    /// A report of such a run for its page; none if its workflow makes no reports.
    fn page_of(&self, report: &DrillReport, plan: &Plan) -> Option<Report>;
}
