use super::*;

fn join(role: &str) -> Example {
    Example {
        workflow: "join",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(5)),
            ("role", lab::text(role)),
            ("version", lab::text("v1.33.5+k3s1")),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

conforms! {
    join_server: join("server"),
    join_agent: join("agent"),
}

survives_death! {
    join_of_a_server_survives_death_at_each_point: join("server"),
    join_of_an_agent_survives_death_at_each_point: join("agent"),
}

#[tokio::test(start_paused = true)]
async fn join_of_a_server_behind_somebody_elses_haproxy() {
    leaves_a_foreign_balancer_alone(join("server")).await;
}
