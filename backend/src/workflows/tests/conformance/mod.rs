//! What every workflow gets for nothing (design §3): it completes; fails at each step and is unwound, also by
//! a panel that is killed at every write and every effect; goes on when each step is retried; gives back what it takes only for its duration; does
//! every step twice; is killed at every write and every effect; and its plan is the recorded one.

use std::collections::BTreeSet;
use std::sync::Arc;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::StepKind;
use coxswain_engine::testing::checks::{
    Subject, Takes, completes, gives_back, retries, survives, survives_unwinding, twice, unwinds,
};
use coxswain_engine::testing::{NoProbe, NoProbeUndone, NoUndoOfFailed, layer};
use coxswain_wire::{FieldValue, HostId, Inputs};

use super::super::{Inventory, Preflights, find};
use super::lab::{self, Lab, Picture};
use crate::steps::kinds;

/// A workflow with its example.
struct Example {
    workflow: &'static str,
    inputs: Inputs,
    inventory: Inventory,
    lab: fn() -> Lab,
    /// The picture shows how often each host was installed and cleaned, and the snapshots that are noted.
    counted: bool,
}

/// Jobs of each host, and noted snapshots.
type Counts = (Vec<usize>, Vec<(HostId, String, String, Vec<u8>)>);

impl Subject for Example {
    type Picture = (Picture, Option<Counts>);
    type World = Lab;

    fn world(&self) -> Lab {
        (self.lab)()
    }
    fn plan(&self) -> Plan {
        find(self.workflow)
            .unwrap()
            .plan(&self.inputs, &self.inventory)
            .unwrap()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        kinds(&lab.services())
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        Arc::new(Preflights::new(lab.services()))
    }
    fn picture(&self, lab: &Lab) -> Self::Picture {
        let jobs = [
            "install-k3s-online",
            "remove-k3s",
            "save-snapshot",
            "run-shell",
            "restart-k3s",
            "renew-serving",
            "rotate-certificates",
            "place-k3s-online",
            "place-k3s-air-gap",
        ];
        let count = |host: i64| jobs.map(|job| lab.world.started(HostId(host), job));
        let counts = self
            .counted
            .then(|| ((1..=5).flat_map(count).collect(), lab.snapshots()));
        (lab.picture(), counts)
    }
}

impl Takes for Example {
    fn taken(&self, lab: &Lab) -> BTreeSet<String> {
        lab.taken()
    }
}

/// The load balancer has the three servers.
fn balanced_lab() -> Lab {
    balanced(lab::running_lab())
}

/// It has them by a configuration that a person wrote.
fn lab_balanced_by_hand() -> Lab {
    let lab = lab::running_lab();
    lab.balance_by_hand();
    lab
}

fn balanced(lab: Lab) -> Lab {
    lab.balance();
    lab
}

/// Killed wherever, nothing runs a second time on any host.
fn counted(example: Example) -> Example {
    Example {
        counted: true,
        ..example
    }
}

macro_rules! conforms {
    ($($name:ident: $example:expr),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn completes_it() {
                completes(&$example).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn unwinds_from_each_step() {
                unwinds(&$example, &|kind, _| kind).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn gives_back_what_it_takes() {
                gives_back(&$example, &|kind| kind).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn unwinds_though_the_panel_dies() {
                unwinds_whenever_the_panel_dies($example).await;
            }

            #[tokio::test(start_paused = true)]
            async fn completes_when_each_step_is_retried() {
                retries(&$example, &|kind| kind).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn does_each_step_twice() {
                twice(&$example).await.unwrap();
            }

            #[test]
            fn plans_as_recorded() {
                insta::assert_json_snapshot!(stringify!($name), $example.plan());
            }
        }
    )*};
}

/// Completes it and unwinds it where somebody else keeps the load balancer.
async fn leaves_a_foreign_balancer_alone(example: Example) {
    let example = Example {
        lab: lab_balanced_by_hand,
        ..example
    };
    completes(&example).await.unwrap();
    unwinds(&example, &|kind, _| kind).await.unwrap();
}

async fn unwinds_whenever_the_panel_dies(example: Example) {
    let example = counted(example);
    let points = survives_unwinding(&example, &|kind, _| kind).await.unwrap();
    let undoes = example.plan().steps().any(|(.., step)| step.undo.is_some());
    assert_eq!(undoes, points > 5, "{points} points");
}

macro_rules! survives_death {
    ($($name:ident: $example:expr),* $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let points = survives(&counted($example), &|kind| kind).await.unwrap();
            assert!(points > 10, "only {points} points");
        }
    )*};
}

mod bootstrap;
mod certificate_rotation;
pub(super) use certificate_rotation::lab_with_backups;
mod command;
mod down;
mod failover_drill;
pub(super) use failover_drill::lab_power;
mod import;
mod join;
mod load_balancer;
mod move_token;
mod remove_node;
mod replace_node;
mod san_change;
mod server_down;
mod snapshot;
mod snapshot_restore;
mod stuck_pods;
mod token_rotation;
mod uninstall;
mod upgrade;
