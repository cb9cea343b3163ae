//! What the gates see.

use coxswain_engine::evidence::{Preflight, changes as changed, evidence};
use coxswain_engine::plan::Plan;
use coxswain_engine::state::RunState;
use coxswain_wire::{
    Enrolment, Fact, FieldValue, Host, HostId, HostKey, Inputs, RunId, Timestamp, Verdict,
};
use std::sync::Arc;

use super::super::{Inventory, Preflights, find};
use super::lab::{self, Lab, inputs, list, text, virtual_now};
use crate::world::fake::FakeHost;

/// The facts of a workflow's first gate.
pub(super) async fn facts(
    lab: &Lab,
    workflow: &str,
    inputs: &Inputs,
    inventory: &Inventory,
) -> Vec<Fact> {
    let plan: Plan = find(workflow).unwrap().plan(inputs, inventory).unwrap();
    let state = RunState::new(Arc::new(plan.clone()));
    Preflights::new(lab.services())
        .collect(RunId(1), &plan, 0, &state)
        .await
}

async fn bootstrap(change: impl FnOnce(&mut Vec<FakeHost>)) -> Vec<Fact> {
    let mut machines = lab::machines();
    change(&mut machines);
    let lab = Lab::new(machines, &lab::inventory().clusters[0]);
    let before = lab.picture();
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let facts = facts(&lab, "bootstrap", &given, &lab::inventory()).await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    facts
}

/// Names of failing facts by subject; each has advice.
pub(super) fn failing(facts: &[Fact]) -> Vec<String> {
    for (at, fact) in facts.iter().enumerate() {
        let same = |other: &&Fact| (&other.subject, &other.name) == (&fact.subject, &fact.name);
        assert!(
            !facts[..at].iter().any(|other| same(&other)),
            "twice: {fact:?}"
        );
    }
    let bad = facts.iter().filter(|f| f.verdict == Verdict::Fail);
    bad.map(|f| {
        assert!(f.advice.is_some(), "{f:?}");
        format!("{}: {}", f.subject, f.name)
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn bare_hosts_pass() {
    let facts = bootstrap(|_| {}).await;
    assert_eq!(failing(&facts), [""; 0]);
    // Flannel's: what cannot be tried is said.
    let untried = facts.iter().find(|fact| fact.name == "UDP 8472").unwrap();
    assert_eq!(untried.verdict, Verdict::Warn);
    assert!(untried.value.contains("cannot be proven"), "{untried:?}");
}

/// Whatever a workflow looks at: an approval is for these machines.
#[tokio::test(start_paused = true)]
async fn every_gate_is_bound_to_its_machines() {
    use super::lab::{inventory, running_inventory};
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("version", text("v1.33.5+k3s1")),
    ]);
    let save = inputs(&[("cluster", FieldValue::Id(1))]);
    let bare = Lab::new(lab::machines(), &inventory().clusters[0]);
    for (lab, workflow, given, inventory, host) in [
        (bare, "bootstrap", given, inventory(), HostId(3)),
        (
            lab::running_lab(),
            "snapshot",
            save,
            running_inventory(),
            HostId(1),
        ),
    ] {
        let plan = find(workflow).unwrap().plan(&given, &inventory).unwrap();
        assert!(plan.hosts().contains(&host), "{workflow}");
        // However far the run is: no step changes which machine it is.
        let mut begun = RunState::new(Arc::new(plan.clone()));
        begun.steps.iter_mut().for_each(|step| step.attempt = 1);
        assert!(begun.untouched("SSH", 0), "{workflow}");
        let before = facts(&lab, workflow, &given, &inventory).await;
        let changes: [fn(&mut Host); 4] = [
            |host| host.ssh_address = "10.0.0.66".to_owned(),
            |host| host.ssh_port = 2222,
            |host| host.ssh_user = "eve".to_owned(),
            |host| {
                host.enrolment = Enrolment::Pinned {
                    keys: vec![HostKey {
                        algorithm: "ssh-ed25519".to_owned(),
                        fingerprint: "SHA256:other".to_owned(),
                    }],
                    confirmed_at: Timestamp(0),
                }
            },
        ];
        let as_approved = evidence(virtual_now(), before.clone());
        for change in changes {
            let (mut was, mut is) = (None, None);
            lab.enter(host, |host| {
                was = Some(host.clone());
                change(host);
                is = Some(host.clone());
            });
            let now = facts(&lab, workflow, &given, &inventory).await;
            let told = changes_of(&before, &now);
            assert!(
                told.contains(&format!("SSH, node{host}: was ops@")),
                "{told}"
            );
            let now = evidence(virtual_now(), now);
            assert_ne!(as_approved.sha256, now.sha256, "{workflow} {is:?}");
            lab.enter(host, |host| *host = was.unwrap());
        }
    }
}

fn changes_of(before: &[Fact], now: &[Fact]) -> String {
    changed(before, now, &|_| true).join("; ")
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_told() {
    let found = failing(&bootstrap(|hosts| hosts[1].reachable = false).await);
    assert!(found.contains(&"node2: Connection".to_owned()), "{found:?}");
    let found = failing(&bootstrap(|hosts| hosts[0].clock_offset_ms = -180_000).await);
    assert_eq!(found, ["node1: Clock"]);
    let found = failing(&bootstrap(|hosts| hosts[0].free_kib = 1000).await);
    assert_eq!(
        found,
        [
            "node1: Space for /var/lib/rancher",
            "node1: Space for /usr/local/bin"
        ]
    );
    let facts = bootstrap(|hosts| {
        let text = "K3S_URL=https://10.9.9.9:6443\nK3S_TOKEN=hunter2\n".to_owned();
        hosts[1].files.insert("/etc/default/k3s".to_owned(), text);
    })
    .await;
    assert_eq!(failing(&facts), ["node2: Leftovers"]);
    assert!(!format!("{facts:?}").contains("hunter2"));
    let found =
        failing(&bootstrap(|hosts| hosts[2].port_taken_by = Some("nginx".to_owned())).await);
    assert_eq!(found, ["node3: Ports"]);
    let found =
        failing(&bootstrap(|hosts| hosts[5].port_taken_by = Some("nginx".to_owned())).await);
    assert_eq!(found, ["lb: Port 6443"]);
    let found = failing(&bootstrap(|hosts| hosts[2].init = "runit".to_owned()).await);
    assert_eq!(found, ["node3: systemd"]);
    let found = failing(&bootstrap(|hosts| hosts[1].hostname = "node1".to_owned()).await);
    assert_eq!(found, ["prod: Host names"]);
    let found = failing(&bootstrap(|hosts| hosts[3].filtered = true).await);
    assert!(
        found.contains(&"node1: Way to node4".to_owned()),
        "{found:?}"
    );
    for (at, way) in [
        (2, "node3: Way from the panel"),
        (5, "lb: Way from the panel"),
    ] {
        let found = failing(&bootstrap(|hosts| hosts[at].filtered = true).await);
        assert!(found.contains(&way.to_owned()), "{found:?}");
    }
    let facts = bootstrap(|hosts| hosts[5].confined = true).await;
    assert_eq!(failing(&facts), [""; 0]);
    assert!(odd(&facts).iter().any(|(name, _)| name == "lb: SELinux"));
    let facts = bootstrap(|hosts| hosts[5].tools = vec!["curl", "ss"]).await;
    assert_eq!(failing(&facts), [""; 0]);
    assert!(
        odd(&facts)
            .iter()
            .any(|(name, value)| name == "lb: Tools" && value.contains("statistics")),
        "{facts:?}"
    );
    let found = failing(&bootstrap(|hosts| hosts[5].haproxy_gone()).await);
    assert_eq!(found, ["lb: HAProxy", "lb: haproxy.cfg"]);
}

/// Made with INSTALL_K3S_NAME. Its unit is not known to a clean-up either.
const NAMED_UNIT: &str = "/etc/systemd/system/k3s-old.service";

#[tokio::test(start_paused = true)]
async fn a_k3s_of_another_name_stands_in_the_way_of_a_new_one() {
    let facts = bootstrap(|hosts| {
        hosts[1].files.insert(NAMED_UNIT.to_owned(), String::new());
    })
    .await;
    assert_eq!(failing(&facts), ["node2: k3s of another name"]);
    let found = facts.iter().find(|f| f.name == "k3s of another name");
    let found = found.unwrap();
    assert_eq!(found.value, "k3s-old.service is active");
    let advice = found.advice.as_deref().unwrap();
    assert!(advice.contains("k3s-old-uninstall.sh"), "{advice}");

    // Of a cluster that runs it is shown, and nobody is told to stop that.
    let facts = import("", |lab, _| {
        lab.world.change(HostId(2), |host| {
            host.files.insert(NAMED_UNIT.to_owned(), String::new());
        });
    })
    .await;
    assert_eq!(failing(&facts), [""; 0]);
    let name = "node2: k3s of another name".to_owned();
    assert_eq!(
        odd(&facts),
        [(name, "k3s-old.service is active".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn what_haproxy_cfg_will_say_is_shown_without_its_passwords() {
    let facts = bootstrap(|hosts| {
        hosts[5].files.insert(
            "/etc/haproxy/haproxy.cfg".to_owned(),
            "listen stats\n    bind :8404\n    stats auth ops:swordfish\n".to_owned(),
        );
    })
    .await;
    let diff = facts
        .iter()
        .find(|fact| fact.name == "haproxy.cfg")
        .and_then(|fact| fact.diff.clone())
        .unwrap();
    assert!(diff.contains("     stats auth ops:"), "{diff}");
    assert!(!diff.contains("swordfish"), "{diff}");
    assert!(diff.contains("+frontend coxswain-prod-api"), "{diff}");
}

#[tokio::test(start_paused = true)]
async fn old_databases_are_told_apart() {
    let old = |path: &str| {
        let path = format!("/var/lib/rancher/k3s/server/db/{path}");
        move |hosts: &mut Vec<FakeHost>| drop(hosts[0].files.insert(path, "data".to_owned()))
    };
    let value = |facts: &[Fact]| {
        facts
            .iter()
            .find(|f| f.subject == "node1" && f.name == "Datastore")
            .unwrap()
            .value
            .clone()
    };
    let sqlite = bootstrap(old("state.db")).await;
    assert!(
        failing(&sqlite).contains(&"node1: Datastore".to_owned())
            && value(&sqlite).contains("SQLite")
    );
    let etcd = bootstrap(old("etcd/member/snap/db")).await;
    assert!(
        failing(&etcd).contains(&"node1: Datastore".to_owned()) && value(&etcd).contains("etcd")
    );
}

#[tokio::test(start_paused = true)]
async fn configuration_is_shown_without_its_secrets() {
    let path = "/etc/rancher/k3s/config.yaml";
    let with = |text: &'static str| {
        move |hosts: &mut Vec<FakeHost>| {
            drop(hosts[0].files.insert(path.to_owned(), text.to_owned()))
        }
    };
    let shown = bootstrap(with("node-label:\n- zone=a\nagent-token: hunter2hunter2\n")).await;
    let fact = shown.iter().find(|f| f.name == path).unwrap();
    assert!(
        fact.value.contains("zone=a") && !fact.value.contains("hunter2"),
        "{}",
        fact.value
    );
    assert_eq!(failing(&shown), [""; 0]);
    let refused = bootstrap(with("server: https://10.9.9.9:6443\n")).await;
    assert_eq!(failing(&refused), ["node1: Configuration"]);
}

#[tokio::test(start_paused = true)]
async fn air_gapped_files_are_looked_for() {
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("source", text("air_gapped")),
        ("script_path", text("/opt/install.sh")),
        ("binary_path", text("/opt/k3s")),
    ]);
    let mut machines = lab::machines();
    for machine in &mut machines[..3] {
        machine
            .files
            .insert("/opt/install.sh".to_owned(), "#!/bin/sh".to_owned());
        machine
            .files
            .insert("/opt/k3s".to_owned(), "k3s v1.33.5+k3s1".to_owned());
    }
    let lab = Lab::new(machines, &lab::inventory().clusters[0]);
    let inventory = lab::inventory();
    let look = || facts(&lab, "bootstrap", &given, &inventory);
    let before = look().await;
    assert_eq!(failing(&before), ["node4: Files", "prod: Version"]);
    let owner = |facts: &[Fact]| {
        let mut odd = odd(facts);
        odd.retain(|(name, _)| name.ends_with("Owner of the files"));
        odd
    };
    assert_eq!(owner(&before), []);

    // What was approved is what runs.
    lab.world.change(HostId(1), |host| {
        let text = "#!/bin/sh\n# of somebody else".to_owned();
        host.files.insert("/opt/install.sh".to_owned(), text);
        host.loose.insert("/opt/k3s".to_owned());
    });
    let now = look().await;
    let told = changes_of(&before, &now);
    assert!(told.contains("node1, Checksums: was "), "{told}");
    let loose = "others than root may replace /opt/k3s".to_owned();
    assert_eq!(
        owner(&now),
        [("node1: Owner of the files".to_owned(), loose)]
    );
}

/// What import reads of a cluster that was changed first.
async fn import(more: &str, change: impl FnOnce(&Lab, &mut Inventory)) -> Vec<Fact> {
    let lab = lab::foreign_lab(more);
    lab.balance();
    let mut inventory = lab::inventory();
    change(&lab, &mut inventory);
    let before = lab.picture();
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let facts = facts(&lab, "import", &given, &inventory).await;
    assert_eq!(lab.picture(), before, "looking changes nothing");
    facts
}

/// Subject, name and value of what is only odd.
pub(super) fn odd(facts: &[Fact]) -> Vec<(String, String)> {
    let odd = facts.iter().filter(|f| f.verdict == Verdict::Warn);
    odd.map(|f| {
        assert!(f.advice.is_some(), "{f:?}");
        (format!("{}: {}", f.subject, f.name), f.value.clone())
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_agrees_is_taken_over() {
    let facts = import("", |_, _| {}).await;
    assert_eq!(failing(&facts), [""; 0]);
    assert_eq!(odd(&facts), []);
    let value = |subject: &str, name: &str| {
        let found = facts
            .iter()
            .find(|f| f.subject == subject && f.name == name);
        found
            .unwrap_or_else(|| panic!("no {name} of {subject}"))
            .value
            .clone()
    };
    let names = value("prod", "Names in the certificate");
    assert!(
        names.contains("10.0.0.9: asked for by node1: command line"),
        "{names}"
    );
    assert!(names.contains("node2: of node2 itself"), "{names}");
    assert!(names.contains("localhost: k3s's own"), "{names}");
    assert!(value("node1", "Settings").contains("tls-san: 10.0.0.9 (command line)"));
    assert_eq!(value("prod", "Members"), "node1, node2, node3");
    assert!(value("node4", "Cluster").contains("that of node1"));
    assert!(value("lb", "HAProxy").contains("this panel's section"));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_the_inventory_does_not_know_stands_in_the_way() {
    let facts = import("", |_, inventory| {
        inventory.clusters[0]
            .members
            .retain(|m| m.host != HostId(4));
    })
    .await;
    assert_eq!(failing(&facts), ["prod: Nodes"]);
    let nodes = facts.iter().find(|f| f.name == "Nodes").unwrap();
    assert!(nodes.value.contains("node4 (10.0.0.4, agent)"), "{nodes:?}");

    let facts = import("", |_, inventory| {
        inventory.clusters[0]
            .members
            .retain(|m| m.host != HostId(3));
    })
    .await;
    let found = failing(&facts);
    assert_eq!(found, ["prod: Members", "prod: Nodes"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_inventory_says_wrong_is_told() {
    let role = |host: usize, role: coxswain_wire::MemberRole| {
        move |_: &Lab, inventory: &mut Inventory| inventory.clusters[0].members[host].role = role
    };
    let agent = import("", role(2, coxswain_wire::MemberRole::Agent)).await;
    let found = failing(&agent);
    assert!(found.contains(&"node3: Role".to_owned()), "{found:?}");
    assert!(found.contains(&"node3: Node".to_owned()), "{found:?}");
    let server = failing(&import("", role(3, coxswain_wire::MemberRole::Server)).await);
    assert!(server.contains(&"node4: Role".to_owned()), "{server:?}");

    let renamed = import("", |_, inventory| {
        inventory.hosts[1].name = "other".to_owned()
    })
    .await;
    let found = failing(&renamed);
    assert!(found.contains(&"other: Node".to_owned()), "{found:?}");
    let node = renamed
        .iter()
        .find(|f| f.subject == "other" && f.name == "Node");
    assert!(
        node.unwrap().advice.as_ref().unwrap().contains("node2"),
        "{node:?}"
    );

    let moved = |_: &Lab, i: &mut Inventory| i.hosts[3].node_address = "10.0.0.44".to_owned();
    let found = failing(&import("", moved).await);
    assert_eq!(found, ["node4: Node"]);
    let endpoint = |_: &Lab, i: &mut Inventory| i.clusters[0].endpoint = "api.test".to_owned();
    assert_eq!(failing(&import("", endpoint).await), ["prod: Endpoint"]);
    let gone = |lab: &Lab, _: &mut Inventory| {
        lab.world.change(HostId(4), |host| host.reachable = false);
    };
    assert_eq!(
        failing(&import("", gone).await),
        ["node4: Connection", "node4: Jobs of other runs"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_of_another_cluster_is_told() {
    let facts = import("", |lab, _| {
        let ca = "/var/lib/rancher/k3s/agent/server-ca.crt";
        lab.world.change(HostId(4), |host| {
            host.files.insert(ca.to_owned(), "another CA\n".to_owned());
        });
    })
    .await;
    assert_eq!(failing(&facts), ["node4: Cluster"]);
}

#[tokio::test(start_paused = true)]
async fn odd_things_are_told_and_do_not_stand_in_the_way() {
    let facts = import(" --token hunter2hunter2", |_, _| {}).await;
    assert_eq!(failing(&facts), [""; 0]);
    let found: Vec<String> = odd(&facts).into_iter().map(|(at, _)| at).collect();
    assert_eq!(
        found,
        ["node1: Secrets", "node2: Secrets", "node3: Secrets"]
    );
    assert!(!format!("{facts:?}").contains("hunter2"), "{facts:?}");

    let path = "/etc/rancher/k3s/config.yaml".to_owned();
    let drift = import("", |lab, _| {
        lab.world.change(HostId(2), |host| {
            let text =
                "agent-token: hunter2hunter2\ncluster-domain: lab.local\ntls-san: [hidden.lab]\n";
            host.files.insert(path, text.to_owned());
        });
    })
    .await;
    assert_eq!(failing(&drift), [""; 0]);
    let found = odd(&drift);
    let value = |at: &str| &found.iter().find(|(name, _)| name == at).unwrap().1;
    assert!(
        value("node2: Critical flags").contains("cluster-domain"),
        "{found:?}"
    );
    assert!(value("node2: In doubt").contains("hidden.lab"), "{found:?}");
    assert!(value("node2: Secrets").contains("config.yaml"), "{found:?}");
    assert!(!format!("{drift:?}").contains("hunter2"), "{drift:?}");

    let foreign = import("", |lab, _| {
        lab.world.change(lab::LB, |host| {
            let text = "listen k3s\n    bind *:6443\n    server a 10.0.0.1:6443\n";
            host.files
                .insert("/etc/haproxy/haproxy.cfg".to_owned(), text.to_owned());
        });
    })
    .await;
    assert_eq!(failing(&foreign), [""; 0]);
    assert!(
        odd(&foreign)[0].1.contains("somebody else"),
        "{:?}",
        odd(&foreign)
    );
}

#[tokio::test(start_paused = true)]
async fn other_datastores_are_told_apart() {
    let external = " --datastore-endpoint mysql://k3s:hunter2hunter2@tcp(db:3306)/k3s";
    let facts = import(external, |_, _| {}).await;
    let found = failing(&facts);
    assert!(found.contains(&"node1: Datastore".to_owned()), "{found:?}");
    assert!(!format!("{facts:?}").contains("hunter2"), "{facts:?}");

    let database = "/var/lib/rancher/k3s/server/db";
    let alone = import("", |lab, inventory| {
        inventory.clusters[0]
            .members
            .retain(|m| m.host != HostId(2) && m.host != HostId(3));
        lab.world.change(HostId(1), |host| {
            host.files.retain(|path, _| !path.starts_with(database));
            host.files
                .insert(format!("{database}/state.db"), "sqlite".to_owned());
        });
    })
    .await;
    let value = odd(&alone);
    assert!(
        value
            .iter()
            .any(|(at, what)| at == "node1: Datastore" && what.contains("not highly available")),
        "{value:?}"
    );
    // The others are still there in this world; a real one would be alone.
    assert_eq!(failing(&alone), ["prod: Nodes"]);

    let elsewhere = failing(&import(" --data-dir /data/k3s", |_, _| {}).await);
    assert!(
        elsewhere.contains(&"node1: Supported".to_owned()),
        "{elsewhere:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_typed_command_is_shown_word_for_word() {
    let command = "systemctl status haproxy | head";
    let given = inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("what", text("shell")),
        ("hosts", FieldValue::Ids(vec![1, 9])),
        ("shell", text(command)),
        ("sudo", FieldValue::Bool(true)),
    ]);
    let lab = lab::running_lab();
    lab.world.change(lab::LB, |host| host.reachable = false);
    let facts = facts(&lab, "command", &given, &lab::running_inventory()).await;
    assert_eq!(failing(&facts), ["lb: Connection"]);
    let fact = |subject: &str, name: &str| {
        let found = facts
            .iter()
            .find(|f| f.subject == subject && f.name == name);
        found.unwrap().value.clone()
    };
    assert_eq!(fact("prod", "Command"), command);
    assert_eq!(fact("node1", "Runs as"), "root");
}

#[tokio::test(start_paused = true)]
async fn joiners_are_compared_with_the_cluster() {
    let given = |version: &str| {
        inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(5)),
            ("version", text(version)),
        ])
    };
    let lab = lab::running_lab();
    lab.balance();
    let inventory = lab::running_inventory();
    assert_eq!(
        failing(&facts(&lab, "join", &given("v1.33.5+k3s1"), &inventory).await),
        [""; 0]
    );
    assert_eq!(
        failing(&facts(&lab, "join", &given("v1.32.1+k3s1"), &inventory).await),
        ["prod: Same version"]
    );
    let mut other = given("v1.33.5+k3s1");
    other.insert("args".to_owned(), list(&["--flannel-backend=host-gw"]));
    let found = failing(&facts(&lab, "join", &other, &inventory).await);
    assert_eq!(
        found,
        [
            "node1: Critical flags",
            "node2: Critical flags",
            "node3: Critical flags"
        ]
    );
    lab.world.change(HostId(3), |host| host.reachable = false);
    let found = failing(&facts(&lab, "join", &given("v1.33.5+k3s1"), &inventory).await);
    assert!(found.contains(&"prod: etcd".to_owned()), "{found:?}");
}
