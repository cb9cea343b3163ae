use coxswain_k3s::env_file::EnvFile;

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

#[tokio::test(start_paused = true)]
async fn a_node_joins_with_a_token_of_quotes_and_dollars() {
    let example = Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.tell_tokens(lab::ODD_PASSWORD);
            lab
        },
        ..join("server")
    };
    let ((world, _), _) = completes(&example).await.unwrap();
    let told = EnvFile::parse(&world.hosts["node5"].files["/etc/systemd/system/k3s.service.env"]);
    let token = told.get("K3S_TOKEN").unwrap();
    assert!(token.ends_with(lab::ODD_PASSWORD));
}
