//! Workflows, one file each: a form, and a pure function from inputs and inventory to a plan; and the
//! evidence of its gates. Adding one is a file and its two lines here.

mod bootstrap;
mod certificate_rotation;
mod command;
mod draft;
mod facts;
mod failover_drill;
mod fields;
mod form;
mod import;
mod install_form;
mod join;
mod load_balancer;
mod move_token;
mod nodes;
mod remove_node;
mod replace_node;
mod san_change;
mod snapshot;
mod snapshot_restore;
mod step_list;
mod stuck_pods;
mod token_rotation;
mod uninstall;
mod upgrade;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_wire::{
    Cluster, ClusterId, Fact, FactKind, Host, Inputs, RunId, SecretId, Snapshot, StageIndex,
    Verdict, WorkflowInfo,
};

use crate::steps::Services;

/// What the panel knows of clusters and hosts at the moment of planning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// All clusters.
    pub clusters: Vec<Cluster>,
    /// All hosts.
    pub hosts: Vec<Host>,
    /// All snapshots that the panel has taken, newest first.
    pub snapshots: Vec<Snapshot>,
    /// The server token that each cluster has now, in the vault.
    pub tokens: BTreeMap<ClusterId, SecretId>,
}

/// An input that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Name of the input.
    pub field: String,
    /// What is wrong with it, for the person who gave it.
    pub message: String,
}

/// What collecting evidence may use.
pub struct PreflightContext {
    /// The run; its own jobs on the hosts are no obstacle.
    pub run: RunId,
    /// Machines, vault and book. Reads only.
    pub services: Services,
}

/// A workflow.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Stored name.
    fn name(&self) -> &'static str;

    /// Its description and form.
    fn info(&self) -> WorkflowInfo;

    /// What a run would do. Pure: the same inputs and inventory give the same plan.
    ///
    /// # Errors
    /// Every input that is refused: unknown, missing, of another type, or bad.
    fn plan(&self, inputs: &Inputs, inventory: &Inventory) -> Result<Plan, Vec<FieldError>>;

    /// The facts for the gate of `stage`. Reads only; what cannot be read is a fact that fails.
    async fn preflight(
        &self,
        context: &PreflightContext,
        plan: &Plan,
        stage: StageIndex,
        state: &RunState,
    ) -> Vec<Fact>;
}

/// All workflows, in the order to show.
#[must_use]
pub fn all() -> Vec<Arc<dyn Workflow>> {
    vec![
        Arc::new(bootstrap::Bootstrap),
        Arc::new(import::Import),
        Arc::new(join::Join),
        Arc::new(load_balancer::LoadBalancer),
        Arc::new(snapshot::TakeSnapshot),
        Arc::new(remove_node::RemoveNode),
        Arc::new(replace_node::ReplaceNode),
        Arc::new(snapshot_restore::SnapshotRestore),
        Arc::new(san_change::SanChangeRun),
        Arc::new(certificate_rotation::CertificateRotation),
        Arc::new(upgrade::Upgrade),
        Arc::new(stuck_pods::StuckPods),
        Arc::new(token_rotation::TokenRotation),
        Arc::new(move_token::MoveTokens),
        Arc::new(failover_drill::FailoverDrill),
        Arc::new(uninstall::Uninstall),
        Arc::new(command::CommandWorkflow),
    ]
}

/// What people read of them, in the order to show.
#[must_use]
pub fn described() -> Vec<WorkflowInfo> {
    let describe = |workflow: &Arc<dyn Workflow>| {
        let mut info = workflow.info();
        let oldest = install_form::oldest_supported();
        info.help.push(format!(
            "{oldest}: import, installation and changes of a cluster refuse an older one."
        ));
        info
    };
    all().iter().map(describe).collect()
}

/// The workflow of that name.
#[must_use]
pub fn find(name: &str) -> Option<Arc<dyn Workflow>> {
    all().into_iter().find(|workflow| workflow.name() == name)
}

/// Collects the evidence of every workflow's gates, for the engine.
pub struct Preflights {
    services: Services,
}

impl Preflights {
    /// Over these services.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self { services }
    }
}

#[async_trait]
impl Preflight for Preflights {
    async fn collect(
        &self,
        run: RunId,
        plan: &Plan,
        stage: StageIndex,
        state: &RunState,
    ) -> Vec<Fact> {
        let Some(workflow) = find(&plan.workflow) else {
            return vec![Fact {
                subject: plan.cluster_name.clone(),
                name: "Workflow".to_owned(),
                value: format!("this panel does not know the workflow {}", plan.workflow),
                diff: None,
                kind: FactKind::Equal,
                verdict: Verdict::Fail,
                advice: Some(
                    "Go on with the version of the panel that made this run, or abandon it."
                        .to_owned(),
                ),
                next: None,
            }];
        };
        let context = PreflightContext {
            run,
            services: self.services.clone(),
        };
        let mut facts = facts::machine::facts(&*self.services.book, plan).await;
        facts.extend(workflow.preflight(&context, plan, stage, state).await);
        facts
    }
}
