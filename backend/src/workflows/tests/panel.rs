//! A panel over a lab in memory: starts a run of a workflow and sees it through.

use std::sync::Arc;

use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::testing::MemoryStore;
use coxswain_engine::testing::checks::{approver, starter};
use coxswain_wire::{Inputs, RunCommand, RunId, RunStatus, RunView};

use super::super::{Inventory, Preflights, find};
use super::lab::{Lab, virtual_now};
use crate::steps::registry;

pub(super) struct Panel {
    engine: Engine,
}

impl Panel {
    pub(super) fn over(lab: &Lab) -> Self {
        let services = lab.services();
        Self {
            engine: Engine::new(
                Arc::new(MemoryStore::default()),
                registry(&services),
                Arc::new(Preflights::new(services)),
                virtual_now,
                Timing::default(),
            ),
        }
    }

    pub(super) async fn start(
        &self,
        workflow: &str,
        inputs: &Inputs,
        inventory: &Inventory,
    ) -> RunId {
        let plan = find(workflow).unwrap().plan(inputs, inventory).unwrap();
        self.engine.start(plan, starter()).await.unwrap()
    }

    pub(super) async fn until(&self, run: RunId, what: impl Fn(&RunView) -> bool) -> RunView {
        let mut changed = self.engine.changed();
        loop {
            let view = self.engine.view(run).await.unwrap();
            if what(&view) {
                return view;
            }
            // Lagging only means that there is news.
            let _ = changed.recv().await;
        }
    }

    /// Waits until the run stands still, which must be so.
    pub(super) async fn is(&self, run: RunId, status: RunStatus) -> RunView {
        let moving = [
            RunStatus::Preflight,
            RunStatus::Running,
            RunStatus::Unwinding,
        ];
        let rests = |view: &RunView| !moving.contains(&view.summary.status);
        let view = self.until(run, rests).await;
        assert_eq!(view.summary.status, status, "{:?}", view.notice);
        view
    }

    pub(super) async fn say(&self, run: RunId, command: RunCommand) {
        self.engine.command(run, command, approver()).await.unwrap();
    }

    /// Approves what stands at the open gate.
    pub(super) async fn approve(&self, run: RunId) {
        let view = self.is(run, RunStatus::Waiting).await;
        let stage = view.open_gate.unwrap() as usize;
        let gate = view.plan.stages[stage].gate.clone().unwrap();
        let approve = RunCommand::Approve {
            plan_sha256: view.plan.sha256,
            evidence_sha256: view.stages[stage].evidence.clone().unwrap().sha256,
            comment: String::new(),
            confirm: gate.confirm,
        };
        self.say(run, approve).await;
    }
}
