//! A step that restarts k3s may fail and leave it stopped. Trying again is what brings it back, and no gate is in
//! the way. And while another server is down, no step stops one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use coxswain_engine::step::{StepContext, StepFailure};
use coxswain_engine::testing::Layer;
use coxswain_engine::testing::checks::retried;
use coxswain_wire::StepIndex;

use super::*;
use crate::steps::{
    inject_fault, renew_serving, restart_into, restart_k3s, rotate_certificates, stop_k3s,
};

/// Servers of the lab.
const SERVERS: [HostId; 3] = [HostId(1), HostId(2), HostId(3)];

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

/// Another server goes down after the gate, just before the first attempt of a step, and comes back after it.
struct AnotherIsDown {
    step: StepIndex,
    lab: Lab,
    said: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Layer for AnotherIsDown {
    async fn apply(&self, inner: &dyn StepKind, context: &StepContext) -> Result<(), StepFailure> {
        if context.step != self.step || context.attempt != 1 {
            return inner.apply(context).await;
        }
        let another = SERVERS
            .into_iter()
            .find(|s| Some(*s) != context.host)
            .unwrap();
        self.lab.world.stop_k3s(another);
        let result = inner.apply(context).await;
        self.lab.world.start_k3s(another);
        if let Err(failure) = &result {
            let message = failure.clone().into_error().message;
            self.said.lock().unwrap().push(message);
        }
        result
    }
}

/// Tried with every step that stops a server; gives how many these are.
pub(super) async fn is_held_back(example: Example) -> usize {
    let stops = [
        restart_k3s::KIND,
        restart_into::KIND,
        renew_serving::KIND,
        rotate_certificates::KIND,
        stop_k3s::KIND,
        inject_fault::KIND,
    ];
    let plan = example.plan();
    let mut tried = 0;
    for (step, _, planned) in plan.steps() {
        let server = planned.host.is_some_and(|host| SERVERS.contains(&host));
        if !server || !stops.contains(&planned.kind.as_str()) {
            continue;
        }
        let said = Arc::new(Mutex::new(Vec::new()));
        let fail = |lab: &Lab, inner| {
            let (lab, said) = (lab.clone(), said.clone());
            layer(inner, AnotherIsDown { step, lab, said })
        };
        // How the run ends is not the matter here: the other one may still be on its way when it is retried.
        retried(&example, &fail).await.ok();
        let said = said.lock().unwrap();
        assert!(
            said.len() == 1 && said[0].contains("is not stopped"),
            "{}: {said:?}",
            planned.title
        );
        tried += 1;
    }
    tried
}
