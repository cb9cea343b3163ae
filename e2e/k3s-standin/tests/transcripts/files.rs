//! Transcript 01: files and modes, token, kubeconfig, certificates.

use std::fs;

use crate::cluster::{Cluster, RECORDED_FLAGS, eventually, listing};
use crate::recorded::block;
use crate::wire::Certificate;

/// Rows of one directory of a recorded `ls -la`, in the form of [`listing`].
fn recorded_listing(directory: &str) -> Vec<String> {
    let output = block("01-files.txt", "ls -la").output;
    let mut rows: Vec<String> = output
        .lines()
        .skip_while(|line| *line != format!("{directory}:"))
        .skip(2)
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {}", words[0], words[8])
        })
        .filter(|row| !row.ends_with(" .") && !row.ends_with(" .."))
        .collect();
    rows.sort();
    assert!(!rows.is_empty(), "no listing of {directory} recorded");
    rows
}

/// Everything about files that one server shows; also what transcript 04 shows of a lone server's files.
#[test]
fn a_server_has_exactly_the_recorded_files() {
    let mut cluster = Cluster::new();
    cluster.start(
        1,
        None,
        &[&["--cluster-init"], &RECORDED_FLAGS[..]].concat(),
    );
    cluster.wait_for_nodes(1, &["node1"]);
    eventually("dynamic-cert.json", || {
        cluster
            .file(1, "/var/lib/rancher/k3s/server/tls/dynamic-cert.json")
            .exists()
    });
    for directory in [
        "/etc/rancher/k3s",
        "/var/lib/rancher/k3s/agent",
        "/var/lib/rancher/k3s/server",
        "/var/lib/rancher/k3s/server/tls",
        "/var/lib/rancher/k3s/server/tls/etcd",
    ] {
        assert_eq!(
            listing(&cluster.file(1, directory)),
            recorded_listing(directory),
            "{directory}"
        );
    }
    assert_eq!(
        listing(&cluster.file(1, "/etc/rancher/node")),
        ["-rw------- password"]
    );
    assert_eq!(
        listing(&cluster.file(1, "/var/lib/rancher/k3s")),
        ["drwx------ agent", "drwx------ server"]
    );
    token(&cluster);
    kubeconfig(&cluster);
    certificates(&cluster);
}

fn token(cluster: &Cluster) {
    let server = "/var/lib/rancher/k3s/server";
    let text = fs::read_to_string(cluster.file(1, &format!("{server}/token"))).unwrap();
    assert_eq!(text.len(), 109);
    let (hash, password) = text
        .trim()
        .strip_prefix("K10")
        .unwrap()
        .split_once("::server:")
        .unwrap();
    let hex = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_hexdigit() && !c.is_uppercase())
    };
    assert!(hash.len() == 64 && hex(hash) && password.len() == 32 && hex(password));
    let ca = fs::read(cluster.file(1, &format!("{server}/tls/server-ca.crt"))).unwrap();
    use sha2::Digest as _;
    let digest: String = sha2::Sha256::digest(&ca)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hash, digest);
    let link = fs::read_link(cluster.file(1, &format!("{server}/node-token"))).unwrap();
    assert_eq!(link, cluster.file(1, &format!("{server}/token")));
}

fn kubeconfig(cluster: &Cluster) {
    let text = fs::read_to_string(cluster.file(1, "/etc/rancher/k3s/k3s.yaml")).unwrap();
    let text = text.replace(&cluster.address(1).to_string(), "127.0.0.1");
    let masked: String = text
        .lines()
        .map(|line| match line.split_once("data: ") {
            Some((key, value)) if value.len() >= 40 => format!("{key}data: <base64>\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(masked, block("01-files.txt", "sed -E \"s/(data: )").output);
}

fn certificates(cluster: &Cluster) {
    let read = |name: &str| {
        let file = format!("/var/lib/rancher/k3s/server/tls/{name}");
        fs::read_to_string(cluster.file(1, &file)).unwrap()
    };
    let day = 24 * 3600;
    let ca = Certificate::of_pem(&read("server-ca.crt"));
    // `k3s-server-ca@<unix seconds>`, the seconds being its notBefore (transcript 04).
    assert_eq!(ca.subject, format!("CN=k3s-server-ca@{}", ca.not_before));
    assert_eq!(ca.not_after - ca.not_before, 3650 * day);
    let admin = read("client-admin.crt");
    let leaf = Certificate::of_pem(&admin);
    assert_eq!(leaf.subject, "O=system:masters, CN=system:admin");
    // notBefore is the CA's date, the file carries the CA behind the leaf.
    let client_ca = read("client-ca.crt");
    assert_eq!(leaf.not_before, Certificate::of_pem(&client_ca).not_before);
    assert!(admin.ends_with(&client_ca));
    let key = read("client-admin.key");
    assert_eq!(key.len(), 227);
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    let served = cluster.certificate(1);
    assert_eq!(
        (served.subject.as_str(), &served.issuer),
        ("O=k3s, CN=k3s", &ca.subject)
    );
    assert_eq!(served.not_before, ca.not_before);
}
