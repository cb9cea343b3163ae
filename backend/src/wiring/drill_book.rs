//! What steps note of failover drills.

use async_trait::async_trait;
use coxswain_wire::{ClusterId, DrillFault, DrillReport, RunId};
use serde_json::Value;

use super::{Panel, service_error};
use crate::steps::report_drill::{Params, of_what_was_seen};
use crate::steps::services::{DrillBook, ServiceError};
use crate::store::{Db, DbError, EarlierRun};

/// Earlier drills that a report compares with.
const COMPARED: u32 = 10;

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
        let found = earlier(&self.db, cluster, fault, before).await;
        found.map_err(|e| service_error(&e))
    }
}

/// Reports of the drills that one is compared with, newest first; also of those that came to rest before they made one.
pub(super) async fn earlier(
    db: &Db,
    cluster: ClusterId,
    fault: DrillFault,
    before: RunId,
) -> Result<Vec<DrillReport>, DbError> {
    let runs = db.earlier_drills(cluster, fault, before, COMPARED).await?;
    let reports = runs.into_iter().map(|earlier| match earlier {
        EarlierRun::Reported(report) => Ok(Some(*report)),
        EarlierRun::Unreported { run, record, plan } => plan
            .as_deref()
            .and_then(Params::of)
            .map_or(Ok(None), |params| late(run, record, &params, &[])),
    });
    reports.filter_map(Result::transpose).collect()
}

/// The report of a drill that came to rest before it made one; none if nobody has looked.
pub(super) fn late(
    run: RunId,
    record: Value,
    params: &Params,
    earlier: &[DrillReport],
) -> Result<Option<DrillReport>, DbError> {
    of_what_was_seen(record, run, params, earlier)
        .map_err(|e| DbError::Corrupt(format!("drill.record of run {run}: {e}")))
}
