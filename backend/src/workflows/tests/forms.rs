//! Bad input is refused by the name of its field.

use coxswain_wire::{
    ClusterLive, ClusterPhase, Enrolment, FieldValue, Inputs, MemberRole, NodeLive, Timestamp,
};

use super::super::{Inventory, all, find};
use super::lab::{self, inputs, list, text};

/// The fields that a workflow refuses.
pub(super) fn refused(workflow: &str, inputs: &Inputs, inventory: &Inventory) -> Vec<String> {
    let errors = find(workflow).unwrap().plan(inputs, inventory).unwrap_err();
    assert!(
        errors.iter().all(|e| e.message.ends_with('.')),
        "{errors:?}"
    );
    errors.into_iter().map(|e| e.field).collect()
}

fn bootstrap(more: &[(&str, FieldValue)]) -> Vec<String> {
    let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
    given.extend(inputs(more));
    refused("bootstrap", &given, &lab::inventory())
}

#[test]
fn bad_inputs_are_named() {
    assert_eq!(bootstrap(&[("clustre", FieldValue::Id(1))]), ["clustre"]);
    assert_eq!(bootstrap(&[("clean_up", text("yes"))]), ["clean_up"]);
    assert_eq!(bootstrap(&[("source", text("usb"))]), ["source"]);
    assert_eq!(
        bootstrap(&[("source", text("air_gapped"))]),
        ["script_path", "binary_path"]
    );
    assert_eq!(bootstrap(&[("script_path", text("/x"))]), ["script_path"]);
    assert_eq!(bootstrap(&[("version", text("1.33"))]), ["version"]);
    assert_eq!(bootstrap(&[("version", text("v1.19.1+k3s1"))]), ["version"]);
    assert_eq!(bootstrap(&[("channel", text("-o"))]), ["channel"]);
    assert_eq!(
        bootstrap(&[("installer_url", text("file:///etc/passwd"))]),
        ["installer_url"]
    );
    assert_eq!(
        bootstrap(&[("sans", list(&["ok.example", "*.example", "10.0.0.256"]))]),
        ["sans", "sans"]
    );
    assert_eq!(
        bootstrap(&[("server_args", list(&["--token x"]))]),
        ["server_args"]
    );
    let both = list(&["--cluster-cidr 10.42.0.0/16,fd42::/56"]);
    assert_eq!(bootstrap(&[("server_args", both)]), ["server_args"]);
    assert_eq!(
        bootstrap(&[("agent_args", list(&["--disable=traefik"]))]),
        ["agent_args"]
    );
    assert_eq!(
        bootstrap(&[("server_args", list(&["--node-label=a=b\u{202e}c"]))]),
        ["server_args"]
    );
    assert_eq!(
        bootstrap(&[("version", text("v1.33.5+k3s1\u{200b}"))]),
        ["version"]
    );
    assert_eq!(bootstrap(&[("cluster", FieldValue::Id(7))]), ["cluster"]);
    assert_eq!(bootstrap(&[("cluster", text("prod"))]), ["cluster"]);
    assert_eq!(
        refused("bootstrap", &Inputs::new(), &lab::inventory()),
        ["cluster"]
    );
}

#[test]
fn bad_clusters_are_named() {
    let given = inputs(&[("cluster", FieldValue::Id(1))]);
    let with = |change: fn(&mut Inventory)| {
        let mut inventory = lab::inventory();
        change(&mut inventory);
        refused("bootstrap", &given, &inventory)
    };
    assert_eq!(
        with(|i| i.clusters[0].phase = ClusterPhase::Running),
        ["cluster"]
    );
    assert_eq!(with(|i| i.clusters[0].members.truncate(2)), ["cluster"]);
    assert_eq!(
        with(|i| i.clusters[0]
            .members
            .retain(|m| m.role != MemberRole::Server)),
        ["cluster"]
    );
    assert_eq!(
        with(|i| i.hosts[0].enrolment = Enrolment::Unconfirmed),
        ["cluster"]
    );
    assert_eq!(
        with(|i| i.hosts[0].name = i.hosts[1].name.clone()),
        ["cluster"]
    );
    assert_eq!(
        with(|i| i.hosts[0].node_address = i.hosts[1].node_address.clone()),
        ["cluster"]
    );
    assert_eq!(with(|i| i.hosts[0].name = "Node_1".to_owned()), ["cluster"]);
}

#[test]
fn a_server_is_not_uninstalled_alone() {
    let given = |hosts: &[i64]| {
        inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("hosts", FieldValue::Ids(hosts.to_vec())),
        ])
    };
    assert_eq!(
        refused("uninstall", &given(&[2]), &lab::running_inventory()),
        ["hosts"]
    );
    assert_eq!(
        refused("uninstall", &given(&[5]), &lab::running_inventory()),
        ["hosts"]
    );
    assert!(
        find("uninstall")
            .unwrap()
            .plan(&given(&[1, 2, 3, 4]), &lab::running_inventory())
            .is_ok()
    );
}

#[test]
fn joins_are_checked() {
    let given = |cluster: i64, host: i64| {
        inputs(&[
            ("cluster", FieldValue::Id(cluster)),
            ("host", FieldValue::Id(host)),
            ("version", text("v1.33.5+k3s1")),
        ])
    };
    assert_eq!(
        refused("join", &given(1, 5), &lab::inventory()),
        ["cluster"]
    );
    assert_eq!(
        refused("join", &given(1, 77), &lab::running_inventory()),
        ["host"]
    );
    assert_eq!(
        refused("join", &given(1, 4), &lab::running_inventory()),
        ["role"]
    );
    let mut no_version = given(1, 5);
    no_version.remove("version");
    assert_eq!(
        refused("join", &no_version, &lab::running_inventory()),
        ["version"]
    );
    let plan = find("join")
        .unwrap()
        .plan(&given(1, 5), &lab::running_inventory())
        .unwrap();
    assert_eq!(
        plan.warnings.len(),
        1,
        "an even number of servers is told: {:?}",
        plan.warnings
    );
}

/// What the panel sees of the cluster: nodes with their versions.
fn seen(nodes: &[(&str, &str)]) -> ClusterLive {
    let node = |(name, version): &(&str, &str)| NodeLive {
        name: (*name).to_owned(),
        ready: true,
        roles: Vec::new(),
        version: (*version).to_owned(),
        address: String::new(),
        cordoned: false,
    };
    ClusterLive {
        observed_at: Timestamp(0),
        endpoints: Vec::new(),
        nodes: Some(nodes.iter().map(node).collect()),
        etcd: None,
        workloads: None,
        names: std::collections::BTreeMap::new(),
    }
}

#[test]
fn a_joiner_gets_the_version_that_the_servers_run() {
    let given = inputs(&[("cluster", FieldValue::Id(1)), ("host", FieldValue::Id(5))]);
    let join = |nodes: &[(&str, &str)]| {
        let mut inventory = lab::running_inventory();
        inventory.clusters[0].live = Some(seen(nodes));
        find("join").unwrap().plan(&given, &inventory)
    };
    let same = [
        ("node1", "v1.33.5+k3s1"),
        ("node2", "v1.33.5+k3s1"),
        // An agent may be older.
        ("node4", "v1.32.9+k3s1"),
    ];
    let plan = join(&same).unwrap();
    let commands: Vec<_> = plan.steps().flat_map(|(_, _, s)| &s.commands).collect();
    assert!(
        commands
            .iter()
            .any(|c| c.contains("INSTALL_K3S_VERSION=v1.33.5+k3s1")),
        "{commands:?}"
    );
    let mixed = [("node1", "v1.33.5+k3s1"), ("node2", "v1.33.6+k3s1")];
    let errors = join(&mixed).unwrap_err();
    assert_eq!(errors[0].field, "version");
    assert!(errors[0].message.contains("v1.33.6+k3s1"), "{errors:?}");
    assert_eq!(join(&[]).unwrap_err()[0].field, "version");
}

#[test]
fn commands_are_checked() {
    let given = |what: &str, more: &[(&str, FieldValue)]| {
        let mut given = inputs(&[("cluster", FieldValue::Id(1)), ("what", text(what))]);
        given.extend(inputs(more));
        given
    };
    let bad = |what: &str, more: &[(&str, FieldValue)]| {
        refused("command", &given(what, more), &lab::running_inventory())
    };
    let hosts = |ids: &[i64]| ("hosts", FieldValue::Ids(ids.to_vec()));
    assert_eq!(bad("reboot", &[]), ["what"]);
    assert_eq!(bad("nodes", &[hosts(&[1, 2])]), ["hosts"]);
    assert_eq!(bad("pods", &[hosts(&[4])]), ["hosts"]);
    assert_eq!(bad("snapshots", &[hosts(&[1, 4])]), ["hosts"]);
    assert_eq!(bad("certificates", &[hosts(&[9])]), ["hosts"]);
    assert_eq!(bad("log", &[hosts(&[5])]), ["hosts"]);
    for lines in ["0", "10001", "-1", "many"] {
        assert_eq!(bad("log", &[("lines", text(lines))]), ["lines"]);
    }
    assert_eq!(bad("log", &[("follow_s", text("601"))]), ["follow_s"]);
    assert_eq!(bad("nodes", &[("lines", text("5"))]), ["lines"]);
    assert_eq!(bad("shell", &[hosts(&[1])]), ["shell"]);
    assert_eq!(bad("shell", &[("shell", text("uptime"))]), ["hosts"]);
    let typed = |command: &str| bad("shell", &[hosts(&[1]), ("shell", text(command))]);
    assert_eq!(typed("echo \u{1b}[2J"), ["shell"]);
    assert_eq!(typed(&"x".repeat(4097)), ["shell"]);
    assert_eq!(
        typed("curl -H 'Authorization: Bearer abcdefghijklmnop'"),
        ["shell"]
    );
    let mut slow = given("shell", &[hosts(&[1]), ("shell", text("sleep 1"))]);
    slow.insert("timeout_s".to_owned(), text("3601"));
    assert_eq!(
        refused("command", &slow, &lab::running_inventory()),
        ["timeout_s"]
    );
}

#[test]
fn looks_take_no_lock_and_wait_at_no_gate() {
    let plan = |given: Inputs| {
        let command = find("command").unwrap();
        command.plan(&given, &lab::running_inventory()).unwrap()
    };
    for what in ["nodes", "pods", "snapshots", "log", "certificates"] {
        let given = inputs(&[("cluster", FieldValue::Id(1)), ("what", text(what))]);
        let plan = plan(given);
        assert!(plan.locks.is_empty(), "{what}");
        assert!(plan.stages.iter().all(|s| s.gate.is_none()), "{what}");
        assert!(plan.steps().all(|(_, _, s)| s.is_look()), "{what}");
    }
    let typed = plan(inputs(&[
        ("cluster", FieldValue::Id(1)),
        ("what", text("shell")),
        ("hosts", FieldValue::Ids(vec![2])),
        ("shell", text("uptime")),
    ]));
    assert_eq!(typed.locks, ["cluster:1", "host:2"]);
    assert!(typed.stages[0].gate.is_some());
}

#[test]
fn snapshots_are_checked() {
    let inventory = Inventory {
        snapshots: lab::taken(),
        ..lab::running_inventory()
    };
    let of = |workflow: &str, more: &[(&str, FieldValue)]| {
        let mut given = inputs(&[("cluster", FieldValue::Id(1))]);
        given.extend(inputs(more));
        refused(workflow, &given, &inventory)
    };
    let snapshot = |action: &str, field: &str, value: FieldValue| {
        of("snapshot", &[("action", text(action)), (field, value)])
    };
    assert_eq!(snapshot("save", "server", FieldValue::Id(4)), ["server"]);
    assert_eq!(snapshot("save", "keep", text("1")), ["keep"]);
    for keep in ["0", "-1", "x", "3", "99"] {
        assert_eq!(snapshot("prune", "keep", text(keep)), ["keep"], "{keep}");
    }
    assert_eq!(snapshot("delete", "names", list(&["other"])), ["names"]);
    let all: Vec<String> = lab::taken().iter().map(|s| s.name().to_owned()).collect();
    assert_eq!(
        snapshot("delete", "names", FieldValue::List(all)),
        ["names"]
    );

    let restore = |situation: &str, field: &str, value: FieldValue| {
        let more = [
            ("situation", text(situation)),
            ("snapshot", text("coxswain-9-0-node1-1795000300")),
            (field, value),
        ];
        of("snapshot_restore", &more)
    };
    assert_eq!(
        restore("one_lost", "server", FieldValue::Id(1)),
        ["situation"]
    );
    assert_eq!(
        restore("data_wrong", "snapshot", text("coxswain-1-1-x-1")),
        ["snapshot"]
    );
    assert_eq!(
        restore("data_wrong", "server", FieldValue::Id(4)),
        ["server"]
    );
    assert_eq!(
        restore("quorum_lost", "lost", FieldValue::Ids(vec![5])),
        ["lost"]
    );
    // The snapshot lies on it, and it would be the one that is restored.
    assert_eq!(
        restore("quorum_lost", "lost", FieldValue::Ids(vec![1])),
        ["lost", "server"]
    );
    let file = |path: &str, server: i64| {
        of(
            "snapshot_restore",
            &[
                ("situation", text("data_wrong")),
                ("source", text("file")),
                ("file_server", FieldValue::Id(server)),
                ("file_path", text(path)),
            ],
        )
    };
    assert_eq!(file("snapshots/x", 1), ["file_path"]);
    assert_eq!(file("/a/../b", 1), ["file_path"]);
    assert_eq!(file("/a/b", 4), ["file_server"]);
}

#[test]
fn forms_are_consistent() {
    for workflow in all() {
        let info = workflow.info();
        assert_eq!(info.name, workflow.name());
        for (at, field) in info.fields.iter().enumerate() {
            if let Some(condition) = &field.only_if {
                assert!(
                    info.fields[..at].iter().any(|f| f.name == condition.field),
                    "{}",
                    field.name
                );
            }
        }
    }
}

#[test]
fn only_a_node_that_others_can_spare_is_removed() {
    let given = |host: i64, state: &str| {
        inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(host)),
            ("state", text(state)),
        ])
    };
    let running = lab::running_inventory();
    let removal =
        |inputs: &Inputs, inventory: &Inventory| refused("remove_node", inputs, inventory);
    assert_eq!(removal(&given(5, "reachable"), &running), ["host"]);
    assert_eq!(removal(&given(9, "reachable"), &running), ["host"]);
    assert_eq!(removal(&given(3, "dead"), &running), ["state"]);
    assert_eq!(removal(&given(3, "lost"), &lab::inventory()), ["cluster"]);
    let mut alone = lab::running_inventory();
    alone.clusters[0]
        .members
        .retain(|m| m.role != MemberRole::Server || m.host.0 == 1);
    assert_eq!(removal(&given(1, "reachable"), &alone), ["host"]);
}
