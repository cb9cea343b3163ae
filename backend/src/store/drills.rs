//! Table `drill`: what failover drills have seen, and their reports.

use coxswain_engine::plan::Plan;
use coxswain_wire::{ClusterId, DrillFault, DrillReport, RunId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Db, DbError};

/// A drill that a later one may be compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum EarlierRun {
    /// It has made its report.
    Reported(Box<DrillReport>),
    /// It came to rest before it made one.
    Unreported {
        /// Its run.
        run: RunId,
        /// What it has seen.
        record: Value,
        /// What it was to do; none if that is not known any more.
        plan: Option<Box<Plan>>,
    },
}

impl Db {
    /// What a drill has seen so far.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn drill_record(&self, run: RunId) -> Result<Option<Value>, DbError> {
        let record: Option<String> = sqlx::query_scalar("SELECT record FROM drill WHERE run = ?")
            .bind(run.0)
            .fetch_optional(&self.readers)
            .await?;
        record.map(|json| read(&json)).transpose()
    }

    /// Replaces what a drill has seen so far. A report made of it before is void.
    ///
    /// # Errors
    /// The storage failed, or there is no such cluster.
    pub async fn keep_drill_record(
        &self,
        run: RunId,
        cluster: ClusterId,
        fault: DrillFault,
        record: &Value,
    ) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "INSERT INTO drill (run, cluster, fault, record) VALUES (?, ?, ?, ?)
             ON CONFLICT (run) DO UPDATE SET record = excluded.record, report = NULL",
        )
        .bind(run.0)
        .bind(cluster.0)
        .bind(word(fault))
        .bind(record.to_string())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The report of a drill.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn drill_report(&self, run: RunId) -> Result<Option<DrillReport>, DbError> {
        let report: Option<String> =
            sqlx::query_scalar("SELECT report FROM drill WHERE run = ? AND report IS NOT NULL")
                .bind(run.0)
                .fetch_optional(&self.readers)
                .await?;
        report.map(|json| read(&json)).transpose()
    }

    /// Keeps the report of a drill that has a record.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn keep_drill_report(&self, report: &DrillReport) -> Result<(), DbError> {
        let json =
            serde_json::to_string(report).map_err(|e| DbError::corrupt("drill.report", e))?;
        let mut tx = self.write().await?;
        sqlx::query("UPDATE drill SET report = ? WHERE run = ?")
            .bind(json)
            .bind(report.run.0)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Earlier drills of a cluster with the same fault, newest first.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn earlier_drills(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
        most: u32,
    ) -> Result<Vec<EarlierRun>, DbError> {
        let rows: Vec<(i64, Option<String>, String, Option<String>)> = sqlx::query_as(
            "SELECT drill.run, drill.report, drill.record, run.plan_json
             FROM drill LEFT JOIN run ON run.id = drill.run
             WHERE drill.cluster = ? AND drill.fault = ? AND drill.run < ?
             ORDER BY drill.run DESC LIMIT ?",
        )
        .bind(cluster.0)
        .bind(word(fault))
        .bind(before.0)
        .bind(most)
        .fetch_all(&self.readers)
        .await?;
        let found = rows.into_iter().map(|(run, report, record, plan)| {
            Ok(match (report, plan) {
                (Some(report), _) => EarlierRun::Reported(Box::new(read(&report)?)),
                (None, plan) => EarlierRun::Unreported {
                    run: RunId(run),
                    record: read(&record)?,
                    // A plan of a later release: this one cannot tell what its record is about.
                    plan: plan.and_then(|plan| serde_json::from_str(&plan).ok()),
                },
            })
        });
        found.collect()
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, DbError> {
    serde_json::from_str(json).map_err(|e| DbError::corrupt("drill", e))
}

fn word(fault: DrillFault) -> &'static str {
    match fault {
        DrillFault::Stopped => "stopped",
        DrillFault::Killed => "killed",
        DrillFault::Cut => "cut",
        DrillFault::PowerOff => "power_off",
    }
}
