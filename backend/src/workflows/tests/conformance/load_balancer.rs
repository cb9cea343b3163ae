use super::*;

/// The section is older than the third server.
fn load_balancer() -> Example {
    Example {
        workflow: "load_balancer",
        inputs: lab::inputs(&[("cluster", FieldValue::Id(1))]),
        inventory: lab::running_inventory(),
        lab: || {
            let lab = lab::running_lab();
            let servers = [("node1", "10.0.0.1"), ("node2", "10.0.0.2")];
            lab.world.balance(lab::LB, "prod", &servers);
            lab
        },
        counted: false,
    }
}

conforms! {
    load_balancer_changed: load_balancer(),
}

survives_death! {
    a_load_balancers_change_survives_death_at_each_point: load_balancer(),
}
