//! Table `drill`: what failover drills have seen, and their reports.

use coxswain_wire::{ClusterId, DrillFault, DrillReport, RunId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Db, DbError};

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

    /// Reports of earlier drills of a cluster with the same fault, newest first.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn earlier_drills(
        &self,
        cluster: ClusterId,
        fault: DrillFault,
        before: RunId,
        most: u32,
    ) -> Result<Vec<DrillReport>, DbError> {
        let reports: Vec<String> = sqlx::query_scalar(
            "SELECT report FROM drill
             WHERE cluster = ? AND fault = ? AND run < ? AND report IS NOT NULL
             ORDER BY run DESC LIMIT ?",
        )
        .bind(cluster.0)
        .bind(word(fault))
        .bind(before.0)
        .bind(most)
        .fetch_all(&self.readers)
        .await?;
        reports.iter().map(|json| read(json)).collect()
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
