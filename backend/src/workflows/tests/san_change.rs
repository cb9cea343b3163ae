//! Names that cannot come or go, and what stands in the way of a change.

use std::time::Duration;

use coxswain_engine::plan::{Outputs, Param};
use coxswain_engine::step::{Output, Probe, StepContext, StepKind as _};
use coxswain_k3s::certs::AltName;
use coxswain_k3s::names::San;
use coxswain_wire::{FieldValue, HostId, Inputs, MemberRole, RunId};
use tokio::time::Instant;

use super::super::find;
use super::evidence::{facts, failing, odd};
use super::forms::refused;
use super::lab::{self, Lab, inputs, list};
use crate::steps::serve_names::{KIND, Params, ServeNames};

fn given(add: &[&str], remove: &[&str]) -> Inputs {
    inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("add", list(add)),
        ("remove", list(remove)),
    ])
}

fn named_lab() -> Lab {
    let lab = lab::running_lab();
    lab.balance();
    lab.tell(&["10.0.0.9", "old.example.org"]);
    lab
}

#[test]
fn names_are_checked() {
    let running = lab::running_inventory();
    let of = |add: &[&str], remove: &[&str]| refused("san_change", &given(add, remove), &running);
    assert_eq!(of(&[], &[]), ["add"]);
    assert_eq!(of(&["*.example.org", "10.0.0.256"], &[]), ["add", "add"]);
    assert_eq!(of(&[], &["-x"]), ["remove"]);
    assert_eq!(of(&["a.example"], &["a.example"]), ["remove"]);
    for own in ["localhost", "kubernetes.default.svc", "node2", "10.0.0.1"] {
        assert_eq!(of(&[own], &[]), ["add"], "{own}");
        assert_eq!(of(&[], &[own]), ["remove"], "{own}");
    }
    // Where clients reach the API.
    assert_eq!(of(&[], &["10.0.0.9"]), ["remove"]);
    assert_eq!(
        refused("san_change", &given(&["a.example"], &[]), &lab::inventory()),
        ["cluster"]
    );
    let mut two = lab::running_inventory();
    two.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 < 3);
    assert_eq!(
        refused("san_change", &given(&["a.example"], &[]), &two),
        ["cluster"]
    );
}

/// Recorded (facts A, 15): a server that still knows a name brings it back, so all have started without it, and
/// serve all that stays, before the Secret goes.
#[test]
fn every_process_has_read_the_files_before_the_secret_goes() {
    let plan = find("san_change")
        .unwrap()
        .plan(
            &given(&["api.example.org"], &["old.example.org"]),
            &lab::running_inventory(),
        )
        .unwrap();
    let kinds: Vec<&str> = plan.steps().map(|(_, _, s)| s.kind.as_str()).collect();
    let tail = kinds
        .iter()
        .position(|kind| *kind == "restart_k3s")
        .unwrap();
    assert_eq!(
        kinds[tail..tail + 9],
        [
            "restart_k3s",
            "restart_k3s",
            "restart_k3s",
            "serve_names",
            "drop_serving",
            "renew_serving",
            "renew_serving",
            "renew_serving",
            "serve_names"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_whole_cluster_passes_and_names_the_files() {
    let lab = named_lab();
    let given = given(&["api.example.org"], &["old.example.org"]);
    let before = lab.picture();
    let found = facts(&lab, "san_change", &given, &lab::running_inventory()).await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    assert_eq!(failing(&found), [""; 0]);
    let unit = "/etc/systemd/system/k3s.service";
    let diff = found
        .iter()
        .find(|f| f.subject == "node2" && f.name == unit)
        .and_then(|f| f.diff.clone())
        .unwrap();
    assert!(
        diff.contains("old.example.org") && diff.contains("api.example.org"),
        "{diff}"
    );
}

/// k3s takes the IPv6 address of the default route by itself.
#[tokio::test(start_paused = true)]
async fn an_address_of_a_servers_own_is_no_history() {
    let running = lab::running_inventory();
    let lab = lab::running_lab();
    lab.balance();
    lab.world.change(HostId(2), |host| {
        host.more_addresses = ["2001:db8::2", "192.0.2.9"]
            .map(|a| a.parse().unwrap())
            .into();
    });
    lab.tell(&["10.0.0.9", "192.0.2.9"]);
    let add = given(&["api.example.org"], &[]);
    let found = facts(&lab, "san_change", &add, &running).await;
    assert_eq!(failing(&found), [""; 0]);
    let odd = odd(&found);
    assert!(!odd.iter().any(|(at, _)| at == "prod: History"), "{odd:?}");
    // One that a server is told of may be an address that wanders.
    let remove = given(&[], &["2001:db8::2", "192.0.2.9"]);
    let found = facts(&lab, "san_change", &remove, &running).await;
    assert_eq!(failing(&found), ["prod: Take out 2001:db8::2"]);
    // Where clients reach the API it must be asked for: it may leave the interface.
    let mut there = running.clone();
    there.clusters[0].endpoint = "2001:db8::2".to_owned();
    let found = failing(&facts(&lab, "san_change", &add, &there).await);
    assert_eq!(found, ["prod: Endpoint"]);
}

/// A client has asked for it once, and no flag does.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_left_is_offered_to_be_taken_out() {
    let lab = lab::running_lab();
    lab.balance();
    lab.configure("tls-san:\n- 10.0.0.9\n- api.example.org\n");
    lab.world.ask(HostId(1), "old.example.org");
    let inventory = lab::running_inventory();
    let workflow = find("san_change").unwrap();
    let plan = workflow.plan(&given(&["api.example.org"], &[]), &inventory);
    let plan = plan.unwrap();
    let (_, _, step) = plan.steps().find(|(_, _, s)| s.kind == KIND).unwrap();
    let mut params: Params = serde_json::from_value(step.params.clone()).unwrap();
    let old: San = "old.example.org".parse().unwrap();
    params.before = Param::Value([AltName::from(&old)].into());
    let context = StepContext {
        run: RunId(1),
        step: 1,
        attempt: 1,
        host: None,
        target: "prod".to_owned(),
        params: serde_json::to_value(params).unwrap(),
        memo: serde_json::Value::Null,
        outputs: Outputs::new(),
        deadline: Instant::now() + Duration::from_secs(60),
        applied: true,
        output: None,
    };
    let kind = ServeNames(lab.services());
    kind.apply(&context).await.unwrap();
    let seen = kind.probe(&context).await.unwrap();
    let Probe::Done { outputs, .. } = seen else {
        panic!("{seen:?}");
    };
    let Output::Report(report) = &outputs["report"] else {
        panic!("{outputs:?}");
    };
    let inputs = &report.next[0].inputs;
    assert_eq!(inputs["remove"], list(&["old.example.org"]));
    assert!(workflow.plan(inputs, &inventory).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_of_a_change_is_told() {
    let running = lab::running_inventory();
    let typo = given(&[], &["typo.example.org"]);
    let found = failing(&facts(&named_lab(), "san_change", &typo, &running).await);
    assert_eq!(found, ["prod: Take out typo.example.org"]);

    let add = given(&["api.example.org"], &[]);
    let lab = named_lab();
    lab.world.stop_k3s(HostId(2));
    let found = failing(&facts(&lab, "san_change", &add, &running).await);
    assert!(found.contains(&"node2: k3s".to_owned()), "{found:?}");
    assert!(found.contains(&"prod: etcd".to_owned()), "{found:?}");

    let lab = named_lab();
    lab.world.change(HostId(3), |host| host.reachable = false);
    let found = failing(&facts(&lab, "san_change", &add, &running).await);
    assert!(found.contains(&"node3: Connection".to_owned()), "{found:?}");

    let lab = named_lab();
    let path = "/etc/rancher/k3s/config.yaml".to_owned();
    let through = "server: https://old.example.org:6443\n".to_owned();
    lab.world.change(HostId(1), |host| {
        drop(host.files.insert(path.clone(), through))
    });
    let old = given(&[], &["old.example.org"]);
    let found = failing(&facts(&lab, "san_change", &old, &running).await);
    assert_eq!(found, ["node1: Joins through"]);

    let agent = async |more: &str| {
        let lab = named_lab();
        lab.world.change(HostId(4), |host| {
            let unit = "/etc/systemd/system/k3s-agent.service";
            let text = host.files.get_mut(unit).unwrap();
            *text = text.replace("10.0.0.1:", "old.example.org:");
            host.files.insert(path.clone(), more.to_owned());
        });
        facts(&lab, "san_change", &old, &running).await
    };
    let found = agent("").await;
    assert_eq!(failing(&found), [""; 0]);
    assert!(
        odd(&found)
            .iter()
            .any(|(at, _)| at == "node4: Joins through")
    );
    let found = agent("disable-apiserver-lb: true\n").await;
    assert_eq!(failing(&found), ["node4: Joins through"]);

    let lab = named_lab();
    let hidden = "tls-san:\n- hidden.example.org\n- '*.example.org'\n".to_owned();
    lab.world
        .change(HostId(2), |host| drop(host.files.insert(path, hidden)));
    let found = facts(&lab, "san_change", &add, &running).await;
    assert_eq!(failing(&found), [""; 0]);
    let odd = odd(&found);
    assert!(
        odd.iter()
            .any(|(at, what)| at == "node2: Names k3s leaves out" && what == "*.example.org"),
        "{odd:?}"
    );
    assert!(
        odd.iter()
            .any(|(at, what)| at == "node2: Names in doubt" && what.contains("hidden.example.org")),
        "{odd:?}"
    );
}
