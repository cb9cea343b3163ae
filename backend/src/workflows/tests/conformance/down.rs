//! A step that restarts k3s may fail and leave it stopped. Trying again is what brings it back, and no gate is in
//! the way.

use async_trait::async_trait;
use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_engine::testing::Layer;
use coxswain_engine::testing::checks::retried;
use coxswain_wire::StepIndex;

use super::*;
use crate::steps::{renew_serving, restart_into, restart_k3s, rotate_certificates};

/// k3s is stopped and does not come back at the first attempt of a step.
struct LeavesDown {
    step: StepIndex,
    lab: Lab,
}

#[async_trait]
impl Layer for LeavesDown {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        if context.step == self.step && context.attempt == 1 {
            self.lab.world.stop_k3s(context.host.unwrap());
            return Err(StepFailure::fatal("k3s did not come back"));
        }
        inner.apply(context).await
    }
}

/// Tried on every node that the plan restarts; gives on how many.
pub(super) async fn comes_back(example: Example) -> usize {
    let restarts = [
        restart_k3s::KIND,
        restart_into::KIND,
        renew_serving::KIND,
        rotate_certificates::KIND,
    ];
    let expected = completes(&example).await.unwrap();
    let plan = example.plan();
    let restarting = plan
        .steps()
        .filter(|(_, _, step)| restarts.contains(&step.kind.as_str()));
    let mut tried = 0;
    for (step, _, planned) in restarting {
        let fail = |lab: &Lab, inner| {
            let lab = lab.clone();
            layer(inner, LeavesDown { step, lab })
        };
        let now = retried(&example, &fail).await;
        let now = now.unwrap_or_else(|e| panic!("{}: {e}", planned.title));
        assert_eq!(now, expected, "{}", planned.title);
        tried += 1;
    }
    tried
}
