//! What a run will do: made once by a workflow, stored, hashed, never changed.

use std::collections::{BTreeMap, BTreeSet};

use coxswain_wire::{ClusterId, HostId, Inputs, StageIndex, StepIndex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::step::Output;

/// Stages of steps, bound to a run for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Stored name of the workflow.
    pub workflow: String,
    /// For people.
    pub title: String,
    /// What was asked for. Never holds a secret.
    pub inputs: Inputs,
    /// The cluster it works on.
    pub cluster: Option<ClusterId>,
    /// Its name; typed by people to confirm.
    pub cluster_name: String,
    /// Resources locked when the first gate is passed, e.g. `cluster:1`, `host:4`.
    pub locks: Vec<String>,
    /// Barriers.
    pub stages: Vec<Stage>,
    /// Odd things a person should know.
    pub warnings: Vec<String>,
    /// The cluster is out of service while it runs, on purpose: in what way, in words. Every gate then wants
    /// the cluster's name typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage: Option<String>,
    /// Undone, it takes the cluster away from whoever uses it by then: in what way, in words. Unwinding then
    /// wants the cluster's name typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_outage: Option<String>,
}

/// Steps that may run side by side, behind an optional gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// For people.
    pub title: String,
    /// Approval needed before the first step.
    pub gate: Option<Gate>,
    /// In order of display.
    pub steps: Vec<Step>,
}

/// A point where the run waits for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What is decided.
    pub title: String,
    /// Text that must be typed to approve.
    pub confirm: Option<String>,
    /// What evidence to collect, for the workflow's preflight.
    pub preflight: Value,
}

/// One change (or one look) on one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Stored name of the step kind.
    pub kind: String,
    /// For people.
    pub title: String,
    /// Host it works on.
    pub host: Option<HostId>,
    /// Name of the host, or of the cluster.
    pub target: String,
    /// Typed by the step kind.
    pub params: Value,
    /// What will be run, as a person would type it; secrets as references.
    pub commands: Vec<String>,
    /// How it is undone, in words; none if it changes nothing or cannot be undone.
    pub undo: Option<String>,
    /// What it changes is only for the duration of the run: how that is given back, in words. Takes the
    /// place of [`Step::undo`]; the run gives it back by the same calls on every way out, unless a later
    /// step that [`Step::restores`] it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<String>,
    /// Earlier steps whose effect this one gives back as planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restores: Vec<StepIndex>,
    /// Cannot be undone: unwinding stops here.
    pub irreversible: bool,
    /// Whether kill-now may interrupt it.
    pub interruptible: bool,
    /// It only watches: a stop ends it at once as kill-now does, and so does the failure of a step beside it where
    /// something is to be given back. It failed by that, unless its probe finds it done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_at_stop: bool,
    /// Seconds from the start of an attempt until it counts as failed.
    pub deadline_s: u32,
    /// Effect on the quorum, in words.
    pub forecast: Option<String>,
}

impl Step {
    /// It only looks: there is nothing to undo, and nothing that cannot be undone.
    #[must_use]
    pub fn is_look(&self) -> bool {
        self.undo.is_none() && self.compensation.is_none() && !self.irreversible
    }
}

/// A parameter of a step: known when planned, or made by an earlier step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param<T> {
    /// Made by an earlier step.
    Output(OutputRef),
    /// Known when planned.
    Value(T),
}

/// Names an output of an earlier step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRef {
    /// The step that makes it.
    pub from_step: StepIndex,
    /// Name of the output.
    pub output: String,
}

/// Outputs of finished steps, by step and name.
pub type Outputs = BTreeMap<(StepIndex, String), Output>;

impl<T: DeserializeOwned + Clone> Param<T> {
    /// The value, looked up among the outputs of earlier steps where it is a reference.
    ///
    /// # Errors
    /// Says in words which output is missing or of another type.
    pub fn resolve(&self, outputs: &Outputs) -> Result<T, String> {
        match self {
            Param::Value(value) => Ok(value.clone()),
            Param::Output(reference) => {
                let key = (reference.from_step, reference.output.clone());
                let output = outputs.get(&key).ok_or_else(|| {
                    format!(
                        "step {} has no output {}",
                        reference.from_step + 1,
                        reference.output
                    )
                })?;
                let json = match output {
                    Output::Value { value } => value.clone(),
                    Output::Secret { id } => Value::from(id.0),
                    Output::Report(report) => {
                        serde_json::to_value(&report.tables).map_err(|e| e.to_string())?
                    }
                };
                serde_json::from_value(json).map_err(|e| {
                    format!(
                        "output {} of step {}: {e}",
                        reference.output,
                        reference.from_step + 1
                    )
                })
            }
        }
    }
}

impl Plan {
    /// SHA-256 over the canonical JSON, hex. References are covered as references.
    #[must_use]
    pub fn sha256(&self) -> String {
        let json = serde_json::to_vec(self).expect("a plan is plain data with string keys");
        hex(&Sha256::digest(json))
    }

    /// Text that must be typed at a gate, whoever approves.
    #[must_use]
    pub fn confirmation<'a>(&'a self, gate: &'a Gate) -> Option<&'a String> {
        gate.confirm
            .as_ref()
            .or(self.outage.as_ref().map(|_| &self.cluster_name))
    }

    /// All steps with their positions.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = (StepIndex, StageIndex, &Step)> {
        let mut all = Vec::new();
        for (stage_at, stage) in (0..).zip(&self.stages) {
            for step in &stage.steps {
                all.push((stage_at, step));
            }
        }
        let mut at: StepIndex = 0;
        let numbered: Vec<_> = all
            .into_iter()
            .map(|(stage, step)| {
                let index = at;
                at += 1;
                (index, stage, step)
            })
            .collect();
        numbered.into_iter()
    }

    /// The stage of a step.
    #[must_use]
    pub fn stage_of(&self, step: StepIndex) -> Option<StageIndex> {
        self.steps()
            .find(|(index, _, _)| *index == step)
            .map(|(_, stage, _)| stage)
    }

    /// The step at a position.
    #[must_use]
    pub fn step(&self, index: StepIndex) -> Option<&Step> {
        self.stages
            .iter()
            .flat_map(|s| &s.steps)
            .nth(index as usize)
    }

    /// Every host that the run works on or asks: the hosts of its steps, and what parameters and gates name as
    /// `host` or `via`, as the types of all of them do.
    #[must_use]
    pub fn hosts(&self) -> BTreeSet<HostId> {
        let mut found = BTreeSet::new();
        for stage in &self.stages {
            if let Some(gate) = &stage.gate {
                named_hosts(&gate.preflight, &mut found);
            }
            for step in &stage.steps {
                found.extend(step.host);
                named_hosts(&step.params, &mut found);
            }
        }
        found
    }

    /// The step that gives back as planned what another took away.
    #[must_use]
    pub fn restorer(&self, taking: StepIndex) -> Option<StepIndex> {
        self.steps()
            .find(|(_, _, step)| step.restores.contains(&taking))
            .map(|(index, _, _)| index)
    }

    /// Positions of a stage's steps.
    #[must_use]
    pub fn steps_of(&self, stage: StageIndex) -> std::ops::Range<StepIndex> {
        let before: usize = self
            .stages
            .iter()
            .take(stage as usize)
            .map(|s| s.steps.len())
            .sum();
        let own = self.stages.get(stage as usize).map_or(0, |s| s.steps.len());
        let start = u32::try_from(before).unwrap_or(u32::MAX);
        start..start.saturating_add(u32::try_from(own).unwrap_or(u32::MAX))
    }
}

fn named_hosts(value: &Value, found: &mut BTreeSet<HostId>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_i64() {
                    Some(id) if matches!(name.as_str(), "host" | "via") => {
                        found.insert(HostId(id));
                    }
                    Some(_) | None => named_hosts(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named_hosts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
}
