//! What steps note of failover drills.

use async_trait::async_trait;
use coxswain_wire::{ClusterId, DrillFault, DrillReport, RunId};
use serde_json::Value;

use super::{Panel, service_error};
use crate::steps::services::{DrillBook, ServiceError};

/// Earlier drills that a report compares with.
pub(super) const COMPARED: u32 = 10;

type Answer<T> = Result<T, ServiceError>;

#[async_trait]
impl DrillBook for Panel {
    async fn record(&self, run: RunId) -> Answer<Option<Value>> {
        let found = self.db.drill_record(run).await;
        found.map_err(|e| service_error(&e))
    }

    async fn keep_record(
        &self,
        run: RunId,
        cluster: ClusterId,
        fault: DrillFault,
        record: &Value,
    ) -> Answer<()> {
        let kept = self.db.keep_drill_record(run, cluster, fault, record).await;
        kept.map_err(|e| service_error(&e))
    }

    async fn report(&self, run: RunId) -> Answer<Option<DrillReport>> {
        let found = self.db.drill_report(run).await;
        found.map_err(|e| service_error(&e))
    }

    async fn keep_report(&self, report: &DrillReport) -> Answer<()> {
        let kept = self.db.keep_drill_report(report).await;
        kept.map_err(|e| service_error(&e))
    }

    async fn earlier(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
    ) -> Answer<Vec<DrillReport>> {
        let found = self
            .db
            .earlier_drills(cluster, fault, before, COMPARED)
            .await;
        found.map_err(|e| service_error(&e))
    }
}
