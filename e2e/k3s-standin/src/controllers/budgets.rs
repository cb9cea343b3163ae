//! Disruption budgets: their status, which says how many pods may be evicted now.

use serde_json::json;

use super::objects::condition;
use super::workloads::set_status;
use super::world::World;
use crate::api::Coverage;
use crate::api::resources;
use crate::api::store::{Store, StoreError};
use crate::logging::rfc3339_now;

/// Looks at all budgets once.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn look(store: &Store, world: &World) -> Result<(), StoreError> {
    for budget in &world.budgets {
        let coverage = Coverage::of(budget, &world.pods);
        let allowed = coverage.allowed();
        let word = if allowed > 0 { "True" } else { "False" };
        // As with every condition: the time of the last change, not of the last look.
        let since = condition(budget, "DisruptionAllowed")
            .filter(|before| before["status"] == word)
            .map_or_else(
                || json!(rfc3339_now()),
                |before| before["lastTransitionTime"].clone(),
            );
        let status = json!({
            "currentHealthy": coverage.healthy, "desiredHealthy": coverage.needed,
            "expectedPods": coverage.total, "disruptionsAllowed": allowed,
            "observedGeneration": budget["metadata"]["generation"],
            "conditions": [{
                "type": "DisruptionAllowed",
                "status": word,
                "reason": if allowed > 0 { "SufficientPods" } else { "InsufficientPods" },
                "message": "", "lastTransitionTime": since, "observedGeneration": budget["metadata"]["generation"],
            }],
        });
        set_status(store, resources::budgets(), budget, status).await?;
    }
    Ok(())
}
