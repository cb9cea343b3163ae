//! Step kind `report_drill`: the report of a drill, made of what was seen and kept for comparison with later ones.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{DrillReport, FieldValue, NextRun, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drill::Watched;
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

fn next(report: &DrillReport, watched: &Watched) -> Vec<NextRun> {
    if report.stuck.is_empty() {
        return Vec::new();
    }
    let inputs = [
        ("cluster", FieldValue::Id(watched.cluster.0)),
        ("node", FieldValue::Id(watched.victim.host.0)),
    ];
    vec![NextRun {
        title: format!("Free the stuck pods of {}", report.victim),
        why: "Only if the machine is off for good: its pods in Terminating are then deleted by force."
            .to_owned(),
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
                let shown = Report {
                    tables: tables(&report),
                    timelines: vec![timeline(&report)],
                    next: next(&report, &watched),
                };
                Probe::Done {
                    observed: in_words(&report),
                    outputs: BTreeMap::from([(REPORT.to_owned(), Output::Report(shown))]),
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
        let made = report(
            &record,
            &Subject {
                run: context.run,
                cluster: &params.cluster,
                victim: &watched.victim.name,
                fault,
                planned_s: params.observe_s,
                downtime_s: params.downtime_s,
                ways: &watched.ways(),
                earlier: &earlier,
            },
        );
        book.keep_report(&made).await.map_err(failure::service)
    }
}
