use super::*;

/// Servers with a token on their command line, and an agent without.
fn moving() -> Example {
    Example {
        workflow: "move_token",
        inputs: lab::inputs(&[("cluster", FieldValue::Id(1))]),
        inventory: lab::running_inventory(),
        lab: || balanced(lab::foreign_lab(" --token hunter2hunter2")),
        counted: false,
    }
}

conforms! {
    tokens_of_a_known_cluster: moving(),
}

survives_death! {
    moving_tokens_survives_death_at_each_point: moving(),
}
