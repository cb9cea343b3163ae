use sha2::{Digest as _, Sha256};

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

/// k3s never deletes them: another panel has taken one under this number.
#[tokio::test(start_paused = true)]
async fn an_old_file_of_the_same_name_is_not_taken_for_the_new_one() {
    const OLD: &str = "/var/lib/rancher/k3s/server/db/snapshots/coxswain-1-1-node1-1700000000";
    let example = Example {
        lab: || {
            let lab = lab::lab_with_snapshots();
            lab.world.change(HostId(1), |host| {
                host.files.insert(OLD.to_owned(), "long ago".to_owned());
            });
            lab
        },
        ..counted(snapshot("save", &[("server", FieldValue::Id(1))]))
    };
    let (_, counts) = completes(&example).await.unwrap();
    let (_, noted) = counts.unwrap();
    let long_ago = Sha256::digest("long ago");
    let long_ago = coxswain_engine::plan::hex(&long_ago);
    assert!(
        noted
            .iter()
            .any(|(_, name, ..)| name == "coxswain-1-1-node1")
    );
    assert!(
        noted.iter().all(|(_, _, sha256, _)| *sha256 != long_ago),
        "{noted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_with_quotes_and_dollars_is_in_nobodys_way() {
    let example = Example {
        lab: || {
            let lab = lab::lab_with_snapshots();
            lab.world.tell_tokens(lab::ODD_PASSWORD);
            lab
        },
        ..snapshot("save", &[])
    };
    completes(&example).await.unwrap();
}
