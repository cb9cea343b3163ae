//! A drain: pods that can move have moved, disruption budgets are heeded, and what was cordoned before stays so.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::{OutputRef, Param, Plan};
use coxswain_engine::step::StepKind;
use coxswain_engine::testing::checks::{Subject, completes, survives, unwinds};
use coxswain_wire::{Inputs, StepIndex};

use super::super::Preflights;
use super::super::draft::{Draft, step};
use super::lab::{self, Lab, Picture};
use crate::steps::{ApiHost, drain_node, kinds, uncordon_node};
use crate::world::PodOwner;

/// node4 drained and given back.
struct Drains(fn() -> Lab);

fn busy_lab() -> Lab {
    let lab = lab::running_lab();
    lab.world.pod(
        "web",
        "node4",
        PodOwner::Other("ReplicaSet".to_owned()),
        None,
    );
    lab.world.pod(
        "db",
        "node4",
        PodOwner::StatefulSet,
        Some(Duration::from_secs(60)),
    );
    lab.world.pod("proxy", "node4", PodOwner::DaemonSet, None);
    lab
}

fn cordoned_lab() -> Lab {
    let lab = busy_lab();
    lab.world.cordon("node4");
    lab
}

impl Subject for Drains {
    type Picture = (Picture, Vec<String>);
    type World = Lab;

    fn world(&self) -> Lab {
        (self.0)()
    }
    fn plan(&self) -> Plan {
        let cluster = lab::running_inventory().clusters[0].clone();
        let mut draft = Draft::new("drain", "Drain".to_owned(), &Inputs::new(), &cluster);
        let via = || {
            [1, 2].map(|n| ApiHost {
                host: coxswain_wire::HostId(n),
                name: format!("node{n}"),
                address: format!("10.0.0.{n}"),
            })
        };
        let drained: StepIndex = draft.next();
        let mut drain = step(
            drain_node::KIND,
            "Drain",
            "node4",
            &drain_node::Params {
                node: "node4".to_owned(),
                via: via().to_vec(),
                unless: None,
            },
        );
        drain.undo = Some("uncordon".to_owned());
        drain.deadline_s = drain_node::DEADLINE_S;
        draft.stage("Drain", None, vec![drain]);
        let uncordon = uncordon_node::Params {
            node: "node4".to_owned(),
            via: via().to_vec(),
            cordoned: Param::Output(OutputRef {
                from_step: drained,
                output: drain_node::CORDONED.to_owned(),
            }),
        };
        draft.stage(
            "Uncordon",
            None,
            vec![step(uncordon_node::KIND, "Uncordon", "node4", &uncordon)],
        );
        draft.finish()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        kinds(&lab.services())
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        Arc::new(Preflights::new(lab.services()))
    }
    fn picture(&self, lab: &Lab) -> Self::Picture {
        (lab.picture(), lab.world.pods_on("node4"))
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_move_has_moved_and_the_node_is_given_back() {
    let ((world, _), left) = completes(&Drains(busy_lab)).await.unwrap();
    assert_eq!(left, ["proxy"]);
    assert!(world.clusters[0].cordoned.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_was_cordoned_before_stays_so() {
    let ((world, _), left) = completes(&Drains(cordoned_lab)).await.unwrap();
    assert_eq!(left, ["proxy"]);
    assert_eq!(world.clusters[0].cordoned, ["node4"]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_survives_death_at_each_point() {
    let points = survives(&Drains(busy_lab), &|kind| kind).await.unwrap();
    assert!(points > 6, "only {points} points");
}

/// Pods that have moved do not come back by themselves: only the node is compared.
struct OnlyNodes(Drains);

impl Subject for OnlyNodes {
    type Picture = Picture;
    type World = Lab;

    fn world(&self) -> Lab {
        self.0.world()
    }
    fn plan(&self) -> Plan {
        self.0.plan()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        self.0.kinds(lab)
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        self.0.preflight(lab)
    }
    fn picture(&self, lab: &Lab) -> Picture {
        lab.picture()
    }
}

#[tokio::test(start_paused = true)]
async fn unwound_the_node_takes_pods_again() {
    unwinds(&OnlyNodes(Drains(busy_lab)), &|kind, _| kind)
        .await
        .unwrap();
}
