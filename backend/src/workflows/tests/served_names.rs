//! What the gates say where the certificate is not good for the names that a run uses.

use coxswain_wire::{FieldValue, HostId, Inputs, Verdict};

use super::evidence::{facts, failing};
use super::lab::{self, inputs, text};

fn given(workflow: &str) -> Inputs {
    let cluster = ("cluster", FieldValue::Id(1));
    let version = ("version", text("v1.33.5+k3s1"));
    match workflow {
        "join" => inputs(&[cluster, ("host", FieldValue::Id(5)), version]),
        "upgrade" => inputs(&[cluster, version]),
        "remove_node" => inputs(&[
            cluster,
            ("host", FieldValue::Id(3)),
            ("state", text("reachable")),
        ]),
        "replace_node" => inputs(&[
            cluster,
            ("host", FieldValue::Id(3)),
            ("state", text("reachable")),
            ("replacement", FieldValue::Id(5)),
            version,
        ]),
        _ => inputs(&[cluster]),
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_not_in_the_certificate_stands_in_the_way() {
    let lab = lab::running_lab();
    lab.balance();
    lab.tell(&["other.example.org"]);
    for workflow in [
        "join",
        "upgrade",
        "remove_node",
        "replace_node",
        "load_balancer",
    ] {
        let found = facts(&lab, workflow, &given(workflow), &lab::running_inventory()).await;
        assert_eq!(
            failing(&found),
            ["prod: Names in the certificate"],
            "{workflow}"
        );
        let fact = found.iter().find(|f| f.verdict == Verdict::Fail).unwrap();
        assert_eq!(fact.value, "not good for 10.0.0.9");
        let advice = fact.advice.as_ref().unwrap();
        assert!(advice.contains("Change the API's names"), "{advice}");
    }
}

/// One that learns what it is asked for would take the name as soon as a node joins there.
#[tokio::test(start_paused = true)]
async fn where_every_server_learns_names_a_missing_one_is_only_told() {
    let learning = lab::running_lab();
    learning.world.restart_servers(
        " --tls-san other.example.org --tls-san-security=false",
        None,
    );
    let by_release = lab::running_lab();
    by_release.tell(&["other.example.org"]);
    for host in 1..=3 {
        by_release.world.run_version(HostId(host), "v1.26.9+k3s1");
    }
    let one_refuses = lab::running_lab();
    one_refuses.tell(&["other.example.org"]);
    for host in 1..=2 {
        one_refuses.world.run_version(HostId(host), "v1.27.16+k3s1");
    }
    for (lab, verdict) in [
        (learning, Verdict::Warn),
        (by_release, Verdict::Warn),
        (one_refuses, Verdict::Fail),
    ] {
        lab.balance();
        let given = given("load_balancer");
        let found = facts(&lab, "load_balancer", &given, &lab::running_inventory()).await;
        let named = found.iter().find(|f| f.name == "Names in the certificate");
        let fact = named.unwrap();
        assert_eq!(fact.verdict, verdict, "{fact:?}");
        assert_eq!(fact.value, "not good for 10.0.0.9");
        let advice = fact.advice.as_ref().unwrap();
        assert!(advice.contains("Change the API's names"), "{advice}");
    }
}

/// What k3s learns today, it may refuse once it is a newer one.
#[tokio::test(start_paused = true)]
async fn an_upgrade_does_not_count_on_learning() {
    let lab = lab::running_lab();
    lab.tell(&["other.example.org"]);
    for host in 1..=3 {
        lab.world.run_version(HostId(host), "v1.26.9+k3s1");
    }
    lab.balance();
    let found = facts(
        &lab,
        "upgrade",
        &given("upgrade"),
        &lab::running_inventory(),
    )
    .await;
    let named = found.iter().find(|f| f.name == "Names in the certificate");
    assert_eq!(named.unwrap().verdict, Verdict::Fail, "{named:?}");
}

/// Nodes join at the load balancer's own address; all else goes by the endpoint's name.
#[tokio::test(start_paused = true)]
async fn the_load_balancers_address_matters_to_a_join_alone() {
    let lab = lab::running_lab();
    lab.balance();
    lab.tell(&["api.example.org"]);
    let mut inventory = lab::running_inventory();
    inventory.clusters[0].endpoint = "api.example.org".to_owned();
    for (workflow, wanted) in [
        ("join", &["prod: Names in the certificate"][..]),
        ("replace_node", &["prod: Names in the certificate"]),
        ("upgrade", &[]),
        ("remove_node", &[]),
        ("load_balancer", &[]),
    ] {
        let found = facts(&lab, workflow, &given(workflow), &inventory).await;
        assert_eq!(failing(&found), wanted, "{workflow}");
    }
}

/// k3s issues a name that it is told of when somebody asks for it.
#[tokio::test(start_paused = true)]
async fn a_name_that_servers_are_told_of_is_as_good() {
    let lab = lab::running_lab();
    lab.balance();
    let mut inventory = lab::running_inventory();
    inventory.clusters[0].endpoint = "api.example.org".to_owned();
    for host in 1..=3 {
        lab.world.change(HostId(host), |host| {
            let config = "/etc/rancher/k3s/config.yaml".to_owned();
            let unit = "/etc/systemd/system/k3s.service".to_owned();
            host.files.insert(
                config,
                "tls-san:\n- 10.0.0.9\n- api.example.org\n".to_owned(),
            );
            if let Some(text) = host.files.get_mut(&unit) {
                *text = text.replace("\t'--tls-san' \\\n\t'10.0.0.9' \\\n", "");
            }
        });
    }
    let found = facts(&lab, "remove_node", &given("remove_node"), &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_import_tells_that_nothing_can_join_through_the_balancer() {
    let lab = lab::foreign_lab("");
    lab.balance();
    lab.tell(&["api.example.org"]);
    let mut inventory = lab::inventory();
    inventory.clusters[0].endpoint = "api.example.org".to_owned();
    let found = facts(&lab, "import", &given("import"), &inventory).await;
    assert_eq!(failing(&found), [""; 0]);
    let fact = found
        .iter()
        .find(|f| f.name == "Address in the certificate")
        .unwrap();
    assert_eq!((fact.subject.as_str(), fact.verdict), ("lb", Verdict::Warn));
}
