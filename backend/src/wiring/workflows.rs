//! The workflows on today's inventory.

use async_trait::async_trait;
use coxswain_engine::plan::Plan;
use coxswain_wire::{DrillReport, Inputs, Report, RunId, WorkflowInfo};
use tokio::sync::watch;

use super::drill_book::{earlier, late};
use crate::observe::Observed;
use crate::planner::{PlanError, Planner};
use crate::steps::report_drill::{Params, page};
use crate::store::{Db, DbError};
use crate::workflows::{Inventory, described, find};

/// All workflows of the panel.
pub struct Workflows {
    db: Db,
    observed: watch::Receiver<Observed>,
}

impl Workflows {
    /// They plan on the inventory of `db`, with what was last seen of each cluster.
    #[must_use]
    pub fn new(db: Db, observed: watch::Receiver<Observed>) -> Self {
        Self { db, observed }
    }
}

#[async_trait]
impl Planner for Workflows {
    fn workflows(&self) -> Vec<WorkflowInfo> {
        described()
    }

    async fn plan(&self, workflow: &str, inputs: &Inputs) -> Result<Plan, PlanError> {
        let found =
            find(workflow).ok_or_else(|| PlanError::UnknownWorkflow(workflow.to_owned()))?;
        let mut clusters = self.db.clusters().await?;
        let observed = self.observed.borrow().clone();
        for cluster in &mut clusters {
            cluster.live = observed.get(&cluster.id).cloned();
        }
        let inventory = Inventory {
            clusters,
            hosts: self.db.hosts().await?,
            snapshots: self.db.snapshots().await?,
            tokens: self.db.server_tokens().await?,
        };
        found
            .plan(inputs, &inventory)
            .map_err(|errors| match errors.into_iter().next() {
                Some(error) => PlanError::Field {
                    field: format!("inputs.{}", error.field),
                    message: error.message,
                },
                None => PlanError::Field {
                    field: "inputs".to_owned(),
                    message: "The inputs were refused.".to_owned(),
                },
            })
    }

    async fn late_report(&self, run: RunId, plan: &Plan) -> Result<Option<DrillReport>, DbError> {
        let Some(params) = Params::of(plan) else {
            return Ok(None);
        };
        let Some(record) = self.db.drill_record(run).await? else {
            return Ok(None);
        };
        let (cluster, fault) = (params.watched.cluster, params.watched.fault.name());
        let earlier = earlier(&self.db, cluster, fault, run).await?;
        late(run, record, &params, &earlier)
    }

    fn page_of(&self, report: &DrillReport, plan: &Plan) -> Option<Report> {
        Params::of(plan).map(|params| page(report, &params.watched))
    }
}
