//! A run as people see it.

use std::sync::Arc;

use coxswain_wire::{
    GateView, HistoryEntry, Notice, PlanView, Report, RunId, RunStatus, RunSummary, RunView,
    StageIndex, StageProgress, StageView, StepIndex, StepProgress, StepView,
};

use crate::decide::{Activity, Next, decide};
use crate::event::{Actor, Event, Recorded};
use crate::handle::allowed;
use crate::plan::{Outputs, Plan, Step};
use crate::state::RunState;
use crate::step::Output;
use crate::store::StoredRun;

/// A plan as people read it.
#[must_use]
pub fn plan_view(plan: &Plan) -> PlanView {
    let mut index = 0;
    let mut stages = Vec::new();
    for stage in &plan.stages {
        let mut steps = Vec::new();
        for step in &stage.steps {
            steps.push(StepView {
                index,
                kind: step.kind.clone(),
                title: step.title.clone(),
                host: step.host,
                target: step.target.clone(),
                commands: step.commands.clone(),
                undo: step.undo.clone(),
                compensation: step.compensation.clone(),
                irreversible: step.irreversible,
                deadline_s: step.deadline_s,
                forecast: step.forecast.clone(),
            });
            index += 1;
        }
        stages.push(StageView {
            title: stage.title.clone(),
            gate: None,
            steps,
        });
    }
    for (at, stage) in plan.stages.iter().enumerate() {
        let Some(gate) = &stage.gate else { continue };
        // One gate covers the stages up to the next one.
        let until = (at + 1..plan.stages.len())
            .find(|s| plan.stages[*s].gate.is_some())
            .unwrap_or(plan.stages.len());
        let irreversible = plan.stages[at..until]
            .iter()
            .flat_map(|s| &s.steps)
            .filter(|s| s.irreversible)
            .map(|s| format!("{} ({})", s.title, s.target))
            .collect();
        stages[at].gate = Some(GateView {
            title: gate.title.clone(),
            irreversible,
            confirm: plan.confirmation(gate).cloned(),
        });
    }
    PlanView {
        workflow: plan.workflow.clone(),
        title: plan.title.clone(),
        cluster: plan.cluster,
        cluster_name: plan.cluster_name.clone(),
        sha256: plan.sha256(),
        stages,
        warnings: plan.warnings.clone(),
        outage: plan.outage.clone(),
        undo_outage: plan.undo_outage.clone(),
    }
}

/// A run in full.
#[must_use]
pub fn view(run: RunId, stored: StoredRun) -> RunView {
    let plan = Arc::new(stored.plan);
    let (state, outputs) = RunState::replay(plan.clone(), &stored.log);
    let status = state.status();
    RunView {
        summary: RunSummary {
            id: run,
            workflow: plan.workflow.clone(),
            title: plan.title.clone(),
            cluster: plan.cluster,
            status,
            created_by: state
                .created_by
                .as_ref()
                .map(|a| a.name.clone())
                .unwrap_or_default(),
            created_at: state.created_at,
            finished_at: state.ended.map(|(_, at)| at),
            steps_done: state.steps_done(),
            steps_total: u32::try_from(state.steps.len()).unwrap_or(u32::MAX),
        },
        seq: state.next_seq.saturating_sub(1),
        plan: plan_view(&plan),
        stages: state
            .stages
            .iter()
            .map(|s| StageProgress {
                evidence: s.evidence.clone(),
                changes: s.changes.clone(),
                decision: s.decision.clone(),
            })
            .collect(),
        steps: state
            .steps
            .iter()
            .zip(0..)
            .map(|(s, index)| {
                let Report {
                    tables,
                    timelines,
                    next,
                } = report(&outputs, index);
                StepProgress {
                    status: s.status,
                    attempt: s.attempt,
                    started_at: s.started_at,
                    finished_at: s.finished_at,
                    observed: s.observed.clone(),
                    report: tables,
                    timelines,
                    next,
                    error: s.error.clone(),
                }
            })
            .collect(),
        open_gate: (status == RunStatus::Waiting)
            .then(|| state.current_stage())
            .flatten(),
        collecting: collecting(&state),
        notice: notice(&state),
        taken: state.taken(),
        stopping: state.stop.is_some() && status == RunStatus::Running,
        commands: allowed(&state),
        history: stored.log.iter().map(|r| entry(&plan, r)).collect(),
    }
}

fn collecting(state: &RunState) -> Option<StageIndex> {
    let Next::Work(wanted) = decide(state) else {
        return None;
    };
    wanted.into_iter().find_map(|activity| match activity {
        Activity::OpenGate(stage) | Activity::PassGate(stage) | Activity::Recheck(stage) => {
            Some(stage)
        }
        Activity::Drive(_) | Activity::Undo(_) => None,
    })
}

/// What the step tells people.
fn report(outputs: &Outputs, step: StepIndex) -> Report {
    let mut all = Report::default();
    for (_, output) in outputs.iter().filter(|((from, _), _)| *from == step) {
        match output {
            Output::Report(report) => {
                let Report {
                    tables,
                    timelines,
                    next,
                } = report.clone();
                all.tables.extend(tables);
                all.timelines.extend(timelines);
                all.next.extend(next);
            }
            Output::Value { .. } | Output::Secret { .. } => {}
        }
    }
    all
}

fn notice(state: &RunState) -> Option<Notice> {
    match state.status() {
        RunStatus::Parked => state.parked.as_ref().map(|reason| {
            let mut advice = "The panel cannot tell what is safe. Look at the target, then retry, unwind or abandon.".to_owned();
            if let Some(held) = held(state) {
                advice.push_str(&format!(" Until then what the run has taken away stays so: {held}."));
            }
            Notice {
                message: reason.clone(),
                advice: Some(advice),
            }
        }),
        RunStatus::Paused => held(state).map(|held| Notice {
            message: format!("While the run is paused, what it has taken away stays so: {held}."),
            advice: Some(
                "It is given back when the run goes on, or when it is stopped.".to_owned(),
            ),
        }),
        RunStatus::Failed => state.failures.first().and_then(|(index, error)| {
            let step = state.plan.step(*index)?;
            Some(Notice {
                message: format!("{} on {}: {}", step.title, step.target, error.message),
                advice: error.advice.clone(),
            })
        }),
        RunStatus::Waiting => {
            let stage = state.current_stage()?;
            let message = state.stages[stage as usize].refused.clone()?;
            Some(Notice { message, advice: None })
        }
        RunStatus::Preflight
        | RunStatus::Running
        | RunStatus::Stopped
        | RunStatus::Unwinding
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned => None,
    }
}

/// What a run that stands still keeps taken away, in words.
fn held(state: &RunState) -> Option<String> {
    let taken = state.taken();
    let steps = taken.iter().filter_map(|index| state.plan.step(*index));
    let words: Vec<String> = steps
        .map(|step| format!("\u{201c}{}\u{201d} on {}", step.title, step.target))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn entry(plan: &Plan, recorded: &Recorded) -> HistoryEntry {
    let (actor, text) = describe(plan, &recorded.event);
    HistoryEntry {
        seq: recorded.seq,
        at: recorded.at,
        actor: actor.map(|a| a.name.clone()),
        text,
    }
}

/// Who did it, and an event in words; for history and audit.
#[must_use]
pub fn describe<'a>(plan: &Plan, event: &'a Event) -> (Option<&'a Actor>, String) {
    let step = |index: &u32| {
        plan.step(*index).map_or_else(
            || format!("step {}", index + 1),
            |s| {
                format!(
                    "step {} \u{201c}{}\u{201d} on {}",
                    index + 1,
                    s.title,
                    s.target
                )
            },
        )
    };
    let undo = |index: &u32| {
        let compensation = plan.step(*index).and_then(|s| s.compensation.as_ref());
        compensation.map_or_else(
            || format!("Undo of {}", step(index)),
            |words| format!("Giving back what {} took away ({words})", step(index)),
        )
    };
    let gate = |stage: &u32| {
        let title = plan
            .stages
            .get(*stage as usize)
            .and_then(|s| s.gate.as_ref())
            .map(|g| g.title.as_str());
        format!("\u{201c}{}\u{201d}", title.unwrap_or("gate"))
    };
    match event {
        Event::Created { by, plan_sha256 } => (
            Some(by),
            format!("started the run; plan {}", &short(plan_sha256)),
        ),
        Event::GateOpened {
            stage,
            evidence,
            changes,
        } if changes.is_empty() => (
            None,
            format!(
                "Gate {} opened with evidence {}",
                gate(stage),
                short(&evidence.sha256)
            ),
        ),
        Event::GateOpened { stage, changes, .. } => (
            None,
            format!(
                "Gate {} reopened, the evidence changed: {}",
                gate(stage),
                changes.join("; ")
            ),
        ),
        Event::GateApproved {
            stage,
            by,
            comment,
            self_approved,
            evidence_sha256,
        } => {
            let own = if *self_approved {
                " (self-approved)"
            } else {
                ""
            };
            (
                Some(by),
                format!(
                    "approved {}{own}, evidence {}{}",
                    gate(stage),
                    short(evidence_sha256),
                    quoted(comment)
                ),
            )
        }
        Event::GateRejected { stage, by, comment } => (
            Some(by),
            format!("rejected {}{}", gate(stage), quoted(comment)),
        ),
        Event::RefreshAsked { stage, by } => (
            Some(by),
            format!("asked for fresh evidence for {}", gate(stage)),
        ),
        Event::GatePassed { stage } => (
            None,
            format!("Gate {} passed: the evidence still held", gate(stage)),
        ),
        Event::LockHeld {
            resource, holder, ..
        } => (None, format!("{resource} is locked by run {holder}")),
        Event::EvidenceHeld { .. } => (None, "The evidence for what is left still held".to_owned()),
        // A look changes nothing: there is nothing that could have been so before.
        Event::StepSatisfied {
            step: s, observed, ..
        } if plan.step(*s).is_some_and(Step::is_look) => {
            (None, format!("{}: {observed}", cap(&step(s))))
        }
        Event::StepSatisfied {
            step: s, observed, ..
        } => (
            None,
            format!("{} was already satisfied: {observed}", cap(&step(s))),
        ),
        Event::StepStarted {
            step: s, attempt, ..
        } => (
            None,
            format!("{} started, attempt {attempt}", cap(&step(s))),
        ),
        Event::StepSucceeded {
            step: s, observed, ..
        } => (None, format!("{} succeeded: {observed}", cap(&step(s)))),
        Event::StepFailed { step: s, error } => {
            (None, format!("{} failed: {}", cap(&step(s)), error.message))
        }
        Event::StepUnsure { step: s, error } => (
            None,
            format!("{} is unsure: {}", cap(&step(s)), error.message),
        ),
        Event::Paused { by } => (Some(by), "paused the run".to_owned()),
        Event::Resumed { by } => (Some(by), "resumed the run".to_owned()),
        Event::StopAsked { by, kill: false } => {
            (Some(by), "asked to stop after the running steps".to_owned())
        }
        Event::StopAsked { by, kill: true } => {
            (Some(by), "asked to end the running steps now".to_owned())
        }
        Event::RetryAsked { by } => (Some(by), "asked to go on".to_owned()),
        Event::UnwindAsked { by, .. } => (Some(by), "asked to undo what was done".to_owned()),
        Event::UndoStarted { step: s } => (None, format!("{} started", undo(s))),
        Event::UndoSucceeded { step: s, observed } => {
            (None, format!("{} succeeded: {observed}", undo(s)))
        }
        Event::UndoFailed { step: s, error } => {
            (None, format!("{} failed: {}", undo(s), error.message))
        }
        Event::AbandonAsked { by, comment, .. } => (
            Some(by),
            format!(
                "asked to abandon the run once it has given back what it took away{}",
                quoted(comment)
            ),
        ),
        Event::Abandoned { by, comment, .. } => {
            (Some(by), format!("abandoned the run{}", quoted(comment)))
        }
        Event::Completed => (None, "Everything was observed done".to_owned()),
        Event::Unwound => (None, "Undone as far as the plan allows".to_owned()),
        Event::PanelRestarted => (
            None,
            "The panel was started again and took up what was under way".to_owned(),
        ),
        Event::Parked { reason } => (None, format!("Parked: {reason}")),
        Event::Unknown => (None, "An event written by a newer panel".to_owned()),
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn quoted(comment: &str) -> String {
    if comment.is_empty() {
        String::new()
    } else {
        format!(": \u{201c}{comment}\u{201d}")
    }
}

fn cap(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|c| c.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}
