//! Step kind `report_drill`: the report of a drill, made of what was seen and kept for comparison with later ones.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{DrillReport, DrillVerdict, FieldValue, NextRun, Report, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drill::Watched;
use super::drill::points::STUCK;
use super::drill::record::Record;
use super::drill::report::{Subject, report};
use super::drill::watch::load;
use super::{Services, check, failure};
use crate::drill_tables::tables;
use crate::drill_timeline::timeline;

/// Stored name.
pub const KIND: &str = "report_drill";
/// Name of the output: the report for the run's page.
pub const REPORT: &str = "report";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Name of the cluster.
    pub cluster: String,
    /// Whom the fault was done to, and what.
    pub watched: Watched,
    /// Seconds that were to be observed.
    pub observe_s: u32,
    /// Seconds that the API may be away.
    pub downtime_s: u32,
}

/// The step kind.
pub struct ReportDrill(pub Services);

impl Params {
    /// Those of a drill's plan; none if it is another plan.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let mut steps = plan.stages.iter().flat_map(|stage| &stage.steps);
        let step = steps.find(|step| step.kind == KIND)?;
        serde_json::from_value(step.params.clone()).ok()
    }
}

/// The report of a drill whose run ended, or rests, before one was made: of what had been seen by then. None if nobody
/// has looked: then there may have been no fault either.
///
/// # Errors
/// What was seen does not decode.
pub(crate) fn of_what_was_seen(
    record: Value,
    run: RunId,
    params: &Params,
    earlier: &[DrillReport],
) -> Result<Option<DrillReport>, serde_json::Error> {
    let mut record: Record = serde_json::from_value(record)?;
    let Some(last) = record.looked.spans().last().map(|span| span.until) else {
        return Ok(None);
    };
    let why = "the run did not get to the end of the observation".to_owned();
    record.end(last, Some(why));
    Ok(Some(made(&record, run, params, earlier)))
}

fn made(record: &Record, run: RunId, params: &Params, earlier: &[DrillReport]) -> DrillReport {
    let watched = &params.watched;
    report(
        record,
        &Subject {
            run,
            cluster: &params.cluster,
            victim: &watched.victim.name,
            fault: watched.fault.name(),
            planned_s: params.observe_s,
            downtime_s: params.downtime_s,
            ways: &watched.ways(),
            earlier,
        },
    )
}

fn in_words(report: &DrillReport) -> String {
    let mut words = vec![match report.score.points {
        Some(points) => format!("score {points} of 100"),
        None => "nothing was observed that counts".to_owned(),
    }];
    if let Some(why) = &report.aborted {
        words.push(format!("ended early: {why}"));
    }
    if !report.stuck.is_empty() {
        words.push(format!(
            "{} pods were stuck in Terminating on {}",
            report.stuck.len(),
            report.victim
        ));
    }
    words.join("; ")
}

/// A report for the page of its run.
pub(crate) fn page(report: &DrillReport, watched: &Watched) -> Report {
    Report {
        tables: tables(report),
        timelines: vec![timeline(report)],
        next: next(report, watched),
    }
}

fn next(report: &DrillReport, watched: &Watched) -> Vec<NextRun> {
    if report.stuck.is_empty() {
        return Vec::new();
    }
    let inputs = [
        ("cluster", FieldValue::Id(watched.cluster.0)),
        ("node", FieldValue::Id(watched.victim.host.0)),
    ];
    let left = report.points.iter().find(|point| point.name == STUCK);
    let why = match left.map(|point| point.verdict) {
        Some(DrillVerdict::AsExpected) => {
            "Not needed now: they went when the server came back. When a machine is off for good, this deletes its pods in Terminating by force."
        }
        Some(DrillVerdict::Worse) => {
            "Only if the machine is off for good: its pods in Terminating are then deleted by force."
        }
        Some(DrillVerdict::NotObserved) | None => {
            "Only if the machine is off for good: its pods in Terminating are then deleted by force. If this run still waits for a decision, abandon it first and tick the machine as dead: until then the cluster is locked."
        }
    };
    vec![NextRun {
        title: format!("Free the stuck pods of {}", report.victim),
        why: why.to_owned(),
        workflow: "stuck_pods".to_owned(),
        inputs: inputs.map(|(name, id)| (name.to_owned(), id)).into(),
    }]
}

#[async_trait]
impl StepKind for ReportDrill {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let kept = self.0.drills.report(context.run).await;
        // One that is there before the first attempt is of an earlier fault of this run.
        let kept = kept
            .map_err(failure::service)?
            .filter(|_| context.attempt > 0);
        Ok(match kept {
            None => Probe::NotDone {
                why: "there is no report yet".to_owned(),
            },
            Some(report) => {
                let watched = context.params::<Params>()?.watched;
                let page = page(&report, &watched);
                Probe::Done {
                    observed: in_words(&report),
                    outputs: BTreeMap::from([(REPORT.to_owned(), Output::Report(page))]),
                }
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let watched = &params.watched;
        let Some(record) = load(&self.0, context.run).await? else {
            return Err(StepFailure::fatal("the drill has seen nothing"));
        };
        let fault = watched.fault.name();
        let book = &self.0.drills;
        let earlier = book
            .earlier(watched.cluster, fault, context.run)
            .await
            .map_err(failure::service)?;
        let made = made(&record, context.run, &params, &earlier);
        book.keep_report(&made).await.map_err(failure::service)
    }
}
