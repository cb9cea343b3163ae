//! Disruption budgets: their status, which says how many pods may be evicted now.

use serde_json::json;

use super::workloads::set_status;
use super::world::World;
use crate::api::Coverage;
use crate::api::resources;
use crate::api::store::{Store, StoreError};

/// Looks at all budgets once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for budget in &world.budgets {
        let coverage = Coverage::of(budget, &world.pods);
        let allowed = coverage.allowed();
        let sufficient = allowed > 0;
        let status = json!({
            "currentHealthy": coverage.healthy, "desiredHealthy": coverage.needed,
            "expectedPods": coverage.total, "disruptionsAllowed": allowed,
            "observedGeneration": budget["metadata"]["generation"],
            "conditions": [{
                "type": "DisruptionAllowed",
                "status": if sufficient { "True" } else { "False" },
                "reason": if sufficient { "SufficientPods" } else { "InsufficientPods" },
                "message": "", "observedGeneration": budget["metadata"]["generation"],
            }],
        });
        set_status(store, resources::budgets(), budget, status).await?;
    }
    Ok(())
}
