//! Runs, as a person steers them by the panel's API: plan read, started by its hash, evidence read, approved by
//! both hashes, followed to its end.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use coxswain_wire::{
    DrillReport, Evidence, Fact, FieldValue, Inputs, NewRun, PlanView, RunCommand, RunId,
    RunStatus, RunSummary, RunView, StageIndex, StepError, StepStatus, UnwindView, Verdict,
};
use tokio::time::{Instant, sleep};

use crate::operator::Operator;
use crate::wait::until;

/// Time preflight may take on a busy machine.
const PREFLIGHT: Duration = Duration::from_secs(120);
/// For how long evidence with something in the way is collected again before that counts: etcd elects a leader, and
/// the panel asks a host that was away only every few seconds.
const MENDED: Duration = Duration::from_secs(60);
/// Between two collections.
const PAUSE: Duration = Duration::from_secs(1);

/// Inputs of a workflow's form.
pub fn inputs<const N: usize>(fields: [(&str, FieldValue); N]) -> Inputs {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A text or choice of a form.
#[must_use]
pub fn text(value: &str) -> FieldValue {
    FieldValue::Text(value.to_owned())
}

/// Several texts of a form.
#[must_use]
pub fn list(values: &[&str]) -> FieldValue {
    FieldValue::List(values.iter().map(|&value| value.to_owned()).collect())
}

impl Operator {
    /// Reads the plan that a workflow would make.
    ///
    /// # Errors
    /// The panel refuses the inputs.
    pub async fn plan(&self, workflow: &str, inputs: Inputs) -> Result<PlanView> {
        let request = NewRun {
            workflow: workflow.to_owned(),
            inputs,
            plan_sha256: None,
        };
        self.api.post("/plans", &request).await
    }

    /// Reads the plan and starts it.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn start(&self, workflow: &str, inputs: Inputs) -> Result<RunId> {
        let plan = self.plan(workflow, inputs.clone()).await?;
        let request = NewRun {
            workflow: workflow.to_owned(),
            inputs,
            plan_sha256: Some(plan.sha256),
        };
        let started: RunSummary = self.api.post("/runs", &request).await?;
        Ok(started.id)
    }

    /// The run as it is now.
    ///
    /// # Errors
    /// The panel does not answer.
    pub async fn run(&self, run: RunId) -> Result<RunView> {
        self.api.get(&format!("/runs/{run}")).await
    }

    /// The report of a drill.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn report(&self, run: RunId) -> Result<DrillReport> {
        self.api.get(&format!("/runs/{run}/report")).await
    }

    /// All output of a run's steps.
    ///
    /// # Errors
    /// The panel does not answer.
    pub async fn output(&self, run: RunId) -> Result<String> {
        self.api.text(&format!("/runs/{run}/output")).await
    }

    /// Gives a command.
    ///
    /// # Errors
    /// The panel refuses.
    pub async fn command(&self, run: RunId, command: &RunCommand) -> Result<RunView> {
        self.api
            .post(&format!("/runs/{run}/commands"), command)
            .await
    }

    /// Waits at the gate until evidence is there; gives both.
    ///
    /// # Errors
    /// The run does not get to a gate.
    pub async fn evidence(&self, run: RunId) -> Result<(StageIndex, Evidence)> {
        let view = self.reach(run, RunStatus::Waiting, PREFLIGHT).await?;
        let stage = view.open_gate.context("no gate is open")?;
        let evidence = view.stages[stage as usize].evidence.clone();
        Ok((stage, evidence.context("no evidence")?))
    }

    /// Collects evidence until what stands in the way is what the caller expects, as a person does who looks again a
    /// moment later.
    ///
    /// # Errors
    /// The run does not get to a gate, or something else stands in the way to the end.
    pub async fn in_the_way(&self, run: RunId, expected: impl Fn(&[&Fact]) -> bool) -> Result<()> {
        let mut evidence = self.evidence(run).await?.1;
        let until = Instant::now() + MENDED;
        loop {
            let seen = failing(&evidence);
            if expected(&seen) {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "run {run}; in the way: {seen:?}; {}",
                words(&self.run(run).await?)
            );
            sleep(PAUSE).await;
            self.collect_again(run, &evidence).await?;
            evidence = self.evidence(run).await?.1;
        }
    }

    /// Approves once nothing stands in the way.
    ///
    /// # Errors
    /// As [`Operator::in_the_way`] and [`Operator::approve_as_it_is`].
    pub async fn approve(&self, run: RunId) -> Result<()> {
        self.in_the_way(run, |seen| seen.is_empty()).await?;
        self.approve_as_it_is(run).await
    }

    /// Reads the evidence at the open gate and approves as the one who started the run: by both hashes, the
    /// name typed that the gate asks for, or else the cluster's.
    ///
    /// # Errors
    /// The panel refuses, for example because something stands in the way.
    pub async fn approve_as_it_is(&self, run: RunId) -> Result<()> {
        let (stage, evidence) = self.evidence(run).await?;
        let plan = self.run(run).await?.plan;
        let gate = plan.stages[stage as usize].gate.as_ref();
        let asked = gate.and_then(|gate| gate.confirm.clone());
        let approval = RunCommand::Approve {
            plan_sha256: plan.sha256,
            evidence_sha256: evidence.sha256,
            comment: "Read plan and evidence.".to_owned(),
            confirm: Some(asked.unwrap_or(plan.cluster_name)),
        };
        self.command(run, &approval).await.map(drop)
    }

    /// Starts, approves the only gate, and waits for the end; every step must have been observed done.
    ///
    /// # Errors
    /// Any of it goes wrong.
    pub async fn complete(
        &self,
        workflow: &str,
        inputs: Inputs,
        patience: Duration,
    ) -> Result<RunView> {
        let run = self.start(workflow, inputs).await?;
        self.approve(run).await?;
        self.completed(run, patience).await
    }

    async fn collect_again(&self, run: RunId, before: &Evidence) -> Result<()> {
        self.command(run, &RunCommand::Refresh).await?;
        until("evidence is collected again", PREFLIGHT, async || {
            let (_, now) = self.evidence(run).await?;
            Ok((now.at != before.at).then_some(()))
        })
        .await
    }

    /// Waits for the end; every step must have been observed done.
    ///
    /// # Errors
    /// The run ends otherwise, or not in time.
    pub async fn completed(&self, run: RunId, patience: Duration) -> Result<RunView> {
        let view = self.reach(run, RunStatus::Completed, patience).await?;
        for (planned, step) in steps(&view).zip(&view.steps) {
            let good = matches!(
                step.status,
                StepStatus::Succeeded | StepStatus::AlreadySatisfied
            );
            ensure!(good, "{}: {step:?}", planned.title);
        }
        Ok(view)
    }

    /// Reads what unwinding would do, has it done, and waits for its end.
    ///
    /// # Errors
    /// The panel refuses, or the run ends otherwise.
    pub async fn unwind(&self, run: RunId, patience: Duration) -> Result<RunView> {
        let shown: UnwindView = self.api.get(&format!("/runs/{run}/unwind")).await?;
        let command = RunCommand::Unwind {
            plan_sha256: shown.sha256,
            confirm: shown.confirm,
        };
        self.command(run, &command).await?;
        self.reach(run, RunStatus::Unwound, patience).await
    }

    /// Waits for a status; one from which the run does not go on by itself ends the wait at once.
    ///
    /// # Errors
    /// Another status, with the run's own words, or none in time.
    pub async fn reach(
        &self,
        run: RunId,
        wanted: RunStatus,
        patience: Duration,
    ) -> Result<RunView> {
        let view = until(&format!("run {run} is {wanted:?}"), patience, async || {
            let view = self.run(run).await?;
            let now = view.summary.status;
            if now == wanted || rests(now) {
                return Ok(Some(view));
            }
            bail!(
                "it is {now:?}, {} of {} steps done",
                view.summary.steps_done,
                view.summary.steps_total
            )
        })
        .await?;
        ensure!(
            view.summary.status == wanted,
            "run {run} is {:?} instead of {wanted:?}: {}",
            view.summary.status,
            words(&view)
        );
        Ok(view)
    }
}

/// Facts that stand in the way of an approval.
#[must_use]
pub fn failing(evidence: &Evidence) -> Vec<&Fact> {
    evidence
        .facts
        .iter()
        .filter(|fact| fact.verdict == Verdict::Fail)
        .collect()
}

/// Whether these and no other facts stand in the way, in this order, by their names.
pub fn named<'a>(names: &'a [&str]) -> impl Fn(&[&Fact]) -> bool + 'a {
    move |seen| {
        seen.iter()
            .map(|fact| fact.name.as_str())
            .eq(names.iter().copied())
    }
}

/// Why the one failed step of a run failed.
///
/// # Errors
/// No step failed, or several did.
pub fn failure(view: &RunView) -> Result<(&str, &StepError)> {
    let mut failed = steps(view)
        .zip(&view.steps)
        .filter_map(|(planned, step)| Some((planned.kind.as_str(), step.error.as_ref()?)));
    match (failed.next(), failed.next()) {
        (Some(one), None) => Ok(one),
        _ => bail!("not one failed step: {}", words(view)),
    }
}

/// The steps of a run's plan, in order.
pub fn steps(view: &RunView) -> impl Iterator<Item = &coxswain_wire::StepView> {
    view.plan.stages.iter().flat_map(|stage| &stage.steps)
}

/// A person has to do something, or it is over.
fn rests(status: RunStatus) -> bool {
    match status {
        RunStatus::Preflight | RunStatus::Running | RunStatus::Unwinding => false,
        RunStatus::Waiting
        | RunStatus::Paused
        | RunStatus::Stopped
        | RunStatus::Failed
        | RunStatus::Parked
        | RunStatus::Completed
        | RunStatus::Unwound
        | RunStatus::Rejected
        | RunStatus::Abandoned => true,
    }
}

/// Notice and errors of a run, for the message of a failed test.
fn words(view: &RunView) -> String {
    let notice = view.notice.as_ref().map(|notice| format!("{notice:?}"));
    let errors = steps(view).zip(&view.steps).filter_map(|(planned, step)| {
        Some(format!("{}: {:?}", planned.title, step.error.as_ref()?))
    });
    let changes = view.stages.iter().flat_map(|stage| &stage.changes);
    notice
        .into_iter()
        .chain(errors)
        .chain(changes.map(|change| format!("changed since the approval: {change}")))
        .collect::<Vec<_>>()
        .join("\n")
}
