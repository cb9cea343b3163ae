//! A workflow of one step that prints what it is told, behind one gate.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use coxswain::planner::{PlanError, Planner};
use coxswain::store::DbError;
use coxswain::wiring::Workflows;
use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::{Gate, Plan, Stage, Step};
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::{
    DrillReport, Fact, FactKind, FieldValue, HostId, Inputs, Report, RunId, StageIndex, Verdict,
    WorkflowInfo,
};
use serde_json::Value;

/// With this text a step runs until it is killed.
pub(crate) const HOLD: &str = "hold";

/// Prints and remembers where it has been.
#[derive(Default)]
pub(crate) struct Note {
    done: Mutex<Vec<RunId>>,
}

#[async_trait]
impl StepKind for Note {
    fn name(&self) -> &'static str {
        "note"
    }

    fn check(&self, _: &Value) -> Result<(), String> {
        Ok(())
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        Ok(if self.done.lock().unwrap().contains(&context.run) {
            Probe::Done {
                observed: "noted".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "not noted yet".to_owned(),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let text: String = context.params()?;
        if text == HOLD {
            std::future::pending::<()>().await;
        }
        if let Some(output) = &context.output {
            let from = output.position().await;
            output.append(from, text.as_bytes()).await.unwrap();
            output.finish().await.unwrap();
        }
        self.done.lock().unwrap().push(context.run);
        Ok(())
    }
}

/// Nothing stands in the way.
pub(crate) struct Always;

#[async_trait]
impl Preflight for Always {
    async fn collect(&self, _: RunId, _: &Plan, _: StageIndex, _: &RunState) -> Vec<Fact> {
        vec![Fact {
            subject: "test".to_owned(),
            name: "Weather".to_owned(),
            value: "fine".to_owned(),
            diff: None,
            kind: FactKind::Equal,
            verdict: Verdict::Pass,
            advice: None,
            next: None,
        }]
    }
}

/// Plans the workflow `note` with the input `text`, on the host of the input `host` if there is one. Reports are the
/// panel's own.
pub(crate) struct Planned(pub(crate) Workflows);

#[async_trait]
impl Planner for Planned {
    fn workflows(&self) -> Vec<WorkflowInfo> {
        vec![WorkflowInfo {
            name: "note".to_owned(),
            title: "Note".to_owned(),
            summary: "Prints a text.".to_owned(),
            help: vec![],
            fields: vec![],
        }]
    }

    async fn late_report(&self, run: RunId, plan: &Plan) -> Result<Option<DrillReport>, DbError> {
        self.0.late_report(run, plan).await
    }

    fn page_of(&self, report: &DrillReport, plan: &Plan) -> Option<Report> {
        self.0.page_of(report, plan)
    }

    async fn plan(&self, workflow: &str, inputs: &Inputs) -> Result<Plan, PlanError> {
        if workflow != "note" {
            return Err(PlanError::UnknownWorkflow(workflow.to_owned()));
        }
        let Some(FieldValue::Text(text)) = inputs.get("text") else {
            return Err(PlanError::Field {
                field: "inputs.text".to_owned(),
                message: "A text is needed.".to_owned(),
            });
        };
        let host = match inputs.get("host") {
            Some(FieldValue::Id(id)) => Some(HostId(*id)),
            Some(_) | None => None,
        };
        let step = Step {
            kind: "note".to_owned(),
            title: "Note it".to_owned(),
            host,
            target: "test".to_owned(),
            params: Value::from(text.as_str()),
            commands: vec!["note".to_owned()],
            undo: None,
            compensation: None,
            restores: Vec::new(),
            irreversible: false,
            interruptible: true,
            ends_at_stop: false,
            deadline_s: 30,
            forecast: None,
        };
        let gate = Gate {
            title: "Note".to_owned(),
            confirm: None,
            preflight: Value::Null,
        };
        Ok(Plan {
            workflow: "note".to_owned(),
            title: "Note something".to_owned(),
            inputs: inputs.clone(),
            cluster: None,
            cluster_name: "test".to_owned(),
            locks: vec!["test:1".to_owned()],
            stages: vec![Stage {
                title: "Note".to_owned(),
                gate: Some(gate),
                steps: vec![step],
            }],
            warnings: vec![],
            outage: None,
            undo_outage: None,
        })
    }
}
