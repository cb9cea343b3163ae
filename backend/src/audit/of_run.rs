//! What a run's event says in the audit trail.

use coxswain_engine::event::{Actor, Event};
use coxswain_wire::{RunId, StepError};

use super::{Draft, Who};

/// The entry that records an event. Every event has one.
#[must_use]
pub fn of_event(run: RunId, event: &Event) -> Draft {
    let stage = |stage: &u32| format!("stage {}", stage + 1);
    let step = |step: &u32| format!("step {}", step + 1);
    let why = |error: &StepError| error.message.clone();
    let (by, action, detail): (Option<&Actor>, &'static str, String) = match event {
        Event::Created { by, plan_sha256 } => {
            (Some(by), "run.created", format!("plan {plan_sha256}"))
        }
        Event::GateOpened {
            stage: s,
            evidence,
            changes,
        } => (
            None,
            "run.gate_opened",
            format!(
                "{}, evidence {}, {} changed",
                stage(s),
                evidence.sha256,
                changes.len()
            ),
        ),
        Event::GateApproved {
            stage: s,
            by,
            evidence_sha256,
            comment,
            self_approved,
        } => {
            let own = if *self_approved {
                ", self-approved"
            } else {
                ""
            };
            (
                Some(by),
                "run.approved",
                format!("{}, evidence {evidence_sha256}{own}: {comment}", stage(s)),
            )
        }
        Event::GateRejected {
            stage: s,
            by,
            comment,
        } => (Some(by), "run.rejected", format!("{}: {comment}", stage(s))),
        Event::RefreshAsked { stage: s, by } => (Some(by), "run.refresh_asked", stage(s)),
        Event::GatePassed { stage: s } => (None, "run.gate_passed", stage(s)),
        Event::LockHeld {
            stage: s,
            resource,
            holder,
        } => (
            None,
            "run.lock_held",
            format!("{}: {resource} is locked by run {holder}", stage(s)),
        ),
        Event::EvidenceHeld { stage: s } => (None, "run.evidence_held", stage(s)),
        Event::StepSatisfied {
            step: s,
            observed,
            outputs: _,
        } => (
            None,
            "run.step_satisfied",
            format!("{}: {observed}", step(s)),
        ),
        Event::StepStarted {
            step: s,
            attempt,
            memo: _,
        } => (
            None,
            "run.step_started",
            format!("{}, attempt {attempt}", step(s)),
        ),
        Event::StepSucceeded {
            step: s,
            observed,
            outputs: _,
        } => (
            None,
            "run.step_succeeded",
            format!("{}: {observed}", step(s)),
        ),
        Event::StepFailed { step: s, error } => (
            None,
            "run.step_failed",
            format!("{}: {}", step(s), why(error)),
        ),
        Event::StepUnsure { step: s, error } => (
            None,
            "run.step_unsure",
            format!("{}: {}", step(s), why(error)),
        ),
        Event::Paused { by } => (Some(by), "run.paused", String::new()),
        Event::Resumed { by } => (Some(by), "run.resumed", String::new()),
        Event::StopAsked { by, kill } => (
            Some(by),
            if *kill {
                "run.kill_asked"
            } else {
                "run.stop_asked"
            },
            String::new(),
        ),
        Event::RetryAsked { by } => (Some(by), "run.retry_asked", String::new()),
        Event::UnwindAsked { by, plan_sha256 } => (
            Some(by),
            "run.unwind_asked",
            format!("undo plan {plan_sha256}"),
        ),
        Event::UndoStarted { step: s } => (None, "run.undo_started", step(s)),
        Event::UndoSucceeded { step: s, observed } => (
            None,
            "run.undo_succeeded",
            format!("{}: {observed}", step(s)),
        ),
        Event::UndoFailed { step: s, error } => (
            None,
            "run.undo_failed",
            format!("{}: {}", step(s), why(error)),
        ),
        Event::AbandonAsked {
            by,
            comment,
            dead_hosts,
        } => (
            Some(by),
            "run.abandon_asked",
            format!("{} hosts declared dead: {comment}", dead_hosts.len()),
        ),
        Event::Abandoned {
            by,
            comment,
            dead_hosts,
        } => (
            Some(by),
            "run.abandoned",
            format!("{} hosts declared dead: {comment}", dead_hosts.len()),
        ),
        Event::Completed => (None, "run.completed", String::new()),
        Event::Unwound => (None, "run.unwound", String::new()),
        Event::PanelRestarted => (None, "run.panel_restarted", String::new()),
        Event::Parked { reason } => (None, "run.parked", reason.clone()),
        Event::Unknown => (None, "run.unknown", String::new()),
    };
    let who = by.map_or_else(Who::engine, |a| Who {
        actor: a.name.clone(),
        address: a.address.clone(),
    });
    Draft {
        who,
        action,
        subject: format!("run {run}"),
        detail,
        run: Some(run),
        event_sha256: None,
    }
}
