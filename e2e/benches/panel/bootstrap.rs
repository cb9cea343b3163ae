//! A cluster to watch: bootstrapped by the panel, through its API.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use coxswain_e2e::lab::Lab;
use coxswain_e2e::wait::until;
use coxswain_wire::{
    Cluster, FieldValue, Inputs, Member, MemberRole, NewCluster, NewRun, PlanView, RunCommand,
    RunId, RunStatus, RunSummary, RunView,
};

use super::api::Api;
use super::enrol::Hosts;
use super::{BALANCER, SERVERS};

const CLUSTER: &str = "bench";
/// For the preflight, and for everything after the gate.
const PREFLIGHT: Duration = Duration::from_secs(180);
const INSTALLED: Duration = Duration::from_secs(900);

/// Makes the cluster, approves its bootstrap and waits for the end.
pub(crate) async fn cluster(api: &Api, lab: &Lab, hosts: &Hosts) -> Result<()> {
    let member = |name: &str, role| -> Result<Member> {
        let host = *hosts.get(name).context("a host that was not enrolled")?;
        Ok(Member { host, role })
    };
    let mut members = SERVERS
        .iter()
        .map(|name| member(name, MemberRole::Server))
        .collect::<Result<Vec<_>>>()?;
    members.push(member(BALANCER, MemberRole::LoadBalancer)?);
    let new = NewCluster {
        name: CLUSTER.to_owned(),
        endpoint: None,
        members,
    };
    let cluster: Cluster = api.post("/clusters", &new).await?;
    let inputs = Inputs::from([
        ("cluster".to_owned(), FieldValue::Id(cluster.id.0)),
        ("source".to_owned(), FieldValue::Text("online".to_owned())),
        (
            "installer_url".to_owned(),
            FieldValue::Text(lab.installer_url.clone()),
        ),
    ]);
    let mut run = NewRun {
        workflow: "bootstrap".to_owned(),
        inputs,
        plan_sha256: None,
    };
    let plan: PlanView = api.post("/plans", &run).await?;
    run.plan_sha256 = Some(plan.sha256.clone());
    let RunSummary { id, .. } = api.post("/runs", &run).await?;
    let view = reach(api, id, RunStatus::Waiting, PREFLIGHT).await?;
    let gate = view.open_gate.context("no gate is open")?;
    let evidence = view.stages[gate as usize].evidence.as_ref();
    let approve = RunCommand::Approve {
        plan_sha256: plan.sha256,
        evidence_sha256: evidence.context("no evidence")?.sha256.clone(),
        comment: "For a benchmark.".to_owned(),
        confirm: Some(CLUSTER.to_owned()),
    };
    let _: RunView = api.post(&format!("/runs/{id}/commands"), &approve).await?;
    reach(api, id, RunStatus::Completed, INSTALLED).await?;
    Ok(())
}

async fn reach(api: &Api, run: RunId, wanted: RunStatus, patience: Duration) -> Result<RunView> {
    let found = until(
        &format!("the bootstrap is {wanted:?}"),
        patience,
        async || {
            let view: RunView = api.get(&format!("/runs/{run}")).await?;
            let status = view.summary.status;
            let stuck =
                matches!(status, RunStatus::Failed | RunStatus::Parked) || status.is_final();
            Ok((status == wanted || stuck).then_some(view))
        },
    )
    .await?;
    if found.summary.status != wanted {
        bail!(
            "the bootstrap is {:?}: {:?}",
            found.summary.status,
            found.notice
        );
    }
    Ok(found)
}
