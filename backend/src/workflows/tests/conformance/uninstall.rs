use super::*;

fn uninstall(hosts: &[i64]) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    if !hosts.is_empty() {
        inputs.insert("hosts".to_owned(), FieldValue::Ids(hosts.to_vec()));
    }
    Example {
        workflow: "uninstall",
        inputs,
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

conforms! {
    uninstall_all: uninstall(&[]),
    uninstall_agent: uninstall(&[4]),
}

survives_death! {
    uninstall_survives_death_at_each_point: uninstall(&[]),
    uninstall_of_an_agent_survives_death_at_each_point: uninstall(&[4]),
}
