//! A plan as people read it.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, HostId};

/// Position of a step in its plan, counted from 0 over all stages. People read [`step_number`].
pub type StepIndex = u32;

/// What people call a step, on screen, in downloads, in names of jobs and snapshots: counted from 1.
#[must_use]
pub fn step_number(index: StepIndex) -> u32 {
    index.saturating_add(1)
}

/// Position of a stage in its plan, counted from 0.
pub type StageIndex = u32;

/// What a run will do, exactly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanView {
    /// Stored name of the workflow.
    pub workflow: String,
    /// e.g. `Bootstrap cluster prod`.
    pub title: String,
    /// The cluster it works on.
    pub cluster: Option<ClusterId>,
    /// Name of that cluster.
    pub cluster_name: String,
    /// SHA-256 of the stored plan, hex.
    pub sha256: String,
    /// Barriers: a stage starts when the one before is done.
    pub stages: Vec<StageView>,
    /// Odd things a person should know before starting, e.g. an even number of servers.
    pub warnings: Vec<String>,
    /// The cluster is out of service while it runs, on purpose: in what way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// The same of undoing it: unwinding then wants the cluster's name typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_outage: Option<String>,
}

/// Steps that may run side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageView {
    /// For people.
    pub title: String,
    /// People must approve before its first step.
    pub gate: Option<GateView>,
    /// In order.
    pub steps: Vec<StepView>,
}

/// A point where the run waits for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GateView {
    /// What is decided, e.g. `Install k3s on three hosts`.
    pub title: String,
    /// Titles of the steps behind this gate that cannot be undone.
    pub irreversible: Vec<String>,
    /// Text that must be typed to approve (the name of the cluster, or of the host that goes), if any.
    pub confirm: Option<String>,
}

/// One change (or one look) on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepView {
    /// Position over all stages.
    pub index: StepIndex,
    /// Stored name of the kind, e.g. `install_k3s`.
    pub kind: String,
    /// For people.
    pub title: String,
    /// Host it works on; none for the cluster as a whole.
    pub host: Option<HostId>,
    /// Name of the host, or of the cluster.
    pub target: String,
    /// What will be run or looked at, exactly; secrets shown as references.
    pub commands: Vec<String>,
    /// How it would be undone; none if it changes nothing.
    pub undo: Option<String>,
    /// What it changes is only for the duration of the run: how that is given back, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<String>,
    /// Cannot be undone.
    pub irreversible: bool,
    /// Seconds until it counts as failed.
    pub deadline_s: u32,
    /// e.g. `etcd 3/3 -> 2/3 during this step; one more loss is an outage`.
    pub forecast: Option<String>,
}
