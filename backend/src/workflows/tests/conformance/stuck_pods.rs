//! Force-deleting pods of a node that is off.

use super::*;
use crate::world::PodOwner;

pub(super) fn stuck() -> Example {
    Example {
        workflow: "stuck_pods",
        inputs: lab::inputs(&[("cluster", FieldValue::Id(1)), ("node", FieldValue::Id(4))]),
        inventory: lab::running_inventory(),
        lab: lab_with_stuck_pods,
        counted: false,
    }
}

/// node4 is off; two of its pods wait for it.
pub(super) fn lab_with_stuck_pods() -> Lab {
    let lab = balanced_lab();
    let owner = PodOwner::Other("ReplicaSet".to_owned());
    lab.world.pod("web", "node4", owner, None);
    lab.world.pod("db-0", "node4", PodOwner::StatefulSet, None);
    lab.world.cordon("node4");
    lab.world.power_off(HostId(4));
    lab.world.lose_pods("node4", Some("data-db-0"));
    lab
}

conforms! {
    stuck_pods: stuck(),
}

survives_death! {
    freeing_stuck_pods_survives_death_at_each_point: stuck(),
}
