use super::*;

fn command(what: &str, more: &[(&str, FieldValue)]) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1)), ("what", lab::text(what))]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "command",
        inputs,
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

fn shell() -> Example {
    command(
        "shell",
        &[
            ("hosts", FieldValue::Ids(vec![1, 4])),
            ("shell", lab::text("df -h; uptime")),
        ],
    )
}

conforms! {
    command_nodes: command("nodes", &[]),
    command_log: command("log", &[]),
    command_follow: command("log", &[("follow_s", lab::text("30"))]),
    command_shell: shell(),
}

survives_death! {
    a_look_survives_death_at_each_point: command("snapshots", &[]),
    a_typed_command_survives_death_at_each_point: shell(),
}
