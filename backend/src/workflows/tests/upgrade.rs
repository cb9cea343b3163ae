//! What an upgrade refuses, and what its gate says.

use std::sync::Arc;
use std::time::Duration;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::state::RunState;
use coxswain_wire::{Fact, FieldValue, HostId, RunId, Verdict};

use super::super::{Preflights, find};
use super::lab::{self, Lab, inputs, text};
use crate::world::PodOwner;

const FROM: &str = "v1.32.9+k3s1";

/// The running lab with these versions on node1 … node4.
fn versions(of: [&str; 4]) -> Lab {
    let lab = lab::running_lab();
    for (n, version) in (1..).zip(of) {
        lab.world.run_version(HostId(n), version);
    }
    lab
}

async fn facts(lab: &Lab, more: &[(&str, FieldValue)]) -> Vec<Fact> {
    let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
    given.extend(inputs(more));
    let plan = find("upgrade").unwrap();
    let plan = plan.plan(&given, &lab::running_inventory()).unwrap();
    let before = lab.picture();
    let state = RunState::new(Arc::new(plan.clone()));
    let facts = Preflights::new(lab.services())
        .collect(RunId(1), &plan, 0, &state)
        .await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    for (at, fact) in facts.iter().enumerate() {
        let same = |other: &&Fact| (&other.subject, &other.name) == (&fact.subject, &fact.name);
        assert!(!facts[..at].iter().any(|o| same(&o)), "twice: {fact:?}");
        assert!(
            fact.verdict == Verdict::Pass || fact.advice.is_some(),
            "{fact:?}"
        );
    }
    facts
}

async fn to(lab: &Lab, version: &str) -> Vec<Fact> {
    facts(lab, &[("version", text(version))]).await
}

/// Facts with a verdict, by subject and name.
fn with(facts: &[Fact], verdict: Verdict) -> Vec<String> {
    let found = facts.iter().filter(|f| f.verdict == verdict);
    found
        .map(|f| format!("{}: {}", f.subject, f.name))
        .collect()
}

fn value<'a>(facts: &'a [Fact], subject: &str, name: &str) -> &'a str {
    let found = facts
        .iter()
        .find(|f| f.subject == subject && f.name == name);
    found.map_or("", |f| &f.value)
}

#[test]
fn bad_inputs_are_named() {
    let refused = |more: &[(&str, FieldValue)]| -> Vec<String> {
        let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
        given.extend(inputs(more));
        let plan = find("upgrade").unwrap();
        let errors = plan.plan(&given, &lab::running_inventory()).unwrap_err();
        errors.into_iter().map(|e| e.field).collect()
    };
    assert_eq!(refused(&[("version", text("1.33"))]), ["version"]);
    assert_eq!(refused(&[("version", text("v1.19.1+k3s1"))]), ["version"]);
    assert_eq!(refused(&[("channel", text("newest"))]), ["channel"]);
    assert_eq!(
        refused(&[("channels_url", text("ftp://files"))]),
        ["channels_url"]
    );
    assert_eq!(refused(&[("drain_s", text("5"))]), ["drain_s"]);
    assert_eq!(refused(&[("drain_s", text("soon"))]), ["drain_s"]);
    assert_eq!(
        refused(&[("source", text("air_gapped"))]),
        ["script_path", "binary_path"]
    );
    assert_eq!(refused(&[("cluster", FieldValue::Id(7))]), ["cluster"]);
    let mut two = lab::running_inventory();
    two.clusters[0].members.retain(|m| m.host != HostId(3));
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let errors = find("upgrade").unwrap().plan(&given, &two).unwrap_err();
    assert_eq!(errors[0].field, "cluster");
}

#[tokio::test(start_paused = true)]
async fn one_minor_version_up_passes() {
    let facts = to(&versions([FROM; 4]), "v1.33.5+k3s1").await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
    assert_eq!(
        value(&facts, "node2", "Upgrade"),
        "v1.32.9+k3s1 \u{2192} v1.33.5+k3s1"
    );
    assert!(value(&facts, "node4", "Arguments").contains("k3s-agent.service"));
}

/// Members that were removed long ago come back when etcd 3.6 follows on an early 3.5.
#[tokio::test(start_paused = true)]
async fn etcd_3_6_does_not_follow_on_an_early_one() {
    let early = [
        "v1.33.5+k3s1",
        "v1.33.7+k3s3",
        "v1.33.5+k3s1",
        "v1.33.5+k3s1",
    ];
    for wanted in ["v1.34.1+k3s1", "v1.33.13+k3s1"] {
        let facts = to(&versions(early), wanted).await;
        let failing = with(&facts, Verdict::Fail);
        assert_eq!(failing, ["node1: etcd 3.6", "node3: etcd 3.6"], "{wanted}");
        let advice = facts.iter().find(|f| f.name == "etcd 3.6").unwrap();
        assert!(advice.advice.as_ref().unwrap().contains("v1.33.7+k3s3"));
    }
    let facts = to(&versions(["v1.33.9+k3s1"; 4]), "v1.34.1+k3s1").await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
    assert_eq!(
        value(&facts, "node2", "etcd 3.6"),
        "may follow on etcd 3.5.26"
    );
    // Nothing changes for a version that brings no 3.6.
    let facts = to(&versions(early), "v1.33.9+k3s1").await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
    assert_eq!(value(&facts, "node1", "etcd 3.6"), "");
}

#[tokio::test(start_paused = true)]
async fn no_minor_is_skipped_and_nothing_goes_back() {
    let lab = versions([FROM; 4]);
    let all = |name: &str| {
        (1..=4)
            .map(|n| format!("node{n}: {name}"))
            .collect::<Vec<_>>()
    };
    let skipped = to(&lab, "v1.34.1+k3s1").await;
    assert_eq!(with(&skipped, Verdict::Fail), all("Upgrade"));
    let advice = skipped.iter().find(|f| f.name == "Upgrade").unwrap();
    assert_eq!(
        advice.advice.as_deref(),
        Some("No minor version may be skipped: upgrade to v1.33 first.")
    );
    let back = to(&lab, "v1.32.8+k3s1").await;
    assert_eq!(with(&back, Verdict::Fail), all("Upgrade"));
}

#[tokio::test(start_paused = true)]
async fn agents_stay_within_the_skew() {
    let new = "v1.33.5+k3s1";
    let behind = to(&versions([FROM, FROM, FROM, "v1.31.1+k3s1"]), new).await;
    assert_eq!(with(&behind, Verdict::Fail), ["node4: Upgrade"]);
    // The servers are there already: the agent follows.
    let last = to(&versions([new, new, new, "v1.31.1+k3s1"]), new).await;
    assert_eq!(with(&last, Verdict::Fail), [""; 0]);
    assert!(with(&last, Verdict::Warn).contains(&"node4: Upgrade".to_owned()));
    let lost = to(&versions([new, new, new, "v1.29.1+k3s1"]), new).await;
    assert_eq!(with(&lost, Verdict::Fail), ["node4: Upgrade"]);
}

/// It may lag behind, as any agent: those of an autoscaler come and go.
#[tokio::test(start_paused = true)]
async fn a_stranger_is_told_and_left_alone() {
    let lab = versions([FROM; 4]);
    let agent = "agent --server https://10.0.0.1:6443 --node-name node5";
    lab.world.set_up(HostId(5), "k3s-agent.service", agent);
    lab.world.run_version(HostId(5), FROM);
    let found = to(&lab, "v1.33.5+k3s1").await;
    assert_eq!(with(&found, Verdict::Fail), [""; 0]);
    assert!(with(&found, Verdict::Warn).contains(&"prod: Nodes".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn without_a_server_it_is_refused() {
    let lab = versions([FROM; 4]);
    lab.world.stop_k3s(HostId(3));
    let found = with(&to(&lab, "v1.33.5+k3s1").await, Verdict::Fail);
    for fact in ["node3: k3s", "node3: etcd", "prod: etcd"] {
        assert!(found.contains(&fact.to_owned()), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_told() {
    let lab = versions([FROM; 4]);
    let soon = Some(Duration::from_secs(600));
    lab.world.pod("db", "node2", PodOwner::StatefulSet, soon);
    lab.world.change(HostId(1), |host| host.free_kib = 1000);
    lab.world.change(HostId(3), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let text = host.files[unit].replace("/usr/local/bin/k3s", "/opt/bin/k3s");
        host.files.insert(unit.to_owned(), text);
    });
    let facts = to(&lab, "v1.33.5+k3s1").await;
    assert_eq!(
        with(&facts, Verdict::Fail),
        [
            "node1: Space for /var/lib/rancher",
            "node1: Space for /usr/local/bin",
            "node3: Arguments"
        ]
    );
    assert_eq!(value(&facts, "node2", "Only replicas"), "default/db");
    assert_eq!(
        value(&facts, "prod", "Disruption budgets"),
        "let no pod go now: default/db"
    );
}

/// Unit and environment file are put back: the installer need not be told what stands in them.
#[tokio::test(start_paused = true)]
async fn arguments_that_the_installer_could_not_pass_on_are_no_obstacle() {
    let lab = versions([FROM; 4]);
    lab.world.change(HostId(3), |host| {
        let unit = "/etc/systemd/system/k3s.service";
        let flags = "'--kubelet-arg=eviction-hard=imagefs.available<1%,nodefs.available<1%' \\\n\t'--node-label=a=%H$X`'";
        let text = host.files[unit].replace("'--node-name'", &format!("{flags} \\\n\t'--node-name'"));
        host.files.insert(unit.to_owned(), text);
        let env = format!("{unit}.env");
        let text = format!("{}Http_Proxy=a\n", host.files[&env]);
        host.files.insert(env, text);
    });
    let facts = to(&lab, "v1.33.5+k3s1").await;
    assert_eq!(with(&facts, Verdict::Fail), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_one_version() {
    let lab = versions([FROM; 4]);
    let facts = async |channel| facts(&lab, &[("channel", text(channel))]).await;
    let found = facts("v1.33").await;
    assert_eq!(with(&found, Verdict::Fail), [""; 0]);
    assert_eq!(
        value(&found, "prod", "Target"),
        "k3s v1.33.9+k3s1, downloaded by the installer"
    );
    let unknown = facts("testing").await;
    assert_eq!(with(&unknown, Verdict::Fail), ["prod: Target"]);
    assert!(value(&unknown, "prod", "Target").contains("404"));
}
