//! The events of a run's log.

use std::collections::BTreeMap;

use coxswain_wire::{
    Evidence, HostId, Lane, Mark, NextRun, Report, RunId, StageIndex, StepError, StepIndex, Table,
    Timeline, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::step::Output;

/// A person as the log keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub id: UserId,
    /// Sign-in name at that time.
    pub name: String,
    /// Address the command came from; for the audit.
    pub address: String,
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// From 0, without gaps.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run was created with its plan.
    Created {
        /// Who started it.
        by: Actor,
        /// Hash of the plan stored beside the log.
        plan_sha256: String,
    },
    /// Evidence was collected; the gate is open.
    GateOpened {
        /// The gate's stage.
        stage: StageIndex,
        /// What an approver needs.
        evidence: Evidence,
        /// What differs from the evidence that was approved; empty unless the gate reopened.
        changes: Vec<String>,
    },
    /// A person let the run go on.
    GateApproved {
        /// The gate's stage.
        stage: StageIndex,
        /// Who.
        by: Actor,
        /// The evidence they read.
        evidence_sha256: String,
        /// Their comment.
        comment: String,
        /// They also started the run.
        self_approved: bool,
    },
    /// A person turned the run down.
    GateRejected {
        /// The gate's stage.
        stage: StageIndex,
        /// Who.
        by: Actor,
        /// Their comment.
        comment: String,
    },
    /// A person asked for fresh evidence.
    RefreshAsked {
        /// The gate's stage.
        stage: StageIndex,
        /// Who.
        by: Actor,
    },
    /// The approved evidence still held and the locks were taken.
    GatePassed {
        /// The gate's stage.
        stage: StageIndex,
    },
    /// Another run holds a lock; the gate waits for a new approval.
    LockHeld {
        /// The gate's stage.
        stage: StageIndex,
        /// e.g. `cluster:1`.
        resource: String,
        /// The run that holds it.
        holder: RunId,
    },
    /// After a pause, the evidence for what is still to be done held.
    EvidenceHeld {
        /// The stage it was checked for.
        stage: StageIndex,
    },
    /// First probe: it was so already.
    StepSatisfied {
        /// The step.
        step: StepIndex,
        /// What was seen.
        observed: String,
        /// Made available to later steps.
        outputs: BTreeMap<String, Output>,
    },
    /// The intent. From here on the effect is ours.
    StepStarted {
        /// The step.
        step: StepIndex,
        /// From 1.
        attempt: u32,
        /// What undo must put back and how to recognise the effect; of the first attempt for ever.
        memo: Value,
    },
    /// Observed done.
    StepSucceeded {
        /// The step.
        step: StepIndex,
        /// What was seen.
        observed: String,
        /// Made available to later steps.
        outputs: BTreeMap<String, Output>,
    },
    /// Not observed done; no job of ours is alive.
    StepFailed {
        /// The step.
        step: StepIndex,
        /// Why.
        error: StepError,
    },
    /// The engine cannot tell; the run parks.
    StepUnsure {
        /// The step.
        step: StepIndex,
        /// Why.
        error: StepError,
    },
    /// Nothing new starts.
    Paused {
        /// Who.
        by: Actor,
    },
    /// Goes on, after the evidence was checked again.
    Resumed {
        /// Who.
        by: Actor,
    },
    /// Stop when running steps have finished.
    StopAsked {
        /// Who.
        by: Actor,
        /// End interruptible steps now.
        kill: bool,
    },
    /// Failed, unsure and stopped steps may be tried again.
    RetryAsked {
        /// Who.
        by: Actor,
    },
    /// What was done is undone in reverse order.
    UnwindAsked {
        /// Who.
        by: Actor,
        /// The undo plan they read.
        plan_sha256: String,
    },
    /// The intent of an undo, or of giving back what a step took away only for the run.
    UndoStarted {
        /// The step.
        step: StepIndex,
    },
    /// Observed undone, or given back.
    UndoSucceeded {
        /// The step.
        step: StepIndex,
        /// What was seen.
        observed: String,
    },
    /// Not observed undone; the run parks.
    UndoFailed {
        /// The step.
        step: StepIndex,
        /// Why.
        error: StepError,
    },
    /// A person gives the run up; first it gives back what it took away.
    AbandonAsked {
        /// Who.
        by: Actor,
        /// Why.
        comment: String,
        /// Hosts they declared dead: nothing is given back there.
        dead_hosts: Vec<HostId>,
    },
    /// A person gave the run up.
    Abandoned {
        /// Who.
        by: Actor,
        /// Why.
        comment: String,
        /// Hosts they declared dead.
        dead_hosts: Vec<HostId>,
    },
    /// Everything was observed done.
    Completed,
    /// Undone as far as the plan allows.
    Unwound,
    /// The panel was started again and takes up what was under way. Any number of them is harmless: after a long time
    /// the evidence is looked at before anything new starts.
    PanelRestarted,
    /// The engine met something that must not be; a person decides.
    Parked {
        /// What.
        reason: String,
    },
    /// Written by a newer panel.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The texts that come from machines and may hold a secret by accident.
    pub fn texts(&mut self) -> Vec<&mut String> {
        match self {
            Event::StepSatisfied {
                observed, outputs, ..
            }
            | Event::StepSucceeded {
                observed, outputs, ..
            } => std::iter::once(observed)
                .chain(outputs.values_mut().flat_map(shown))
                .collect(),
            Event::UndoSucceeded { observed, .. } => vec![observed],
            Event::StepFailed { error, .. }
            | Event::StepUnsure { error, .. }
            | Event::UndoFailed { error, .. } => {
                let StepError {
                    message,
                    causes,
                    advice,
                } = error;
                std::iter::once(message)
                    .chain(causes)
                    .chain(advice)
                    .collect()
            }
            Event::Parked { reason } => vec![reason],
            Event::Created { .. }
            | Event::GateOpened { .. }
            | Event::GateApproved { .. }
            | Event::GateRejected { .. }
            | Event::RefreshAsked { .. }
            | Event::GatePassed { .. }
            | Event::LockHeld { .. }
            | Event::EvidenceHeld { .. }
            | Event::StepStarted { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::StopAsked { .. }
            | Event::RetryAsked { .. }
            | Event::UnwindAsked { .. }
            | Event::UndoStarted { .. }
            | Event::AbandonAsked { .. }
            | Event::Abandoned { .. }
            | Event::Completed
            | Event::Unwound
            | Event::PanelRestarted
            | Event::Unknown => Vec::new(),
        }
    }
}

/// The texts of an output that people read.
fn shown(output: &mut Output) -> Vec<&mut String> {
    match output {
        Output::Report(Report {
            tables,
            timelines,
            next,
        }) => {
            let tables = tables.iter_mut().flat_map(of_table);
            let timelines = timelines.iter_mut().flat_map(of_timeline);
            let next = next.iter_mut().flat_map(|next| {
                let NextRun {
                    title,
                    why,
                    // Names of the panel's own.
                    workflow: _,
                    inputs: _,
                } = next;
                [title, why]
            });
            tables.chain(timelines).chain(next).collect()
        }
        Output::Value { .. } | Output::Secret { .. } => Vec::new(),
    }
}

fn of_table(table: &mut Table) -> Vec<&mut String> {
    let Table {
        title,
        columns,
        rows,
    } = table;
    std::iter::once(title)
        .chain(columns)
        .chain(rows.iter_mut().flatten())
        .collect()
}

fn of_timeline(timeline: &mut Timeline) -> Vec<&mut String> {
    let Timeline {
        title,
        begin,
        until_ms: _,
        lanes,
        marks,
    } = timeline;
    let lanes = lanes.iter_mut().flat_map(|lane| {
        let Lane {
            name,
            spans: _,
            words,
        } = lane;
        [name, words]
    });
    let marks = marks.iter_mut().flat_map(|mark| {
        let Mark {
            name,
            at_ms: _,
            limit_ms: _,
            observed,
            expected,
            state: _,
        } = mark;
        [name, observed, expected]
    });
    [title, begin]
        .into_iter()
        .chain(lanes)
        .chain(marks)
        .collect()
}
