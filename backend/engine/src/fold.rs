//! The only transition table: which event may follow in which state, and what it changes.

use std::collections::BTreeMap;

use coxswain_wire::{Decision, StageIndex, StepIndex, StepStatus, Timestamp};
use thiserror::Error;

use crate::event::{Actor, Event, Recorded};
use crate::plan::Outputs;
use crate::state::{Abandon, Ended, RunState, StageState, StepState, Stop};

/// A run that heard nothing for so long, until its panel was started again, looks at its evidence before it goes on.
const LONG_AWAY_MS: i64 = 15 * 60 * 1000;

/// An event that cannot follow the ones before it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("event {seq} ({event}) cannot follow: {why}")]
pub struct Impossible {
    /// Its number.
    pub seq: u64,
    /// Its name.
    pub event: String,
    /// What is wrong.
    pub why: String,
}

impl RunState {
    /// The only transition table.
    ///
    /// # Errors
    /// The event cannot follow; the state is unchanged.
    pub fn fold(&mut self, recorded: &Recorded, outputs: &mut Outputs) -> Result<(), Impossible> {
        let mut next = self.clone();
        next.apply(&recorded.event, recorded, outputs)
            .map_err(|why| Impossible {
                seq: recorded.seq,
                event: name(&recorded.event),
                why,
            })?;
        next.next_seq = recorded.seq + 1;
        next.last_at = recorded.at;
        *self = next;
        Ok(())
    }

    fn apply(
        &mut self,
        event: &Event,
        recorded: &Recorded,
        outputs: &mut Outputs,
    ) -> Result<(), String> {
        let at = recorded.at;
        if recorded.seq != self.next_seq {
            return Err(format!("expected event {}", self.next_seq));
        }
        if self.ended.is_some() {
            return Err("the run is over".to_owned());
        }
        if self.created_by.is_none() != matches!(event, Event::Created { .. }) {
            return Err("a log starts with created, once".to_owned());
        }
        match event {
            Event::Created { by, plan_sha256 } => {
                if *plan_sha256 != self.plan.sha256() {
                    return Err("the stored plan is not the one that was created".to_owned());
                }
                self.created_by = Some(by.clone());
                self.created_at = at;
            }
            Event::GateOpened {
                stage,
                evidence,
                changes,
            } => {
                // A recheck may reopen the gate of an earlier stage, which becomes the current one again.
                if self.current_stage().is_none_or(|current| *stage > current)
                    || !self.has_gate(*stage)
                {
                    return Err(format!("stage {} has no gate to open", stage + 1));
                }
                let gate = &mut self.stages[*stage as usize];
                gate.evidence = Some(evidence.clone());
                gate.changes.clone_from(changes);
                gate.stale = false;
                gate.decision = None;
                gate.refused = None;
                gate.passed = false;
                self.recheck = false;
            }
            Event::GateApproved {
                stage,
                by,
                comment,
                self_approved,
                evidence_sha256,
            } => {
                let gate = self.open_gate(*stage)?;
                let shown = gate.evidence.as_ref().ok_or("the gate has no evidence")?;
                if gate.decision.is_some() {
                    return Err("the gate is decided already".to_owned());
                }
                if shown.sha256 != *evidence_sha256 {
                    return Err("the approval names other evidence".to_owned());
                }
                gate.decision = Some(decision(true, by, at, comment, *self_approved));
            }
            Event::GateRejected { stage, by, comment } => {
                let gate = self.open_gate(*stage)?;
                gate.decision = Some(decision(false, by, at, comment, false));
                if self.steps.iter().all(|s| s.attempt == 0) {
                    self.ended = Some((Ended::Rejected, at));
                } else {
                    // Something was changed behind an earlier gate: a person chooses unwind or abandon.
                    self.stop = Some(Stop::AfterRunning);
                }
            }
            Event::RefreshAsked { stage, .. } => {
                let gate = self.open_gate(*stage)?;
                gate.stale = true;
                gate.decision = None;
            }
            Event::GatePassed { stage } => {
                let gate = self.open_gate(*stage)?;
                if !gate.decision.as_ref().is_some_and(|d| d.approved) {
                    return Err("the gate is not approved".to_owned());
                }
                gate.passed = true;
                gate.refused = None;
            }
            Event::LockHeld {
                stage,
                resource,
                holder,
            } => {
                let gate = self.open_gate(*stage)?;
                gate.decision = None;
                gate.refused = Some(format!(
                    "{resource} is in use by run {holder}. Approve again when that run is over."
                ));
            }
            Event::EvidenceHeld { .. } => self.recheck = false,
            Event::StepSatisfied {
                step,
                observed,
                outputs: made,
            } => {
                let state = self.step(*step, &[StepStatus::Pending])?;
                if state.ours {
                    return Err("an attempt was made, so it is our effect".to_owned());
                }
                state.status = StepStatus::AlreadySatisfied;
                state.started_at = Some(at);
                finish(state, at, observed);
                state.made.clone_from(made);
                keep(outputs, *step, made);
            }
            Event::StepStarted {
                step,
                attempt,
                memo,
            } => {
                let state = self.step(*step, &[StepStatus::Pending, StepStatus::Running])?;
                if *attempt != state.attempt + 1 {
                    return Err(format!("attempt {} was the latest", state.attempt));
                }
                if !state.ours {
                    state.memo = memo.clone();
                }
                state.attempt = *attempt;
                state.ours = true;
                state.status = StepStatus::Running;
                state.started_at = Some(at);
                state.finished_at = None;
                state.error = None;
            }
            Event::StepSucceeded {
                step,
                observed,
                outputs: made,
            } => {
                let state = self.step(*step, &[StepStatus::Running, StepStatus::Pending])?;
                if !state.ours {
                    return Err("no attempt was made".to_owned());
                }
                state.status = StepStatus::Succeeded;
                finish(state, at, observed);
                state.made.clone_from(made);
                keep(outputs, *step, made);
            }
            Event::StepFailed { step, error } => {
                let state = self.step(*step, &[StepStatus::Running, StepStatus::Pending])?;
                state.status = StepStatus::Failed;
                state.started_at = state.started_at.or(Some(at));
                state.finished_at = Some(at);
                state.error = Some(error.clone());
                self.failures.push((*step, error.clone()));
            }
            Event::StepUnsure { step, error } => {
                let title = self
                    .plan
                    .step(*step)
                    .map(|s| s.title.clone())
                    .unwrap_or_default();
                let state = self.step(*step, &[StepStatus::Running, StepStatus::Pending])?;
                state.status = StepStatus::Unsure;
                state.finished_at = Some(at);
                state.error = Some(error.clone());
                self.parked = Some(format!("{title}: {}", error.message));
            }
            Event::Paused { .. } => {
                if self.paused {
                    return Err("it is paused".to_owned());
                }
                self.paused = true;
            }
            Event::Resumed { .. } => {
                if !self.paused {
                    return Err("it is not paused".to_owned());
                }
                self.paused = false;
                self.recheck = !self.unwinding;
            }
            Event::StopAsked { kill, .. } => {
                self.stop = Some(if *kill { Stop::Now } else { Stop::AfterRunning });
                self.paused = false;
            }
            Event::RetryAsked { .. } => self.retry(),
            Event::UnwindAsked { .. } => {
                if self.any(StepStatus::Running) {
                    return Err("a step is running".to_owned());
                }
                self.unwinding = true;
                self.parked = None;
                self.stop = None;
                self.failures.clear();
                self.paused = false;
                self.recheck = false;
            }
            Event::UndoStarted { step } => {
                if !self.unwinding && self.giving_back() != Some(*step) {
                    return Err("nobody asked to unwind, and it is not to be given back".to_owned());
                }
                let state = self.step(
                    *step,
                    &[
                        StepStatus::Succeeded,
                        StepStatus::Failed,
                        StepStatus::Unsure,
                        StepStatus::Pending,
                        StepStatus::Undoing,
                    ],
                )?;
                state.status = StepStatus::Undoing;
                state.error = None;
            }
            Event::UndoSucceeded { step, observed } => {
                let state = self.step(*step, &[StepStatus::Undoing])?;
                state.status = StepStatus::Undone;
                state.ours = false;
                finish(state, at, observed);
            }
            Event::UndoFailed { step, error } => {
                let title = self
                    .plan
                    .step(*step)
                    .map(|s| s.title.clone())
                    .unwrap_or_default();
                let state = self.step(*step, &[StepStatus::Undoing])?;
                state.status = StepStatus::UndoFailed;
                state.error = Some(error.clone());
                self.parked = Some(format!(
                    "Undoing \u{201c}{title}\u{201d}: {}",
                    error.message
                ));
            }
            Event::AbandonAsked {
                by,
                comment,
                dead_hosts,
            } => {
                self.abandon = Some(Abandon {
                    by: by.clone(),
                    comment: comment.clone(),
                    dead_hosts: dead_hosts.clone(),
                });
                self.parked = None;
                self.paused = false;
            }
            Event::Abandoned { dead_hosts, .. } => {
                if !self.owed(dead_hosts).is_empty() {
                    return Err("something is still taken away".to_owned());
                }
                self.ended = Some((Ended::Abandoned, at));
            }
            Event::Completed => {
                if self.current_stage().is_some() {
                    return Err("steps are left".to_owned());
                }
                if !self.taken().is_empty() {
                    return Err("something is still taken away".to_owned());
                }
                self.ended = Some((Ended::Completed, at));
            }
            Event::Unwound => {
                if !self.unwinding {
                    return Err("nobody asked to unwind".to_owned());
                }
                self.ended = Some((Ended::Unwound, at));
            }
            // People had time to change what was approved on.
            Event::PanelRestarted if at.0 - self.last_at.0 >= LONG_AWAY_MS => {
                self.recheck = !self.unwinding;
            }
            Event::PanelRestarted => {}
            Event::Parked { reason } => self.parked = Some(reason.clone()),
            Event::Unknown => {
                self.parked = Some("the log holds an event written by a newer panel".to_owned());
            }
        }
        Ok(())
    }

    /// Failed, unsure and stopped steps may be tried again, and what they need is taken away again. Where
    /// giving back failed, only that is tried again: the run then rests as it would have.
    fn retry(&mut self) {
        self.parked = None;
        let giving_back = !self.unwinding && self.any(StepStatus::UndoFailed);
        if !giving_back {
            self.stop = None;
            self.recheck = !self.unwinding;
        }
        for state in &mut self.steps {
            retry(state, giving_back);
        }
        if giving_back {
            return;
        }
        if !self.unwinding {
            let again: Vec<StepIndex> = (0..)
                .take(self.steps.len())
                .filter(|s| self.steps[*s as usize].status == StepStatus::Undone)
                .filter(|s| self.is_needed(*s))
                .collect();
            for step in again {
                pending(&mut self.steps[step as usize]);
            }
        }
        self.failures.clear();
    }

    fn has_gate(&self, stage: StageIndex) -> bool {
        self.plan
            .stages
            .get(stage as usize)
            .is_some_and(|s| s.gate.is_some())
    }

    /// The latest stage with a gate, up to the current one.
    #[must_use]
    pub fn governing_gate(&self) -> Option<StageIndex> {
        let current = self.current_stage()?;
        (0..=current).rev().find(|stage| self.has_gate(*stage))
    }

    /// True if evidence about `subject` still matters for `stage`: none of its steps there or later has
    /// been attempted. What the run itself changed is no news.
    #[must_use]
    pub fn untouched(&self, subject: &str, stage: StageIndex) -> bool {
        !self.plan.steps().any(|(index, at, step)| {
            at >= stage && step.target == subject && self.steps[index as usize].attempt > 0
        })
    }

    fn open_gate(&mut self, stage: StageIndex) -> Result<&mut StageState, String> {
        if self.current_stage() != Some(stage) {
            return Err(format!("stage {} is not the current one", stage + 1));
        }
        if !self.has_gate(stage) {
            return Err(format!("stage {} has no gate", stage + 1));
        }
        Ok(&mut self.stages[stage as usize])
    }

    fn step(&mut self, step: StepIndex, from: &[StepStatus]) -> Result<&mut StepState, String> {
        let state = self
            .steps
            .get_mut(step as usize)
            .ok_or_else(|| format!("there is no step {}", step + 1))?;
        if !from.contains(&state.status) {
            return Err(format!("step {} is {:?}", step + 1, state.status));
        }
        Ok(state)
    }
}

/// What a retry makes of a step.
fn retry(state: &mut StepState, giving_back: bool) {
    match state.status {
        StepStatus::UndoFailed => state.status = StepStatus::Undoing,
        StepStatus::Failed | StepStatus::Unsure if !giving_back => pending(state),
        StepStatus::Failed
        | StepStatus::Unsure
        | StepStatus::Pending
        | StepStatus::Running
        | StepStatus::AlreadySatisfied
        | StepStatus::Succeeded
        | StepStatus::Undoing
        | StepStatus::Undone => {}
    }
}

fn pending(state: &mut StepState) {
    state.status = StepStatus::Pending;
    state.finished_at = None;
    state.observed = None;
}

fn finish(state: &mut StepState, at: Timestamp, observed: &str) {
    state.finished_at = Some(at);
    state.observed = Some(observed.to_owned());
    state.error = None;
}

fn keep(outputs: &mut Outputs, step: StepIndex, made: &BTreeMap<String, crate::step::Output>) {
    for (name, output) in made {
        outputs.insert((step, name.clone()), output.clone());
    }
}

fn decision(
    approved: bool,
    by: &Actor,
    at: Timestamp,
    comment: &str,
    self_approved: bool,
) -> Decision {
    Decision {
        approved,
        actor: by.name.clone(),
        at,
        comment: comment.to_owned(),
        self_approved,
    }
}

/// The stored name of an event.
fn name(event: &Event) -> String {
    serde_json::to_value(event)
        .ok()
        .and_then(|v| v.get("event").and_then(|n| n.as_str()).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}
