use super::*;

fn rotation() -> Example {
    Example {
        workflow: "token_rotation",
        inputs: lab::inputs(&[("cluster", FieldValue::Id(1))]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

conforms! {
    token_rotation: rotation(),
}

survives_death! {
    token_rotation_survives_death_at_each_point: rotation(),
}

#[tokio::test(start_paused = true)]
async fn all_nodes_have_the_new_token_and_only_that() {
    let ((world, book), _) = completes(&rotation()).await.unwrap();
    let before = balanced_lab().world.picture();
    let file = "/var/lib/rancher/k3s/server/token";
    let (old, new) = (
        before.hosts["node1"].files[file].trim(),
        world.hosts["node1"].files[file].trim(),
    );
    assert_ne!(old, new);
    let stored = format!("{book:?}");
    assert!(
        stored.contains(&format!("{:?}", new.as_bytes())),
        "{stored}"
    );
    for (name, host) in &world.hosts {
        for (path, text) in &host.files {
            assert!(!text.contains(old), "{path} on {name}");
            assert!(
                !text.contains(new) || path == file || path.ends_with(".service.env"),
                "{path} on {name}"
            );
        }
    }
    for name in ["node1", "node2", "node3"] {
        assert_eq!(world.hosts[name].files[file].trim(), new, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_rotation_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(rotation()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_quotes_and_dollars_is_rotated_away() {
    let example = Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.tell_tokens(lab::ODD_PASSWORD);
            lab
        },
        ..rotation()
    };
    let ((world, _), _) = completes(&example).await.unwrap();
    for (name, host) in &world.hosts {
        for (path, text) in &host.files {
            assert!(!text.contains(lab::ODD_PASSWORD), "{path} on {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_server_gets_the_new_token_while_another_is_down() {
    assert_eq!(down::is_held_back(rotation()).await, 3);
}
