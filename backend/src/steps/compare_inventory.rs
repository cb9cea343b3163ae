//! Step kind `compare_inventory`: a cluster that was not made by the panel is what the inventory says.
//! Looks, and changes nothing.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{Fact, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::survey::{Expected, obstacles, survey};
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "compare_inventory";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster as the inventory has it.
    pub expected: Expected,
}

/// The step kind.
pub struct CompareInventory(pub Services);

#[async_trait]
impl StepKind for CompareInventory {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let facts = survey(&*self.0.world, &context.target, &params.expected).await;
        let obstacles = obstacles(&facts);
        Ok(if obstacles.is_empty() {
            Probe::Done {
                observed: equal(&params.expected, &facts),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: obstacles.join("; "),
            }
        })
    }

    async fn apply(&self, _context: &StepContext) -> Result<(), StepFailure> {
        // There is nothing to do but to look again.
        Ok(())
    }
}

/// What agrees, and what a person should still know.
fn equal(expected: &Expected, facts: &[Fact]) -> String {
    let version = facts.iter().find(|fact| fact.name == "Version");
    let mut words = vec![format!(
        "{} servers, {} agents and {} load balancers are as the inventory says, {}",
        expected.servers.len(),
        expected.agents.len(),
        expected.load_balancers.len(),
        version.map_or("version unknown", |fact| fact.value.as_str()),
    )];
    let odd = facts.iter().filter(|fact| fact.verdict == Verdict::Warn);
    words.extend(odd.map(|fact| format!("{}, {}: {}", fact.subject, fact.name, fact.value)));
    words.join("; ")
}
