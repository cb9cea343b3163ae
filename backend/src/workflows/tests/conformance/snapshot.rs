use super::*;

fn snapshot(action: &str, more: &[(&str, FieldValue)]) -> Example {
    let mut inputs = lab::inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("action", lab::text(action)),
    ]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "snapshot",
        inputs,
        inventory: Inventory {
            snapshots: lab::taken(),
            ..lab::running_inventory()
        },
        lab: lab::lab_with_snapshots,
        counted: false,
    }
}

conforms! {
    snapshot_save: snapshot("save", &[("server", FieldValue::Id(2))]),
    snapshot_list: snapshot("list", &[("checksums", FieldValue::Bool(true))]),
    snapshot_prune: snapshot("prune", &[("keep", lab::text("1"))]),
    snapshot_delete: snapshot("delete", &[("names", lab::list(&["coxswain-7-0-node2-1795000200"]))]),
}

survives_death! {
    saving_a_snapshot_survives_death_at_each_point: snapshot("save", &[]),
    pruning_snapshots_survives_death_at_each_point: snapshot("prune", &[("keep", lab::text("1"))]),
}
