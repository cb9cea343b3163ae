//! What the gate of a join finds of the name that the new node would have, and of an old k3s on its host.

use coxswain_wire::{FieldValue, HostId, Inputs, Verdict};

use super::evidence::{facts, failing};
use super::forms::refused;
use super::lab::{self, Lab, inputs, list, text};

fn given(args: &[&str]) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("host", FieldValue::Id(5)),
        ("version", text("v1.33.5+k3s1")),
        ("args", list(args)),
    ])
}

/// k3s lets a name in again only with the password that it keeps of it.
#[tokio::test(start_paused = true)]
async fn a_name_that_was_used_before_is_refused() {
    let given = given(&[]);
    let lab = lab::running_lab();
    lab.balance();
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
    let given = given(&[]);
    let lab = lab::running_lab();
    lab.balance();
    lab.world.change(HostId(5), |host| {
        let unit = "/etc/systemd/system/k3s-old.service";
        host.files.insert(unit.to_owned(), String::new());
    });
    let found = facts(&lab, "join", &given, &lab::running_inventory()).await;
    assert_eq!(failing(&found), ["node5: k3s of another name"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_of_a_dual_stack_cluster_needs_two_addresses() {
    let networks = "--cluster-cidr=10.42.0.0/16,fd42::/56";
    let lab = told(&format!(" {networks}"));
    let running = lab::running_inventory();
    let mut given = given(&[networks]);
    let found = facts(&lab, "join", &given, &running).await;
    assert_eq!(failing(&found), ["node5: Address families"]);
    for wrong in ["192.0.2.1", "fd00::/8"] {
        given.insert("second_ip".to_owned(), text(wrong));
        assert_eq!(refused("join", &given, &running), ["second_ip"], "{wrong}");
    }
    given.insert("second_ip".to_owned(), text("fd00::5"));
    let found = facts(&lab, "join", &given, &running).await;
    assert_eq!(failing(&found), [""; 0]);
}

/// Nobody listens on the load balancer: a node that joins there would wait for ever.
#[tokio::test(start_paused = true)]
async fn a_join_through_a_load_balancer_that_does_not_balance_is_refused() {
    let lab = lab::running_lab();
    let found = facts(&lab, "join", &given(&[]), &lab::running_inventory()).await;
    assert_eq!(failing(&found), ["prod: Joins at"]);
    let door = found.iter().find(|fact| fact.name == "Joins at").unwrap();
    assert_eq!(door.next.as_ref().unwrap().workflow, "load_balancer");
}

/// The servers were told these words when they started.
fn told(words: &str) -> Lab {
    let lab = lab::running_lab();
    lab.world
        .restart_servers(&format!(" --tls-san 10.0.0.9{words}"), None);
    lab.balance();
    lab
}

/// It would deploy what the others leave out, or take away what they deploy.
#[tokio::test(start_paused = true)]
async fn a_server_leaves_out_what_the_others_leave_out() {
    let running = lab::running_inventory();
    let without = told(" --disable traefik");
    let of =
        async |lab: &Lab, args: &[&str]| failing(&facts(lab, "join", &given(args), &running).await);
    assert_eq!(of(&without, &[]).await, ["node5: Components"]);
    assert_eq!(of(&without, &["--disable=traefik"]).await, [""; 0]);
    assert_eq!(
        of(&told(""), &["--disable=traefik"]).await,
        ["node5: Components"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_setting_of_one_server_for_the_whole_cluster_is_told() {
    let lab = told(" --kube-apiserver-arg=profiling=false");
    let found = facts(&lab, "join", &given(&[]), &lab::running_inventory()).await;
    assert_eq!(failing(&found), [""; 0]);
    let warned = |subject: &str| {
        let mut facts = found.iter();
        facts.any(|fact| {
            fact.subject == subject
                && fact.name == "Cluster-wide flags"
                && fact.verdict == Verdict::Warn
                && fact.value.contains("kube-apiserver-arg")
        })
    };
    assert!(warned("node1") && warned("node3"), "{found:?}");
}

/// An agent that was not upgraded yet keeps no server from being replaced.
#[tokio::test(start_paused = true)]
async fn an_agent_of_an_older_version_is_told_and_does_not_matter() {
    let lab = lab::running_lab();
    lab.balance();
    lab.world.run_version(HostId(4), "v1.33.4+k3s1");
    let found = facts(&lab, "join", &given(&[]), &lab::running_inventory()).await;
    assert_eq!(failing(&found), [""; 0]);
    let other = found.iter().find(|fact| fact.name == "Other versions");
    assert_eq!(other.unwrap().value, "node4: v1.33.4+k3s1");
}
