//! Restarting servers one by one, which many workflows do: the free checks, and the guard.

use std::sync::Arc;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::StepKind;
use coxswain_engine::testing::checks::{Subject, completes, survives};
use coxswain_wire::{FieldValue, HostId, Inputs};

use super::super::Preflights;
use super::super::draft::Draft;
use super::super::form::Form;
use super::super::nodes::Nodes;
use super::super::step_list;
use super::lab::{self, Lab, Picture};
use crate::steps::{kinds, quorum};

/// node2 and the agent node4, restarted.
struct Restarts(fn() -> Lab);

fn nodes() -> Nodes {
    let info = super::super::find("uninstall").unwrap().info();
    let inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    let mut form = Form::read(&info, &inputs).unwrap();
    Nodes::read_running(&mut form, "cluster", &lab::running_inventory()).unwrap()
}

impl Subject for Restarts {
    type Picture = (Picture, usize, usize);
    type World = Lab;

    fn world(&self) -> Lab {
        (self.0)()
    }
    fn plan(&self) -> Plan {
        let nodes = nodes();
        let mut draft = Draft::new(
            "restart",
            "Restart".to_owned(),
            &Inputs::new(),
            &nodes.cluster,
        );
        for node in [&nodes.servers[1], &nodes.agents[0]] {
            let target = nodes.target(node).unwrap();
            let forecast = step_list::forecast(&nodes, &target);
            draft.stage("Restart", None, vec![step_list::restart(&target, forecast)]);
        }
        draft.finish()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        kinds(&lab.services())
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        Arc::new(Preflights::new(lab.services()))
    }
    fn picture(&self, lab: &Lab) -> Self::Picture {
        let count = |host| lab.world.started(HostId(host), "restart-k3s");
        (lab.picture(), count(2), count(4))
    }
}

#[tokio::test(start_paused = true)]
async fn each_node_is_restarted_once() {
    let (_, server, agent) = completes(&Restarts(lab::running_lab)).await.unwrap();
    assert_eq!((server, agent), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_restart_survives_death_at_each_point() {
    let points = survives(&Restarts(lab::running_lab), &|kind| kind)
        .await
        .unwrap();
    assert!(points > 10, "only {points} points");
}

#[tokio::test(start_paused = true)]
async fn without_the_majority_nothing_is_stopped() {
    let lab = lab::running_lab();
    lab.world.stop_k3s(HostId(3));
    let nodes = nodes();
    let target = nodes.target(&nodes.servers[1]).unwrap();
    let services = lab.services();
    let refused = quorum::guard(&*services.world, &target.node, &target.servers)
        .await
        .unwrap_err()
        .into_error();
    assert_eq!(
        refused.message,
        "node2 is not stopped: without it 1 of 3 etcd members are healthy, 2 are needed (down: node3)"
    );
    let stopped = completes(&Restarts(|| {
        let lab = lab::running_lab();
        lab.world.stop_k3s(HostId(3));
        lab
    }))
    .await
    .unwrap_err();
    assert!(stopped.contains("ended Failed"), "{stopped}");
    assert_eq!(lab.world.started(HostId(2), "restart-k3s"), 0);
}

#[tokio::test(start_paused = true)]
async fn the_one_that_is_down_already_may_be_restarted() {
    let lab = lab::running_lab();
    lab.world.stop_k3s(HostId(2));
    let nodes = nodes();
    let target = nodes.target(&nodes.servers[1]).unwrap();
    quorum::guard(&*lab.services().world, &target.node, &target.servers)
        .await
        .unwrap();
}
