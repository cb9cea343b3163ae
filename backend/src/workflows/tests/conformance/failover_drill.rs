use coxswain_wire::PowerControl;

use super::*;
use crate::world::PodOwner;

/// On the server that leads etcd. Seconds are few: what time brings about is tried elsewhere.
fn drill(fault: &str) -> Example {
    let mut inventory = lab::running_inventory();
    inventory.hosts[0].power = Some(lab_power("node1"));
    Example {
        workflow: "failover_drill",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(1)),
            ("fault", lab::text(fault)),
            ("observe_s", lab::text("20")),
        ]),
        inventory,
        lab: || {
            let lab = balanced_lab();
            for node in ["node1", "node2"] {
                let owner = PodOwner::Other("ReplicaSet".to_owned());
                lab.world.pod("web", node, owner, None);
            }
            lab
        },
        counted: false,
    }
}

/// The lab's own.
pub(in crate::workflows::tests) fn lab_power(host: &str) -> PowerControl {
    let words = |verb: &str| ["lab-power", verb, host].map(str::to_owned).to_vec();
    PowerControl {
        via: lab::LB,
        on: words("on"),
        off: words("off"),
        status: words("status"),
    }
}

conforms! {
    drill_stopped: drill("stopped"),
    drill_killed: drill("killed"),
    drill_cut: drill("cut"),
    drill_power_off: drill("power_off"),
}

survives_death! {
    a_drill_with_k3s_stopped_survives_death_at_each_point: drill("stopped"),
    a_drill_with_k3s_killed_survives_death_at_each_point: drill("killed"),
    a_drill_with_the_network_cut_survives_death_at_each_point: drill("cut"),
    a_drill_with_the_power_off_survives_death_at_each_point: drill("power_off"),
}

#[tokio::test(start_paused = true)]
async fn no_server_gets_a_fault_while_another_is_down() {
    assert_eq!(down::is_held_back(drill("stopped")).await, 1);
}
