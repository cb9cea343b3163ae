//! What every workflow gets for nothing (design §3): it completes; fails at each step and is unwound;
//! gives back what it takes only for its duration; does every step twice; is killed at every write and every effect; and its plan is the recorded one.

use std::collections::BTreeSet;
use std::sync::Arc;

use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::Plan;
use coxswain_engine::step::StepKind;
use coxswain_engine::testing::checks::{
    Subject, Takes, completes, gives_back, survives, twice, unwinds,
};
use coxswain_engine::testing::{NoProbe, NoUndoOfFailed, layer};
use coxswain_wire::{FieldValue, HostId, Inputs};

use super::super::{Inventory, Preflights, find};
use super::lab::{self, Lab, Picture};
use crate::steps::kinds;

/// A workflow with its example.
struct Example {
    workflow: &'static str,
    inputs: Inputs,
    inventory: Inventory,
    lab: fn() -> Lab,
    /// The picture shows how often each host was installed and cleaned, and the snapshots that are noted.
    counted: bool,
}

/// Jobs of each host, and noted snapshots.
type Counts = (Vec<usize>, Vec<(HostId, String, String, Vec<u8>)>);

impl Subject for Example {
    type Picture = (Picture, Option<Counts>);
    type World = Lab;

    fn world(&self) -> Lab {
        (self.lab)()
    }
    fn plan(&self) -> Plan {
        find(self.workflow)
            .unwrap()
            .plan(&self.inputs, &self.inventory)
            .unwrap()
    }
    fn kinds(&self, lab: &Lab) -> Vec<Arc<dyn StepKind>> {
        kinds(&lab.services())
    }
    fn preflight(&self, lab: &Lab) -> Arc<dyn Preflight> {
        Arc::new(Preflights::new(lab.services()))
    }
    fn picture(&self, lab: &Lab) -> Self::Picture {
        let jobs = [
            "install-k3s-online",
            "remove-k3s",
            "save-snapshot",
            "run-shell",
            "restart-k3s",
            "renew-serving",
            "rotate-certificates",
        ];
        let count = |host: i64| jobs.map(|job| lab.world.started(HostId(host), job));
        let counts = self
            .counted
            .then(|| ((1..=5).flat_map(count).collect(), lab.snapshots()));
        (lab.picture(), counts)
    }
}

impl Takes for Example {
    fn taken(&self, lab: &Lab) -> BTreeSet<String> {
        lab.taken()
    }
}

fn fresh_lab() -> Lab {
    let mut machines = lab::machines();
    // What was there before must be there afterwards.
    machines[1].files.insert(
        "/etc/rancher/k3s/config.yaml".to_owned(),
        "node-label:\n- zone=a\n".to_owned(),
    );
    machines[2]
        .files
        .insert("/usr/local/bin/k3s".to_owned(), "an older k3s".to_owned());
    Lab::new(machines, &lab::inventory().clusters[0])
}

fn bootstrap() -> Example {
    Example {
        workflow: "bootstrap",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("version", lab::text("v1.33.5+k3s1")),
            ("sans", lab::list(&["api.example.org"])),
            ("server_args", lab::list(&["--disable traefik"])),
        ]),
        inventory: lab::inventory(),
        lab: fresh_lab,
        counted: false,
    }
}

/// Old k3s on the hosts, and a clean-up first.
fn bootstrap_after_clean_up() -> Example {
    let mut inputs = bootstrap().inputs;
    inputs.insert("clean_up".to_owned(), FieldValue::Bool(true));
    Example {
        inputs,
        lab: old_lab,
        ..bootstrap()
    }
}

fn old_lab() -> Lab {
    let lab = fresh_lab();
    lab.world.set_up(
        HostId(3),
        "k3s.service",
        "server --cluster-init --node-name node3",
    );
    lab
}

fn join(role: &str) -> Example {
    Example {
        workflow: "join",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(5)),
            ("role", lab::text(role)),
            ("version", lab::text("v1.33.5+k3s1")),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// The load balancer has the three servers.
fn balanced_lab() -> Lab {
    balanced(lab::running_lab())
}

fn balanced(lab: Lab) -> Lab {
    lab.world.balance(
        lab::LB,
        "prod",
        &[
            ("node1", "10.0.0.1"),
            ("node2", "10.0.0.2"),
            ("node3", "10.0.0.3"),
        ],
    );
    lab
}

fn uninstall(hosts: &[i64]) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    if !hosts.is_empty() {
        inputs.insert("hosts".to_owned(), FieldValue::Ids(hosts.to_vec()));
    }
    Example {
        workflow: "uninstall",
        inputs,
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

/// The section is older than the third server.
fn load_balancer() -> Example {
    Example {
        workflow: "load_balancer",
        inputs: lab::inputs(&[("cluster", FieldValue::Id(1))]),
        inventory: lab::running_inventory(),
        lab: || {
            let lab = lab::running_lab();
            let servers = [("node1", "10.0.0.1"), ("node2", "10.0.0.2")];
            lab.world.balance(lab::LB, "prod", &servers);
            lab
        },
        counted: false,
    }
}

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

fn remove(host: i64, state: &str) -> Example {
    Example {
        workflow: "remove_node",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("host", FieldValue::Id(host)),
            ("state", lab::text(state)),
        ]),
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

fn san_change(add: &[&str], remove: &[&str], lab: fn() -> Lab) -> Example {
    Example {
        workflow: "san_change",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("add", lab::list(add)),
            ("remove", lab::list(remove)),
        ]),
        inventory: lab::running_inventory(),
        lab,
        counted: false,
    }
}

/// The same with the host gone.
fn remove_lost() -> Example {
    Example {
        lab: || {
            let lab = balanced_lab();
            lab.world.power_off(HostId(3));
            lab
        },
        ..remove(3, "lost")
    }
}

/// Two servers are left: the member has to leave while both run.
fn remove_last_but_one() -> Example {
    let mut inventory = lab::running_inventory();
    inventory.clusters[0]
        .members
        .retain(|m| m.host != HostId(3));
    Example {
        inventory,
        lab: lab::two_servers,
        ..remove(2, "reachable")
    }
}

fn import(move_token: bool) -> Example {
    Example {
        workflow: "import",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("move_token", FieldValue::Bool(move_token)),
        ]),
        inventory: lab::inventory(),
        lab: || balanced(lab::foreign_lab(" --token hunter2hunter2")),
        counted: false,
    }
}

fn command(what: &str, more: &[(&str, FieldValue)]) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1)), ("what", lab::text(what))]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "command",
        inputs,
        inventory: lab::running_inventory(),
        lab: balanced_lab,
        counted: false,
    }
}

fn shell() -> Example {
    command(
        "shell",
        &[
            ("hosts", FieldValue::Ids(vec![1, 4])),
            ("shell", lab::text("df -h; uptime")),
        ],
    )
}

/// The data is wrong: back to a snapshot on the first server.
fn restore() -> Example {
    restoring(
        &[
            ("situation", lab::text("data_wrong")),
            ("snapshot", lab::text("coxswain-9-0-node1-1795000300")),
        ],
        lab::lab_with_snapshots,
    )
}

/// The quorum is lost: node2, which once joined node1, becomes the cluster, and node1 joins it.
fn restore_elsewhere() -> Example {
    restoring(
        &[
            ("situation", lab::text("quorum_lost")),
            ("source", lab::text("file")),
            ("file_server", FieldValue::Id(1)),
            (
                "file_path",
                lab::text("/var/lib/rancher/k3s/server/db/snapshots/coxswain-5-0-node1-1795000100"),
            ),
            ("server", FieldValue::Id(2)),
            ("lost", FieldValue::Ids(vec![3])),
        ],
        lab::lab_without_quorum,
    )
}

fn restoring(more: &[(&str, FieldValue)], lab: fn() -> Lab) -> Example {
    let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
    inputs.extend(lab::inputs(more));
    Example {
        workflow: "snapshot_restore",
        inputs,
        inventory: Inventory {
            snapshots: lab::taken(),
            ..lab::running_inventory()
        },
        lab,
        counted: false,
    }
}

fn sans_added() -> Example {
    san_change(&["api.example.org", "192.0.2.7"], &[], balanced_lab)
}

fn sans_removed() -> Example {
    san_change(&[], &["old.example.org"], named_lab)
}

/// The names stand in config.yaml, and k3s learns whatever it is asked for.
fn sans_in_the_file() -> Example {
    san_change(&["api.example.org"], &["old.example.org"], configured_lab)
}

/// The certificate has a name that is to go.
fn named_lab() -> Lab {
    let lab = balanced_lab();
    lab.tell(&["10.0.0.9", "old.example.org"]);
    lab
}

fn configured_lab() -> Lab {
    let lab = balanced_lab();
    lab.configure("tls-san:\n- 10.0.0.9\n- old.example.org\nnode-label:\n- zone=a\n");
    lab
}

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

/// Killed wherever, nothing runs a second time on any host.
fn counted(example: Example) -> Example {
    Example {
        counted: true,
        ..example
    }
}

macro_rules! conforms {
    ($($name:ident: $example:expr),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn completes_it() {
                completes(&$example).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn unwinds_from_each_step() {
                unwinds(&$example, &|kind, _| kind).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn gives_back_what_it_takes() {
                gives_back(&$example, &|kind| kind).await.unwrap();
            }

            #[tokio::test(start_paused = true)]
            async fn does_each_step_twice() {
                twice(&$example).await.unwrap();
            }

            #[test]
            fn plans_as_recorded() {
                insta::assert_json_snapshot!(stringify!($name), $example.plan());
            }
        }
    )*};
}

conforms! {
    bootstrap_bare: bootstrap(),
    bootstrap_cleaned: bootstrap_after_clean_up(),
    join_server: join("server"),
    join_agent: join("agent"),
    certificate_rotation_all: rotation(),
    certificate_rotation_kubelet: rotation_of_kubelets(),
    san_change_add: sans_added(),
    san_change_remove: sans_removed(),
    san_change_config: sans_in_the_file(),
    uninstall_all: uninstall(&[]),
    uninstall_agent: uninstall(&[4]),
    load_balancer_changed: load_balancer(),
    restore_wrong_data: restore(),
    restore_lost_quorum: restore_elsewhere(),
    snapshot_save: snapshot("save", &[("server", FieldValue::Id(2))]),
    snapshot_list: snapshot("list", &[("checksums", FieldValue::Bool(true))]),
    snapshot_prune: snapshot("prune", &[("keep", lab::text("1"))]),
    snapshot_delete: snapshot("delete", &[("names", lab::list(&["coxswain-7-0-node2-1795000200"]))]),
    remove_server: remove(3, "reachable"),
    remove_agent: remove(4, "reachable"),
    remove_lost_server: remove_lost(),
    remove_last_but_one_server: remove_last_but_one(),
    import_as_it_is: import(false),
    import_and_move_tokens: import(true),
    command_nodes: command("nodes", &[]),
    command_log: command("log", &[]),
    command_follow: command("log", &[("follow_s", lab::text("30"))]),
    command_shell: shell(),
}

macro_rules! survives_death {
    ($($name:ident: $example:expr),* $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            let points = survives(&counted($example), &|kind| kind).await.unwrap();
            assert!(points > 10, "only {points} points");
        }
    )*};
}

// The bootstrap with a clean-up passes every point of the one without.
survives_death! {
    bootstrap_survives_death_at_each_point: bootstrap_after_clean_up(),
    join_of_a_server_survives_death_at_each_point: join("server"),
    join_of_an_agent_survives_death_at_each_point: join("agent"),
    certificate_rotation_survives_death_at_each_point: rotation(),
    san_change_that_adds_survives_death_at_each_point: sans_added(),
    san_change_that_removes_survives_death_at_each_point: sans_removed(),
    san_change_in_the_file_survives_death_at_each_point: sans_in_the_file(),
    uninstall_survives_death_at_each_point: uninstall(&[]),
    uninstall_of_an_agent_survives_death_at_each_point: uninstall(&[4]),
    removal_of_a_server_survives_death_at_each_point: remove(3, "reachable"),
    removal_of_a_lost_server_survives_death_at_each_point: remove_lost(),
    removal_of_the_last_but_one_survives_death_at_each_point: remove_last_but_one(),
    a_load_balancers_change_survives_death_at_each_point: load_balancer(),
    restore_survives_death_at_each_point: restore(),
    restore_of_a_lost_quorum_survives_death_at_each_point: restore_elsewhere(),
    saving_a_snapshot_survives_death_at_each_point: snapshot("save", &[]),
    pruning_snapshots_survives_death_at_each_point: snapshot("prune", &[("keep", lab::text("1"))]),
    import_survives_death_at_each_point: import(true),
    a_look_survives_death_at_each_point: command("snapshots", &[]),
    a_typed_command_survives_death_at_each_point: shell(),
}

/// As recorded (facts A 14): the things of the snapshot are back, later ones gone, all members there.
#[tokio::test(start_paused = true)]
async fn a_restored_cluster_is_that_of_the_snapshot() {
    for (example, members) in [
        (restore(), vec!["node1", "node2", "node3"]),
        (restore_elsewhere(), vec!["node1", "node2"]),
    ] {
        let ((world, _), _) = completes(&example).await.unwrap();
        let cluster = &world.clusters[0];
        assert_eq!(cluster.members, members);
        assert_eq!(cluster.objects, ["before-snapshot"]);
        assert_eq!(cluster.nodes, ["node1", "node2", "node3", "node4"]);
        let host = &world.hosts[members[1]];
        let aside = |path: &&String| path.starts_with("/var/lib/rancher/k3s/server/db.coxswain-");
        assert!(
            members
                .iter()
                .any(|name| world.hosts[*name].files.keys().any(|p| aside(&p))),
            "an old database is kept"
        );
        for name in &members {
            let (_, enabled, state, _) = world.hosts[*name].k3s.as_ref().unwrap();
            assert_eq!((*enabled, state.as_str()), (true, "active"), "{name}");
        }
        assert!(
            !host
                .files
                .keys()
                .any(|path| path.starts_with("/run/systemd/"))
        );
    }
}

/// The checks above see what they are for.
#[tokio::test(start_paused = true)]
async fn without_its_probe_it_does_not_survive() {
    let mutilated = survives(&counted(bootstrap()), &|kind| {
        layer(kind, NoProbe::default())
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}

#[tokio::test(start_paused = true)]
async fn without_undoing_what_failed_it_leaves_something_behind() {
    let mutilated = unwinds(&bootstrap(), &|kind, failed| {
        layer(kind, NoUndoOfFailed { failed })
    })
    .await;
    assert!(mutilated.is_err(), "nobody noticed");
}
