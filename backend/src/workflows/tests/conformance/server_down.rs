//! Every workflow while a server of the cluster is down: what would stop another one is refused, and what helps
//! then goes on.

use coxswain_wire::Snapshot;

use super::certificate_rotation::with_backups;
use super::*;
use crate::workflows::all;

/// How a run with every gate approved ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    Completed,
    /// Stopped by its gate, which says this of node3.
    Refused(&'static str),
    /// At a step, with these words.
    Failed(&'static str),
}
use Ends::{Completed, Failed, Refused};

const STOPPED: Ends = Refused("node3, k3s: k3s.service is inactive");
const OFF: Ends = Refused("node3, Connection: node3 cannot be reached");
const UNREACHED: Ends = Failed("node3 cannot be reached: no answer within 10 s");

/// A workflow with what it is given, and how it ends with k3s of node3 stopped, and with node3 off.
type Case = (&'static str, Vec<(&'static str, FieldValue)>, [Ends; 2]);

fn cases() -> Vec<Case> {
    let (text, list) = (lab::text, lab::list);
    let id = FieldValue::Id;
    let command = |what: &str| vec![("what", text(what))];
    let shell = |hosts: &[i64]| {
        let hosts = FieldValue::Ids(hosts.to_vec());
        vec![
            ("what", text("shell")),
            ("hosts", hosts),
            ("shell", text("uptime")),
        ]
    };
    let remove = |host: i64, state: &str| vec![("host", id(host)), ("state", text(state))];
    let replace = |host: i64, state: &str| {
        let mut given = remove(host, state);
        given.extend([("replacement", id(5)), ("version", text("v1.33.5+k3s1"))]);
        given
    };
    let prune = |keep: &str| vec![("action", text("prune")), ("keep", text(keep))];
    let delete = |host: i64| {
        let all = taken();
        let of_host = all.iter().filter(|s| s.host == HostId(host));
        let names: Vec<&str> = of_host.map(Snapshot::name).collect();
        vec![("action", text("delete")), ("names", list(&names))]
    };
    let clean_up = |hosts: &[i64]| {
        let hosts = FieldValue::Ids(hosts.to_vec());
        vec![("what", text("clean_up")), ("hosts", hosts)]
    };
    let join = vec![("host", id(5)), ("version", text("v1.33.5+k3s1"))];
    let drill = |host: i64| vec![("host", id(host)), ("fault", text("stopped"))];
    vec![
        (
            "join",
            join,
            [
                Refused("node3, etcd: etcd does not answer"),
                Refused("node5, Way to node3"),
            ],
        ),
        ("load_balancer", vec![], [STOPPED, OFF]),
        (
            "snapshot",
            vec![("action", text("save"))],
            [Completed, Completed],
        ),
        (
            "snapshot",
            vec![("action", text("list"))],
            [Completed, Completed],
        ),
        ("snapshot", prune("2"), [Completed, Completed]),
        // The one that would stay lies on node3.
        (
            "snapshot",
            prune("1"),
            [
                Completed,
                Refused("prod, Snapshots that stay: none of those that would stay is there"),
            ],
        ),
        ("snapshot", delete(2), [Completed, Completed]),
        ("snapshot", delete(3), [Completed, OFF]),
        ("remove_node", remove(2, "reachable"), [STOPPED, OFF]),
        ("remove_node", remove(4, "reachable"), [STOPPED, OFF]),
        ("remove_node", remove(3, "reachable"), [Completed, OFF]),
        (
            "remove_node",
            remove(3, "lost"),
            [Refused("node3, Machine: answers over SSH"), Completed],
        ),
        (
            "replace_node",
            replace(3, "lost"),
            [Refused("node3, Machine: answers over SSH"), Completed],
        ),
        ("replace_node", replace(3, "reachable"), [Completed, OFF]),
        ("replace_node", replace(2, "reachable"), [STOPPED, OFF]),
        ("replace_node", replace(4, "reachable"), [STOPPED, OFF]),
        (
            "san_change",
            vec![("add", list(&["api.example.org"]))],
            [STOPPED, OFF],
        ),
        ("certificate_rotation", vec![], [STOPPED, OFF]),
        (
            "certificate_rotation",
            clean_up(&[]),
            [Completed, UNREACHED],
        ),
        (
            "certificate_rotation",
            clean_up(&[3]),
            [Completed, UNREACHED],
        ),
        (
            "certificate_rotation",
            clean_up(&[1, 4]),
            [Completed, Completed],
        ),
        (
            "upgrade",
            vec![("version", text("v1.33.9+k3s1"))],
            [STOPPED, OFF],
        ),
        ("token_rotation", vec![], [STOPPED, OFF]),
        ("move_token", vec![], [Completed, Refused("node3, Token")]),
        ("failover_drill", drill(1), [STOPPED, OFF]),
        ("uninstall", vec![], [Completed, OFF]),
        (
            "uninstall",
            vec![("hosts", FieldValue::Ids(vec![4]))],
            [Completed, Completed],
        ),
        ("command", command("nodes"), [Completed, Completed]),
        ("command", command("pods"), [Completed, Completed]),
        (
            "command",
            command("snapshots"),
            [Failed("connection refused"), UNREACHED],
        ),
        ("command", command("certificates"), [Completed, UNREACHED]),
        ("command", command("log"), [Completed, UNREACHED]),
        (
            "command",
            vec![("what", text("log")), ("follow_s", text("30"))],
            [Completed, Failed("followed for 30 s")],
        ),
        ("command", shell(&[1, 3]), [Completed, OFF]),
        ("command", shell(&[1, 2]), [Completed, Completed]),
    ]
}

/// As in the lab, and the newest one on node3.
fn taken() -> Vec<Snapshot> {
    let mut taken = lab::taken();
    taken.insert(0, lab::snapshot(4, 3, 11, 400));
    taken
}

/// Snapshots and old certificates lie on every server.
fn lab() -> Lab {
    let lab = lab::lab_with(taken());
    lab.balance();
    with_backups(
        &lab,
        &[(1, "server"), (2, "server"), (3, "server"), (4, "agent")],
    );
    lab
}

fn stopped() -> Lab {
    let lab = lab();
    lab.world.stop_k3s(HostId(3));
    lab
}

fn off() -> Lab {
    let lab = lab();
    lab.world.power_off(HostId(3));
    lab
}

#[tokio::test(start_paused = true)]
async fn each_workflow_is_refused_or_goes_on() {
    for (workflow, given, ends) in cases() {
        for (lab, ends) in [stopped, off].into_iter().zip(ends) {
            let mut inputs = lab::inputs(&[("cluster", FieldValue::Id(1))]);
            inputs.extend(lab::inputs(&given));
            let example = Example {
                workflow,
                inputs,
                inventory: Inventory {
                    snapshots: taken(),
                    ..lab::running_inventory()
                },
                lab,
                counted: false,
            };
            see(&example, ends).await;
        }
    }
}

async fn see(example: &Example, ends: Ends) {
    let ended = completes(example).await.map(drop);
    let as_told = match (ends, &ended) {
        (Completed, ended) => ended.is_ok(),
        (Refused(words), Err(found)) => found.contains("stand in the way") && found.contains(words),
        (Failed(words), Err(found)) => found.contains("ended Failed") && found.contains(words),
        (Refused(_) | Failed(_), Ok(())) => false,
    };
    let Example {
        workflow, inputs, ..
    } = example;
    assert!(as_told, "{workflow} {inputs:?}: {ended:?}, not {ends:?}");
}

/// A cluster that is not there yet, or not known.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_keeps_a_cluster_from_being_made_or_taken_over() {
    let fresh = || {
        let lab = bootstrap::fresh_lab();
        lab.world.power_off(HostId(3));
        lab
    };
    let bootstrap = Example {
        lab: fresh,
        ..bootstrap::bootstrap()
    };
    see(&bootstrap, OFF).await;
    let stopped = || {
        let lab = balanced(lab::foreign_lab(""));
        lab.world.stop_k3s(HostId(3));
        lab
    };
    let off = || {
        let lab = balanced(lab::foreign_lab(""));
        lab.world.power_off(HostId(3));
        lab
    };
    for (lab, ends) in [(stopped as fn() -> Lab, Refused("node3, Role")), (off, OFF)] {
        let import = Example {
            lab,
            ..import::import(false)
        };
        see(&import, ends).await;
    }
}

/// The pods of one node are freed while k3s of a server is down: two of three are a majority.
#[tokio::test(start_paused = true)]
async fn stuck_pods_are_freed_without_a_third_server() {
    let lab = || {
        let lab = stuck_pods::lab_with_stuck_pods();
        lab.world.stop_k3s(HostId(3));
        lab
    };
    let stuck = Example {
        lab,
        ..stuck_pods::stuck()
    };
    see(&stuck, Completed).await;
}

/// Three have a world of their own above; `snapshot_restore` is for clusters with servers down: all its tests have it.
#[test]
fn no_workflow_is_left_out() {
    let elsewhere = ["bootstrap", "import", "snapshot_restore", "stuck_pods"];
    let tried: BTreeSet<&str> = cases()
        .iter()
        .map(|(workflow, ..)| *workflow)
        .chain(elsewhere)
        .collect();
    let all = all();
    let all: BTreeSet<&str> = all.iter().map(|workflow| workflow.name()).collect();
    assert_eq!(tried, all);
}
