//! Replacing a node: by another machine, by the same one, of a machine that answers and of one that is lost.

use super::*;

fn replace(host: i64, state: &str, replacement: i64) -> Example {
    Example {
        workflow: "replace_node",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(host)),
            ("state", lab::text(state)),
            ("replacement", FieldValue::Id(replacement)),
            ("version", lab::text("v1.33.5+k3s1")),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// Its machine is gone: another one takes its place.
fn replace_lost() -> Example {
    Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.power_off(HostId(3));
            lab
        },
        ..replace(3, "lost", 5)
    }
}

/// Its machine was installed anew, and keeps the name.
fn replace_reinstalled() -> Example {
    Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.power_off(HostId(3));
            lab.world.reinstall(HostId(3));
            lab
        },
        ..replace(3, "lost", 3)
    }
}

/// Of five servers two are gone: one is replaced, the other one leaves.
fn replace_one_of_two_lost() -> Example {
    let mut example = Example {
        inventory: lab::five_inventory(),
        lab: lab::three_of_five_servers,
        ..replace(4, "lost", 6)
    };
    let others = FieldValue::Ids(vec![5]);
    example.inputs.insert("also_lost".to_owned(), others);
    example
}

conforms! {
    replace_server: replace(3, "reachable", 5),
    replace_agent: replace(4, "reachable", 5),
    replace_lost_server: replace_lost(),
    replace_server_anew: replace(3, "reachable", 3),
    replace_reinstalled_server: replace_reinstalled(),
    replace_one_of_two_lost_servers: replace_one_of_two_lost(),
}

survives_death! {
    replacement_by_another_survives_death_at_each_point: replace(3, "reachable", 5),
    replacement_by_the_same_machine_survives_death_at_each_point: replace(3, "reachable", 3),
    replacement_of_a_lost_server_survives_death_at_each_point: replace_lost(),
    replacement_of_one_of_two_lost_servers_survives_death_at_each_point: replace_one_of_two_lost(),
}

#[tokio::test(start_paused = true)]
async fn the_new_one_is_what_the_old_one_was() {
    for (example, members, unclean) in [
        (replace(3, "reachable", 5), ["node1", "node2", "node5"], 0),
        (replace_lost(), ["node1", "node2", "node5"], 1),
        (replace(3, "reachable", 3), ["node1", "node2", "node3"], 0),
        (replace_reinstalled(), ["node1", "node2", "node3"], 0),
    ] {
        let ((world, book), _) = completes(&example).await.unwrap();
        assert_eq!(world.clusters[0].members, members);
        assert_eq!(book.unclean.len(), unclean, "{members:?}");
        let (_, haproxy) = world.hosts["lb"].haproxy.clone().unwrap();
        for name in members {
            assert!(haproxy.contains(&format!("server {name} ")), "{haproxy}");
        }
        assert_eq!(haproxy.matches("    server node").count(), 3, "{haproxy}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_lost_one_is_gone_when_the_replacement_joins() {
    let ((world, book), _) = completes(&replace_one_of_two_lost()).await.unwrap();
    let servers = ["node1", "node2", "node3", "node6"];
    assert_eq!(world.clusters[0].members, servers);
    assert_eq!(world.clusters[0].nodes, servers);
    assert_eq!(
        book.unclean.keys().collect::<Vec<_>>(),
        [&HostId(4), &HostId(5)]
    );
}

#[tokio::test(start_paused = true)]
async fn replacement_of_a_server_behind_somebody_elses_haproxy() {
    leaves_a_foreign_balancer_alone(replace(3, "reachable", 5)).await;
}
