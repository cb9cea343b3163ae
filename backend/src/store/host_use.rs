//! Which run uses a host. An approval holds for the machine, which its pinned host keys, its name and its node address
//! are: those stay as they are until the run is over, whereas the way to it (SSH address, port, user, credential,
//! power) may be mended whenever the run does nothing without a person, and keeps the pinned keys. Address, port and
//! user are compared again at the run's gate before it goes on; undoing and giving back ask nobody again. A drill keeps
//! the power commands that were approved.

use std::sync::Arc;

use coxswain_engine::decide::{Next, decide};
use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_wire::HostId;
use sqlx::Row;

use super::run_rows::recorded;
use super::{ChangeError, Tx};

/// What a change makes of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It may be another machine afterwards.
    Machine,
    /// The same machine is reached, or its power switched, another way.
    Way,
}

/// Whether runs bind a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// None does.
    Free,
    /// A run was approved for this machine.
    Bound,
}

/// Refuses a change that a run which was approved, or has begun, and works on the host or asks it does not allow.
pub(super) async fn allows(
    tx: &mut Tx,
    host: HostId,
    name: &str,
    change: Change,
) -> Result<Use, ChangeError> {
    let rows = sqlx::query(
        "SELECT id, title, plan_json FROM run r
         WHERE finished_at IS NULL AND (status NOT IN ('preflight', 'waiting') OR EXISTS (
             SELECT 1 FROM run_event e WHERE e.run = r.id AND e.event ->> '$.event' = 'gate_approved'))
         ORDER BY id",
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut uses = Use::Free;
    for row in rows {
        // A plan of a later release is parked: this one does nothing with it.
        let Ok(plan) = serde_json::from_str::<Plan>(row.try_get("plan_json")?) else {
            continue;
        };
        if !plan.hosts().contains(&host) {
            continue;
        }
        uses = Use::Bound;
        let (run, title): (i64, String) = (row.try_get("id")?, row.try_get("title")?);
        let refusal = match change {
            Change::Machine => format!(
                "Run {run} ({title}) was approved for {name} as it is now: its name, its node address and its confirmed keys stay until that run is over. Wait for its end, or end it first. Only how the same machine is reached may change before."
            ),
            Change::Way if next(tx, run, plan).await?.waits_for_people() => continue,
            Change::Way => format!(
                "Run {run} ({title}) was approved for {name} and is at work: pause it or wait, and change this as soon as none of its steps is running."
            ),
        };
        return Err(ChangeError::Conflict(refusal));
    }
    Ok(uses)
}

async fn next(tx: &mut Tx, run: i64, plan: Plan) -> Result<Next, ChangeError> {
    let rows = sqlx::query("SELECT seq, at, event FROM run_event WHERE run = ? ORDER BY seq")
        .bind(run)
        .fetch_all(&mut **tx)
        .await?;
    let log = rows.iter().map(recorded).collect::<Result<Vec<_>, _>>()?;
    let (state, _) = RunState::replay(Arc::new(plan), &log);
    Ok(decide(&state))
}
