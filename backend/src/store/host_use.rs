//! Which run uses a host: an approval holds for the machine that the host was, so nobody may make another of it.

use coxswain_engine::plan::Plan;
use coxswain_wire::HostId;
use sqlx::Row;

use super::{ChangeError, Tx};

/// Refuses to change a host while a run that was approved, or has begun, works on it or asks it.
pub(super) async fn not_in_use(tx: &mut Tx, host: HostId, name: &str) -> Result<(), ChangeError> {
    let rows = sqlx::query(
        "SELECT id, title, plan_json FROM run r
         WHERE finished_at IS NULL AND (status NOT IN ('preflight', 'waiting') OR EXISTS (
             SELECT 1 FROM run_event e WHERE e.run = r.id AND e.event ->> '$.event' = 'gate_approved'))
         ORDER BY id",
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        // A plan of a later release is parked: this one does nothing with it.
        let Ok(plan) = serde_json::from_str::<Plan>(row.try_get("plan_json")?) else {
            continue;
        };
        if plan.hosts().contains(&host) {
            let (run, title): (i64, String) = (row.try_get("id")?, row.try_get("title")?);
            return Err(ChangeError::Conflict(format!(
                "Run {run} ({title}) was approved for {name} as it is now: wait for its end, or end it first."
            )));
        }
    }
    Ok(())
}
