//! Transcripts 08 and 15: `certificate rotate`, and what it does not do for the certificate of :6443.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually, listing};
use crate::recorded::{Block, block, blocks, normalized, without_time};
use crate::wire::{Ask, Certificate};

const SERVER: &str = "/var/lib/rancher/k3s/server";

/// Serial numbers of every leaf on disk and on every port of a server, by file or port.
fn serials(cluster: &Cluster, n: u8) -> BTreeMap<String, String> {
    // The kubelet's port opens once the agent part has its new files.
    let kubelet = SocketAddr::new(cluster.address(n).into(), 10250);
    eventually("the kubelet's port", || TcpStream::connect(kubelet).is_ok());
    let mut found = BTreeMap::new();
    for directory in ["server/tls", "server/tls/etcd", "agent"] {
        let directory = cluster.file(n, &format!("/var/lib/rancher/k3s/{directory}"));
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(cluster.root(n))
                .unwrap()
                .display()
                .to_string();
            if name.ends_with(".crt") && !name.ends_with("-ca.crt") {
                let pem = fs::read_to_string(&path).unwrap();
                found.insert(name, Certificate::of_pem(&pem).serial);
            }
        }
    }
    for port in [2379, 6443, 6444, 10250] {
        let ask = Ask {
            port,
            ..Ask::get(cluster.address(n), "/")
        };
        found.insert(port.to_string(), ask.handshake().serial);
    }
    found
}

fn served(cluster: &Cluster, n: u8) -> String {
    cluster.certificate(n).serial
}

fn backups(cluster: &Cluster, n: u8) -> Vec<String> {
    let rows = listing(&cluster.file(n, SERVER));
    rows.into_iter()
        .filter_map(|row| row.strip_prefix("drwx------ ").map(str::to_owned))
        .filter(|name| name.starts_with("tls-"))
        .collect()
}

/// Log lines without times and numbers.
fn comparable(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with("time="))
        .map(|line| normalized(&without_time(line)))
        .collect()
}

fn says_as_recorded(output: &Output, recorded: &Block) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(comparable(&text), comparable(&recorded.output));
    assert_eq!(output.status.code(), Some(recorded.exit));
}

#[test]
fn rotation_renews_everything_at_the_next_start() {
    let mut cluster = Cluster::new();
    let flags = [&["--cluster-init"], &RECORDED_FLAGS[..]].concat();
    cluster.start(1, None, &flags);
    cluster.wait_for_nodes(1, &["node1"]);
    eventually("the Secret", || {
        cluster.log(1).contains("Creating new TLS secret")
    });
    let ca = fs::read_to_string(cluster.file(1, &format!("{SERVER}/tls/client-ca.crt"))).unwrap();
    let old_tls = listing(&cluster.file(1, &format!("{SERVER}/tls")));
    let before = serials(&cluster, 1);
    let port = served(&cluster, 1);

    let recorded = block("08-cert-rotate.txt", "time k3s certificate rotate");
    let output = cluster.run(1, &["certificate", "rotate"]);
    says_as_recorded(&output, &recorded);
    let [backup] = &backups(&cluster, 1)[..] else {
        panic!("one backup")
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains(&format!("to path {SERVER}/{backup}, please")),
        "{text}"
    );
    // The backup is the whole directory, keys of the CAs included.
    let saved = listing(&cluster.file(1, &format!("{SERVER}/{backup}")));
    let names = |rows: &[String]| -> Vec<String> {
        let words = rows.iter().filter_map(|row| row.split(' ').nth(1));
        let mut names: Vec<String> = words.map(str::to_owned).collect();
        names.sort();
        names
    };
    let saved_names = names(&saved);
    assert!(
        names(&old_tls)
            .iter()
            .all(|name| saved_names.contains(name)),
        "{saved:?}"
    );
    assert!(saved.contains(&"-rw------- server-ca.key".to_owned()));
    // Nothing is new before the restart: the ports go on, and so does who has a kubeconfig.
    assert_eq!(served(&cluster, 1), port);
    cluster.kubectl(1, &["get", "nodes"]);

    cluster.stop(1);
    // Once more, stopped.
    let output = cluster.run(1, &["certificate", "rotate"]);
    says_as_recorded(&output, &recorded);
    cluster.start(1, None, &flags);
    // Shown for a few seconds only.
    let renewed = served(&cluster, 1);
    let mut after = serials(&cluster, 1);
    after.insert("6443".to_owned(), renewed);
    assert!(before.keys().eq(after.keys()));
    for (name, serial) in &before {
        assert_ne!(serial, &after[name], "{name} is still the old one");
    }
    // notBefore is the CA's date, not now.
    let admin = fs::read_to_string(cluster.file(1, &format!("{SERVER}/tls/client-admin.crt")));
    assert_eq!(
        Certificate::of_pem(&admin.unwrap()).not_before,
        Certificate::of_pem(&ca).not_before
    );
    // The authorities stay.
    let now = fs::read_to_string(cluster.file(1, &format!("{SERVER}/tls/client-ca.crt"))).unwrap();
    assert_eq!(now, ca);
    eventually("the Secret's certificate is back", || {
        served(&cluster, 1) == port
    });
    one_service(&cluster);
}

fn one_service(cluster: &Cluster) {
    let recorded = block("08-cert-rotate.txt", "--service nosuch");
    let output = cluster.run(1, &["certificate", "rotate", "--service", "nosuch"]);
    says_as_recorded(&output, &recorded);
    let exists = |name: &str| cluster.file(1, &format!("{SERVER}/tls/{name}")).exists();
    let output = cluster.run(
        1,
        &["certificate", "rotate", "--service", "admin,scheduler"],
    );
    assert!(output.status.success());
    assert!(!exists("client-admin.crt") && !exists("client-scheduler.key"));
    assert!(exists("client-controller.crt") && exists("etcd/client.crt"));
    assert!(!exists("dynamic-cert-regenerate"));
}

/// Agents have nothing of a server's, which this release does not expect (k3s issue 5111).
#[test]
fn an_agent_cannot_rotate() {
    let cluster = Cluster::new();
    fs::create_dir_all(cluster.file(1, "/var/lib/rancher/k3s/agent")).unwrap();
    let output = cluster.run(1, &["certificate", "rotate"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let message =
        "level=fatal msg=\"stat /var/lib/rancher/k3s/server/tls: no such file or directory\"";
    assert!(text.contains(message), "{text}");
}

/// 15: what the first server renews is overruled by the Secret; only the removal of Secret and file helps.
#[test]
fn the_secret_wins_over_a_renewed_certificate() {
    let recorded: Vec<Block> = blocks("15-san-remove.txt")
        .into_iter()
        .filter(|block| block.command.contains("certificate rotate"))
        .collect();
    assert_eq!(recorded.len(), 3);
    let mut cluster = Cluster::new();
    cluster.three();
    eventually("one certificate", || {
        (2..=3).all(|n| served(&cluster, n) == served(&cluster, 1))
    });
    let old = served(&cluster, 1);
    for (n, recorded) in (1..).zip(&recorded) {
        cluster.stop(n);
        let output = cluster.run(n, &["certificate", "rotate", "--service", "k3s-server"]);
        let last = String::from_utf8_lossy(&output.stderr);
        let last = last.lines().last().unwrap();
        assert_eq!(comparable(last), comparable(&recorded.output));
        cluster.start(n, None, &RECORDED_FLAGS);
        if n == 1 {
            assert_ne!(served(&cluster, 1), old, "a new one right after the start");
            assert_eq!(served(&cluster, 2), old);
        }
        eventually("the old one everywhere", || {
            (1..=3).all(|n| served(&cluster, n) == old)
        });
    }
    assert_eq!(cluster.certificate(1).names, cluster.certificate(3).names);
}
