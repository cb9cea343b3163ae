//! The files below `server/tls`: six authorities and the leaves, with the modes of transcript 01.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Authority, Key, LeafSpec, Usage};
use crate::fsutil::{make_dir, read, write, write_new};
use crate::paths::Paths;

/// The authorities by file stem below `server/tls`, with the name in their subject.
const AUTHORITIES: [(&str, &str); 5] = [
    ("server-ca", "k3s-server-ca"),
    ("client-ca", "k3s-client-ca"),
    ("request-header-ca", "k3s-request-header-ca"),
    ("etcd/server-ca", "etcd-server-ca"),
    ("etcd/peer-ca", "etcd-peer-ca"),
];

/// What every server of a cluster shares: the authorities' files and the service account key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shared {
    /// File name below `server/tls` to content.
    pub(crate) files: BTreeMap<String, String>,
}

/// Creates the directories of the server part.
///
/// # Errors
/// What the file system says.
pub(crate) fn make_directories(paths: &Paths) -> anyhow::Result<()> {
    make_dir(&paths.at("/var/lib/rancher/k3s"), 0o700)?;
    make_dir(&paths.server(""), 0o700)?;
    for name in ["cred", "db", "manifests", "static", "tls"] {
        make_dir(&paths.server(name), 0o700)?;
    }
    make_dir(&paths.server("static/charts"), 0o700)?;
    make_dir(&paths.tls("etcd"), 0o755)?;
    make_dir(&paths.tls("temporary-certs"), 0o700)
}

/// Creates what of the shared files is missing.
///
/// # Errors
/// When generation or writing fails.
pub(crate) fn create_shared(paths: &Paths) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    for (stem, name) in AUTHORITIES {
        let file = paths.tls(&format!("{stem}.crt"));
        if !file.exists() {
            let (authority, key) = Authority::create(name, now)?;
            write(&paths.tls(&format!("{stem}.key")), 0o600, key)?;
            write(&file, 0o644, authority.pem())?;
        }
    }
    // k3s writes an RSA key here; nothing outside the API server reads it.
    write_new(&paths.tls("service.key"), 0o600, Key::generate()?.to_pem())
}

/// Reads the shared files for a joining server.
///
/// # Errors
/// When one is missing.
pub(crate) fn read_shared(paths: &Paths) -> anyhow::Result<Shared> {
    let mut shared = Shared::default();
    for name in shared_names() {
        shared.files.insert(name.clone(), read(&paths.tls(&name))?);
    }
    Ok(shared)
}

/// Writes the shared files received from a server of the cluster.
///
/// # Errors
/// When one is missing from `shared`, or what the file system says.
pub(crate) fn write_shared(paths: &Paths, shared: &Shared) -> anyhow::Result<()> {
    for name in shared_names() {
        let content = shared
            .files
            .get(&name)
            .ok_or_else(|| anyhow::anyhow!("bootstrap data lacks {name}"))?;
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        write(&paths.tls(&name), mode, content)?;
    }
    Ok(())
}

fn shared_names() -> Vec<String> {
    AUTHORITIES
        .iter()
        .flat_map(|(stem, _)| [format!("{stem}.crt"), format!("{stem}.key")])
        .chain(["service.key".to_owned()])
        .collect()
}

/// One of the authorities on disk, by its stem (`server-ca`, `etcd/peer-ca`, …).
///
/// # Errors
/// When its files are missing or broken.
pub(crate) fn authority(paths: &Paths, stem: &str) -> anyhow::Result<Authority> {
    Authority::load(
        &read(&paths.tls(&format!("{stem}.crt")))?,
        &read(&paths.tls(&format!("{stem}.key")))?,
    )
}

/// What the leaves of one server depend on.
#[derive(Clone, Debug)]
pub(crate) struct LeafInputs {
    /// Node name.
    pub(crate) node: String,
    /// Node address.
    pub(crate) address: IpAddr,
    /// What stands for 127.0.0.1.
    pub(crate) loopback: IpAddr,
    /// First address of the service network.
    pub(crate) service_ip: IpAddr,
    /// Cluster domain.
    pub(crate) domain: String,
}

impl LeafInputs {
    /// Names every API server certificate carries.
    pub(crate) fn kubernetes_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
            .map(str::to_owned)
            .into();
        names.push(format!("kubernetes.default.svc.{}", self.domain));
        names
    }
}

/// Issues the leaves that are missing. Clients first, then servers, then etcd's.
///
/// # Errors
/// When signing or writing fails.
pub(crate) fn issue_leaves(paths: &Paths, inputs: &LeafInputs) -> anyhow::Result<()> {
    let clients: [(&str, &str, &[&str]); 8] = [
        ("client-admin", "system:admin", &["system:masters"]),
        ("client-controller", "system:kube-controller-manager", &[]),
        (
            "client-k3s-cloud-controller",
            "k3s-cloud-controller-manager",
            &[],
        ),
        ("client-k3s-controller", "system:k3s-controller", &[]),
        (
            "client-kube-apiserver",
            "system:apiserver",
            &["system:masters"],
        ),
        ("client-kube-proxy", "system:kube-proxy", &[]),
        ("client-scheduler", "system:kube-scheduler", &[]),
        ("client-auth-proxy", "system:auth-proxy", &[]),
    ];
    let client = |common_name: &str, groups: &[&str]| LeafSpec {
        common_name: common_name.to_owned(),
        organizations: groups.iter().map(|group| (*group).to_owned()).collect(),
        dns: Vec::new(),
        addresses: Vec::new(),
        usage: Usage::Client,
    };
    for (stem, common_name, groups) in clients {
        let ca = if stem == "client-auth-proxy" {
            "request-header-ca"
        } else {
            "client-ca"
        };
        leaf(paths, ca, stem, &client(common_name, groups))?;
    }
    // Keys without a certificate of their own here: agents get theirs signed over the join port.
    for stem in ["client-kubelet", "serving-kubelet"] {
        write_new(
            &paths.tls(&format!("{stem}.key")),
            0o600,
            Key::generate()?.to_pem(),
        )?;
    }
    let mut names = inputs.kubernetes_names();
    names.extend(["localhost".to_owned(), inputs.node.clone()]);
    let served = |common_name: &str, dns: Vec<String>, usage| LeafSpec {
        common_name: common_name.to_owned(),
        organizations: Vec::new(),
        dns,
        addresses: distinct([inputs.loopback, inputs.address]),
        usage,
    };
    let mut api = served("kube-apiserver", names, Usage::Server);
    api.addresses.push(inputs.service_ip);
    leaf(paths, "server-ca", "serving-kube-apiserver", &api)?;
    let local = vec!["localhost".to_owned(), inputs.node.clone()];
    leaf(
        paths,
        "etcd/server-ca",
        "etcd/server-client",
        &served("etcd-server", local.clone(), Usage::Both),
    )?;
    leaf(
        paths,
        "etcd/server-ca",
        "etcd/client",
        &client("etcd-client", &[]),
    )?;
    leaf(
        paths,
        "etcd/peer-ca",
        "etcd/peer-server-client",
        &served("etcd-peer", local, Usage::Both),
    )
}

fn distinct(addresses: [IpAddr; 2]) -> Vec<IpAddr> {
    let [first, second] = addresses;
    if first == second {
        vec![first]
    } else {
        vec![first, second]
    }
}

/// A leaf file holds the leaf and its CA, as k3s writes it.
fn leaf(paths: &Paths, ca: &str, stem: &str, spec: &LeafSpec) -> anyhow::Result<()> {
    let (certificate, key) = (
        paths.tls(&format!("{stem}.crt")),
        paths.tls(&format!("{stem}.key")),
    );
    if certificate.exists() && key.exists() {
        return Ok(());
    }
    let ca = authority(paths, ca)?;
    let pair = match read(&key) {
        Ok(pem) => Key::from_pem(&pem)?,
        Err(_) => Key::generate()?,
    };
    write(&key, 0o600, pair.to_pem())?;
    write(&certificate, 0o644, ca.issue(spec, &pair)? + ca.pem())
}
