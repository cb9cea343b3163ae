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

conforms! {
    certificate_rotation_all: rotation(),
    certificate_rotation_kubelet: rotation_of_kubelets(),
}

survives_death! {
    certificate_rotation_survives_death_at_each_point: rotation(),
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_all_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(rotation()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_of_kubelets_that_left_a_node_down_is_retried() {
    assert_eq!(down::comes_back(rotation_of_kubelets()).await, 4);
}
