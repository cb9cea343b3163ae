use super::*;

/// All nodes; what k3s puts aside is deleted in the end.
fn rotation() -> Example {
    Example {
        workflow: "certificate_rotation",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("backups", lab::text("this_run")),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// Nothing of :6443, and nothing of the servers' kubelets alone.
fn rotation_of_kubelets() -> Example {
    Example {
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("extent", lab::text("some")),
            ("services", lab::list(&["kubelet"])),
        ]),
        ..rotation()
    }
}

/// What a rotation before it has left, on two of the nodes.
fn clean_up() -> Example {
    Example {
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("what", lab::text("clean_up")),
            ("hosts", FieldValue::Ids(vec![1, 4])),
        ]),
        lab: lab_with_backups,
        ..rotation()
    }
}

pub(in crate::workflows::tests) fn lab_with_backups() -> Lab {
    let lab = balanced_lab();
    with_backups(&lab, &[(1, "server"), (2, "server"), (4, "agent")]);
    lab
}

/// A folder of an earlier rotation on each node, one that only looks like it, and k3s's own.
pub(super) fn with_backups(lab: &Lab, nodes: &[(i64, &str)]) {
    for (host, part) in nodes {
        lab.world.change(HostId(*host), |host| {
            for file in ["tls-1790000000/client-admin.crt", "tls-notes/read.me"] {
                let path = format!("/var/lib/rancher/k3s/{part}/{file}");
                host.files.insert(path, "old".to_owned());
            }
        });
    }
}

conforms! {
    certificate_rotation_all: rotation(),
    certificate_rotation_kubelet: rotation_of_kubelets(),
    certificate_clean_up: clean_up(),
}

survives_death! {
    certificate_rotation_survives_death_at_each_point: rotation(),
    certificate_clean_up_survives_death_at_each_point: clean_up(),
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_all_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(rotation()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_kubelets_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(rotation_of_kubelets()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn no_server_is_rotated_while_another_is_down() {
    assert_eq!(down::is_held_back(rotation()).await, 3);
}
