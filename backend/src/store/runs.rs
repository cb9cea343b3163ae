//! Tables `run`, `run_event` and `lock`: the engine's storage.

use std::sync::Arc;

use async_trait::async_trait;
use coxswain_engine::event::Event;
use coxswain_engine::plan::Plan;
use coxswain_engine::store::{Append, Locks, StepOutput, Store, StoreError, StoredRun};
use coxswain_wire::{RunId, RunStatus, StepIndex, Timestamp};
use tokio::sync::broadcast;

use super::audit::append as append_audit;
use super::output::Outputs;
use super::run_rows::{recorded, seq, signed, status_word};
use super::{Db, DbError, Tx};
use crate::audit::{Draft, event_sha256, of_event};
use crate::vault::Known;

/// The engine's [`Store`] in SQLite.
pub struct RunStore {
    db: Db,
    known: Arc<Known>,
    outputs: Outputs,
}

impl RunStore {
    /// Keeps runs in `db`; `known` are the values that must never be stored.
    #[must_use]
    pub fn new(db: Db, known: Arc<Known>) -> Self {
        let outputs = Outputs::new(db.clone(), known.clone());
        Self { db, known, outputs }
    }

    /// Tells of every run whose output has grown, after the commit.
    #[must_use]
    pub fn output_changed(&self) -> broadcast::Receiver<RunId> {
        self.outputs.changed()
    }
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        StoreError::Broken(Box::new(error))
    }
}

fn sql(error: sqlx::Error) -> StoreError {
    DbError::Sql(error).into()
}

fn json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| DbError::corrupt(what, e).into())
}

#[async_trait]
impl Store for RunStore {
    async fn create(
        &self,
        plan: &Plan,
        created: Event,
        at: Timestamp,
        status: RunStatus,
    ) -> Result<RunId, StoreError> {
        let Event::Created { by, plan_sha256 } = &created else {
            return Err(DbError::corrupt("run", "its first event is not its creation").into());
        };
        let mut tx = self.db.write().await?;
        let made = sqlx::query(
            "INSERT INTO run (workflow, title, cluster, plan_json, plan_sha256, status, next_seq, steps_done,
                steps_total, created_by, created_at)
             VALUES (?, ?, ?, ?, ?, ?, 1, 0, ?, ?, ?)",
        )
        .bind(&plan.workflow)
        .bind(&plan.title)
        .bind(plan.cluster.map(|c| c.0))
        .bind(json("plan", plan)?)
        .bind(plan_sha256)
        .bind(status_word(status))
        .bind(i64::try_from(plan.steps().count()).unwrap_or(i64::MAX))
        .bind(&by.name)
        .bind(at.0)
        .execute(&mut *tx)
        .await
        .map_err(sql)?;
        let run = RunId(made.last_insert_rowid());
        insert_event(&mut tx, run, 0, at, &created).await?;
        tx.commit().await.map_err(sql)?;
        Ok(run)
    }

    async fn load(&self, run: RunId) -> Result<StoredRun, StoreError> {
        let mut tx = self.db.readers.begin().await.map_err(sql)?;
        let plan: String = sqlx::query_scalar("SELECT plan_json FROM run WHERE id = ?")
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(sql)?
            .ok_or(StoreError::NotFound(run))?;
        let plan: Plan =
            serde_json::from_str(&plan).map_err(|e| DbError::corrupt("run.plan_json", e))?;
        let rows = sqlx::query("SELECT seq, at, event FROM run_event WHERE run = ? ORDER BY seq")
            .bind(run.0)
            .fetch_all(&mut *tx)
            .await
            .map_err(sql)?;
        let log = rows.iter().map(recorded).collect::<Result<_, _>>()?;
        Ok(StoredRun { plan, log })
    }

    async fn append(&self, append: Append) -> Result<(), StoreError> {
        let run = append.run;
        let mut tx = self.db.write().await?;
        let next: i64 = sqlx::query_scalar("SELECT next_seq FROM run WHERE id = ?")
            .bind(run.0)
            .fetch_optional(&mut *tx)
            .await
            .map_err(sql)?
            .ok_or(StoreError::NotFound(run))?;
        if seq(next)? != append.next_seq {
            return Err(StoreError::Conflict(run));
        }
        match &append.locks {
            Locks::Keep => {}
            Locks::Take(resources) => take_locks(&mut tx, run, append.at, resources).await?,
            Locks::Release => {
                sqlx::query("DELETE FROM lock WHERE run = ?")
                    .bind(run.0)
                    .execute(&mut *tx)
                    .await
                    .map_err(sql)?;
            }
        }
        for (at, event) in (append.next_seq..).zip(&append.events) {
            insert_event(&mut tx, run, at, append.at, event).await?;
        }
        sqlx::query(
            "UPDATE run SET next_seq = next_seq + ?, status = ?, steps_done = ?,
                finished_at = CASE WHEN ? THEN coalesce(finished_at, ?) END WHERE id = ?",
        )
        .bind(i64::try_from(append.events.len()).unwrap_or(i64::MAX))
        .bind(status_word(append.status))
        .bind(append.steps_done)
        .bind(append.status.is_final())
        .bind(append.at.0)
        .bind(run.0)
        .execute(&mut *tx)
        .await
        .map_err(sql)?;
        tx.commit().await.map_err(sql)
    }

    async fn unfinished(&self) -> Result<Vec<RunId>, StoreError> {
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM run WHERE finished_at IS NULL ORDER BY id")
                .fetch_all(&self.db.readers)
                .await
                .map_err(sql)?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    async fn output(
        &self,
        run: RunId,
        step: StepIndex,
        attempt: u32,
    ) -> Result<Arc<dyn StepOutput>, StoreError> {
        if !self.db.run_exists(run).await? {
            return Err(StoreError::NotFound(run));
        }
        Ok(self.outputs.open(run, step, attempt).await?)
    }

    async fn redact(&self, text: &str) -> Result<String, StoreError> {
        let safe = self.known.redactor().redact_all(text.as_bytes());
        Ok(String::from_utf8_lossy(&safe).into_owned())
    }
}

async fn insert_event(
    tx: &mut Tx,
    run: RunId,
    seq: u64,
    at: Timestamp,
    event: &Event,
) -> Result<(), StoreError> {
    let text = json("event", event)?;
    let entry = Draft {
        event_sha256: Some(event_sha256(&text)),
        ..of_event(run, event)
    };
    sqlx::query("INSERT INTO run_event (run, seq, at, event) VALUES (?, ?, ?, ?)")
        .bind(run.0)
        .bind(signed(seq))
        .bind(at.0)
        .bind(text)
        .execute(&mut **tx)
        .await
        .map_err(sql)?;
    Ok(append_audit(tx, at, entry).await?)
}

async fn take_locks(
    tx: &mut Tx,
    run: RunId,
    at: Timestamp,
    resources: &[String],
) -> Result<(), StoreError> {
    for resource in resources {
        let holder: Option<i64> = sqlx::query_scalar("SELECT run FROM lock WHERE resource = ?")
            .bind(resource)
            .fetch_optional(&mut **tx)
            .await
            .map_err(sql)?;
        match holder {
            Some(holder) if holder == run.0 => {}
            Some(holder) => {
                return Err(StoreError::LockHeld {
                    resource: resource.clone(),
                    holder: RunId(holder),
                });
            }
            None => {
                sqlx::query("INSERT INTO lock (resource, run, taken_at) VALUES (?, ?, ?)")
                    .bind(resource)
                    .bind(run.0)
                    .bind(at.0)
                    .execute(&mut **tx)
                    .await
                    .map_err(sql)?;
            }
        }
    }
    Ok(())
}
