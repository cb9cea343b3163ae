//! Bad input is refused by the name of its field; what people should know stands on the plan.

use coxswain_wire::{ClusterPhase, Inputs, MemberRole};

use super::super::forms::refused;
use super::*;

fn given(more: &[(&str, FieldValue)]) -> Inputs {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1)), ("host", FieldValue::Id(1))]);
    inputs.extend(lab::inputs(more));
    inputs
}

fn bad(more: &[(&str, FieldValue)]) -> Vec<String> {
    refused("failover_drill", &given(more), &inventory())
}

#[test]
fn a_server_of_a_running_cluster_is_needed() {
    for host in [4, 5, 9, 77] {
        assert_eq!(bad(&[("host", FieldValue::Id(host))]), ["host"], "{host}");
    }
    assert_eq!(bad(&[("host", text("host", "node1").1)]), ["host"]);
    assert_eq!(bad(&[("cluster", FieldValue::Id(7))]), ["cluster"]);
    assert_eq!(bad(&[text("victim", "node1")]), ["victim"]);
    let nothing = Inputs::new();
    assert_eq!(
        refused("failover_drill", &nothing, &inventory()),
        ["cluster", "host"]
    );
    let with = |change: fn(&mut Inventory)| {
        let mut inventory = inventory();
        change(&mut inventory);
        refused("failover_drill", &given(&[]), &inventory)
    };
    let planned = |i: &mut Inventory| i.clusters[0].phase = ClusterPhase::Planned;
    assert_eq!(with(planned), ["cluster"]);
    let alone = |i: &mut Inventory| {
        i.clusters[0]
            .members
            .retain(|m| m.role != MemberRole::Server || m.host == HostId(1));
    };
    assert_eq!(with(alone).len(), 1);
}

#[test]
fn numbers_have_their_ranges() {
    for (field, wrong) in [
        ("observe_s", ["19", "3601", "-5", "a minute", "60.5"]),
        ("api_away_s", ["4", "601", "-5", "soon", "1e2"]),
        ("downtime_s", ["0", "601", "-5", "none", "30 s"]),
    ] {
        for value in wrong {
            assert_eq!(bad(&[(field, lab::text(value))]), [field], "{value}");
        }
    }
    let all = [
        text("observe_s", "5"),
        text("api_away_s", "5000"),
        text("downtime_s", "x"),
    ];
    assert_eq!(bad(&all), ["observe_s", "api_away_s", "downtime_s"]);
    // Empty is the default.
    let inputs = given(&[text("observe_s", " "), text("fault", "killed")]);
    let plan = find("failover_drill").unwrap().plan(&inputs, &inventory());
    let plan = plan.unwrap();
    let mut steps = plan.steps();
    assert!(steps.any(|(_, _, step)| step.title == "Watch for 120 s"));
}

#[test]
fn a_fault_must_be_known_and_be_one_that_ends() {
    assert_eq!(bad(&[text("fault", "flood")]), ["fault"]);
    let mut inventory = inventory();
    inventory.hosts[0].power = None;
    let off = given(&[text("fault", "power_off")]);
    assert_eq!(refused("failover_drill", &off, &inventory), ["fault"]);
    // Who would switch it on is not there.
    let mut control = lab_power("node1");
    control.via = HostId(77);
    inventory.hosts[0].power = Some(control);
    assert_eq!(refused("failover_drill", &off, &inventory), ["fault"]);
}

#[test]
fn a_pause_is_warned_of() {
    for (fault, said) in [
        ("stopped", "A pause leaves node1 with its fault"),
        ("cut", "A pause leaves node1 with its fault"),
        (
            "power_off",
            "or the run is paused or parked, nothing switches node1 on",
        ),
    ] {
        let inputs = given(&[text("fault", fault)]);
        let plan = find("failover_drill").unwrap().plan(&inputs, &inventory());
        let warnings = plan.unwrap().warnings;
        assert!(warnings.iter().any(|w| w.contains(said)), "{warnings:?}");
    }
}
