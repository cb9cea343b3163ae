//! What the gate of a join finds of the name that the new node would have, and of an old k3s on its host.

use coxswain_wire::{FieldValue, HostId};

use super::evidence::{facts, failing};
use super::lab::{self, inputs, text};

/// k3s lets a name in again only with the password that it keeps of it.
#[tokio::test(start_paused = true)]
async fn a_name_that_was_used_before_is_refused() {
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(5)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let lab = lab::running_lab();
    let running = lab::running_inventory();
    assert_eq!(
        failing(&facts(&lab, "join", &given, &running).await),
        [""; 0]
    );
    lab.world.keep_password("node5");
    let found = facts(&lab, "join", &given, &running).await;
    assert_eq!(failing(&found), ["node5: Node name"]);
    let name = found.iter().find(|fact| fact.name == "Node name").unwrap();
    let advice = name.advice.as_deref().unwrap();
    assert!(
        advice.contains("kube-system/node5.node-password.k3s"),
        "{advice}"
    );
}

/// It has the ports and the folders that the new node needs.
#[tokio::test(start_paused = true)]
async fn a_k3s_of_another_name_is_refused() {
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(5)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let lab = lab::running_lab();
    lab.world.change(HostId(5), |host| {
        let unit = "/etc/systemd/system/k3s-old.service";
        host.files.insert(unit.to_owned(), String::new());
    });
    let found = facts(&lab, "join", &given, &lab::running_inventory()).await;
    assert_eq!(failing(&found), ["node5: k3s of another name"]);
}
