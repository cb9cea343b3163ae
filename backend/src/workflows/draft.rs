//! Building a plan stage by stage.

use coxswain_engine::plan::{Gate, Plan, Stage, Step};
use coxswain_wire::{Cluster, HostId, Inputs, StepIndex};
use serde::Serialize;
use serde_json::Value;

/// A plan under construction.
pub(super) struct Draft {
    plan: Plan,
    next: StepIndex,
}

impl Draft {
    pub(super) fn new(workflow: &str, title: String, inputs: &Inputs, cluster: &Cluster) -> Self {
        let plan = Plan {
            workflow: workflow.to_owned(),
            title,
            inputs: inputs.clone(),
            cluster: Some(cluster.id),
            cluster_name: cluster.name.clone(),
            locks: vec![format!("cluster:{}", cluster.id)],
            stages: Vec::new(),
            warnings: Vec::new(),
            outage: None,
            undo_outage: None,
        };
        Self { plan, next: 0 }
    }

    /// Position that the next step will get.
    pub(super) fn next(&self) -> StepIndex {
        self.next
    }

    pub(super) fn lock_host(&mut self, host: HostId) {
        self.plan.locks.push(format!("host:{host}"));
    }

    /// For what may go on beside any other run.
    pub(super) fn lock_nothing(&mut self) {
        self.plan.locks.clear();
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.plan.warnings.push(warning.into());
    }

    /// Declares that the cluster is out of service while the run lasts, or after it.
    pub(super) fn outage(&mut self, outage: impl Into<String>) {
        self.plan.outage = Some(outage.into());
    }

    /// Declares that undoing it takes a cluster away that may be in use by then.
    pub(super) fn undo_outage(&mut self, outage: impl Into<String>) {
        self.plan.undo_outage = Some(outage.into());
    }

    /// Adds a stage. A stage without steps is left out.
    pub(super) fn stage(&mut self, title: impl Into<String>, gate: Option<Gate>, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        self.next = self
            .next
            .saturating_add(u32::try_from(steps.len()).unwrap_or(u32::MAX));
        self.plan.stages.push(Stage {
            title: title.into(),
            gate,
            steps,
        });
    }

    pub(super) fn finish(self) -> Plan {
        self.plan
    }
}

/// A step that changes nothing, is not undone, may be interrupted and has two minutes.
pub(super) fn step(
    kind: &str,
    title: impl Into<String>,
    target: &str,
    params: &impl Serialize,
) -> Step {
    Step {
        kind: kind.to_owned(),
        title: title.into(),
        host: None,
        target: target.to_owned(),
        params: json(params),
        commands: Vec::new(),
        undo: None,
        compensation: None,
        restores: Vec::new(),
        irreversible: false,
        interruptible: true,
        ends_at_stop: false,
        deadline_s: 120,
        forecast: None,
    }
}

/// As stored.
pub(super) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("parameters are plain data with string keys")
}
