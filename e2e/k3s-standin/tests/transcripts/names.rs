//! Transcripts 03 and 05 to 07: the certificate of :6443 and who makes it change.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually};
use crate::recorded::block;
use crate::wire::{Ask, Certificate};

fn serials(cluster: &Cluster) -> BTreeSet<String> {
    (1..=3).map(|n| cluster.certificate(n).serial).collect()
}

fn served_by(cluster: &Cluster, n: u8) -> Vec<String> {
    vec![cluster.certificate(n).serial]
}

fn everywhere(cluster: &Cluster, name: &str) -> bool {
    serials(cluster).len() == 1 && cluster.certificate(3).names.contains(&name.to_owned())
}

/// Names of the recorded certificate, with its addresses made ours.
fn recorded_names(cluster: &Cluster) -> Vec<String> {
    let output = block("03-san-before.txt", "openssl x509 -text").output;
    let line = output.lines().find(|line| line.contains("DNS:")).unwrap();
    let ours = |name: &str| match name {
        "172.30.55.10" => Some(cluster.address(1).to_string()),
        "172.30.55.11" => Some(cluster.address(2).to_string()),
        "172.30.55.12" => Some(cluster.address(3).to_string()),
        // The virtual address of that cluster, not among the flags here.
        "172.30.55.45" => None,
        other => Some(
            other
                .replace("node10", "node1")
                .replace("node11", "node2")
                .replace("node12", "node3"),
        ),
    };
    let names = line
        .split(", ")
        .filter_map(|name| ours(name.trim().split(':').nth(1).unwrap()));
    let (mut addresses, mut dns): (Vec<String>, Vec<String>) =
        names.partition(|name| name.parse::<std::net::IpAddr>().is_ok());
    dns.sort();
    addresses.sort();
    [dns, addresses].concat()
}

#[test]
fn the_certificate_follows_requests_not_flags() {
    let mut cluster = Cluster::new();
    cluster.three();
    let all = recorded_names(&cluster);
    eventually("one certificate with the recorded names", || {
        serials(&cluster).len() == 1 && cluster.certificate(1).names == all
    });
    let first = cluster.certificate(1);

    // 05: a new --tls-san and a restart change nothing, for as long as nobody asks for it.
    cluster.stop(1);
    let flags = ["--tls-san", "new.cluster.lab", "--tls-san", "172.30.55.46"];
    cluster.start(1, None, &[&RECORDED_FLAGS[..], &flags].concat());
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    let serial = |certificate: &Certificate| certificate.serial.clone();
    assert_eq!(serial(&cluster.certificate(1)), serial(&first));

    // A name nobody allowed is not learned, and a server without the flag does not learn it either.
    for (n, name) in [(1, "evil.lab"), (2, "new.cluster.lab")] {
        let ask = Ask {
            sni: Some(name.to_owned()),
            ..Ask::get(cluster.address(n), "/")
        };
        assert_eq!(serial(&ask.handshake()), serial(&first));
    }

    // 06: SNI makes it change in that very handshake, then everywhere.
    let sni = Ask {
        sni: Some("new.cluster.lab".to_owned()),
        ..Ask::get(cluster.address(1), "/")
    };
    let second = sni.handshake();
    assert_ne!(serial(&second), serial(&first));
    assert!(second.names.contains(&"new.cluster.lab".to_owned()));
    assert!(
        !second.names.contains(&"172.30.55.46".to_owned()),
        "nobody asked for the address"
    );
    eventually("the name everywhere", || {
        everywhere(&cluster, "new.cluster.lab")
    });
    assert_eq!(serial(&cluster.certificate(2)), serial(&second));

    // 07: an address is asked for by the Host header; the answer comes, the next handshake shows it.
    let host = Ask {
        host: Some("172.30.55.46".to_owned()),
        ..Ask::get(cluster.address(1), "/ping")
    };
    assert_eq!(host.answer().body, "pong");
    eventually("the address everywhere", || {
        everywhere(&cluster, "172.30.55.46")
    });
    the_secret_lists_the_names(&cluster);

    // 05 the other way round: taking the flag out and restarting removes nothing.
    let third = cluster.certificate(1);
    cluster.stop(1);
    cluster.start(1, None, &RECORDED_FLAGS);
    cluster.wait_for_nodes(1, &["node1", "node2", "node3"]);
    assert_eq!(serial(&cluster.certificate(1)), serial(&third));
    removal(&mut cluster, &all);
}

fn the_secret_lists_the_names(cluster: &Cluster) {
    let text = cluster.kubectl(
        2,
        &[
            "-n",
            "kube-system",
            "get",
            "secret",
            "k3s-serving",
            "-o",
            "jsonpath={.type} {.metadata.annotations}",
        ],
    );
    let (kind, annotations) = text.split_once(' ').unwrap();
    assert_eq!(kind, "kubernetes.io/tls");
    let map: serde_json::Value = serde_json::from_str(annotations).unwrap();
    let mut names = cluster.certificate(1).names;
    for (key, value) in map.as_object().unwrap() {
        if key == "listener.cattle.io/fingerprint" {
            let value = value.as_str().unwrap();
            assert!(value.starts_with("SHA1=") && value.len() == 45, "{value}");
            continue;
        }
        let name = value.as_str().unwrap();
        assert_eq!(key, &format!("listener.cattle.io/cn-{name}"));
        names.retain(|other| other != name);
    }
    assert!(names.is_empty(), "not in the Secret: {names:?}");
    let log = cluster.log(2);
    assert!(log.contains("Active TLS secret k3s-serving (ver="), "{log}");
}

/// 15: the Secret deleted, then server by server the cached file, with none of them asking for the names any more.
fn removal(cluster: &mut Cluster, wanted: &[String]) {
    let before = serials(cluster);
    cluster.kubectl(1, &["-n", "kube-system", "delete", "secret", "k3s-serving"]);
    assert_eq!(
        serials(cluster),
        before,
        "deleting the Secret alone changes nothing"
    );
    let gone = |cluster: &Cluster, n: u8| {
        let names = cluster.certificate(n).names;
        !names.contains(&"new.cluster.lab".to_owned())
    };
    for n in 1..=3 {
        cluster.stop(n);
        std::fs::remove_file(cluster.file(n, "/var/lib/rancher/k3s/server/tls/dynamic-cert.json"))
            .unwrap();
        cluster.start(n, None, &RECORDED_FLAGS);
        cluster.wait_for_nodes(n, &["node1", "node2", "node3"]);
        match n {
            // On the way old and new are served.
            1 => {
                assert!(gone(cluster, 1) && !gone(cluster, 2) && !gone(cluster, 3));
                assert_eq!(
                    served_by(cluster, 2),
                    before.iter().cloned().collect::<Vec<_>>()
                );
            }
            2 => eventually("the last one follows without a restart", || {
                serials(cluster).len() == 1 && gone(cluster, 3)
            }),
            _ => {}
        }
    }
    eventually("one certificate without the names", || {
        serials(cluster).len() == 1 && cluster.certificate(1).names == wanted
    });
}

/// Facts B.6: what the later releases make of a name that nobody allowed.
#[test]
fn strangers_names_are_learned_unless_security_forbids_it() {
    for (release, flags, learned) in [
        ("v1.24.17+k3s1", &[][..], true),
        ("v1.24.17+k3s1", &["--tls-san-security"][..], false),
        ("v1.28.15+k3s1", &[][..], false),
        ("v1.28.15+k3s1", &["--tls-san-security=false"][..], true),
    ] {
        let mut cluster = Cluster::scaled("0.2").of_release(release);
        cluster.start(1, None, &[&["--cluster-init"], flags].concat());
        let ask = Ask {
            sni: Some("evil.lab".to_owned()),
            ..Ask::get(cluster.address(1), "/")
        };
        let names = ask.handshake().names;
        assert_eq!(
            names.contains(&"evil.lab".to_owned()),
            learned,
            "{release} {flags:?}"
        );
    }
}
