//! Certificates in memory: real ones, as steps read them, signed by nobody in particular.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use coxswain_k3s::rotation::{DATA_DIR, Service};
use coxswain_wire::HostId;
use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};

use super::{FakeHost, State};

/// One key for all: making one takes long, and nothing here depends on it.
static KEY: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate().expect("a key can be made from the system's randomness"));

/// Serial numbers look like real ones.
const FIRST: u64 = 0x3612_3C57_0000_0000;

/// The serial number that a counter stands for, as openssl prints it.
pub(super) fn serial(counter: u64) -> String {
    format!("{:X}", FIRST + counter)
}

/// A certificate with that serial number, PEM.
pub(super) fn mint(subject: &str, serial: &str) -> String {
    let number = u64::from_str_radix(serial, 16).unwrap_or_default();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.serial_number = Some(SerialNumber::from(number));
    params
        .self_signed(&*KEY)
        .expect("plain parameters make a certificate")
        .pem()
}

/// Certificate files of a server below k3s's data, besides those that an agent has.
const SERVER: [&str; 4] = [
    "server/tls/client-admin.crt",
    "server/tls/serving-kube-apiserver.crt",
    "server/tls/client-scheduler.crt",
    "server/tls/etcd/client.crt",
];
/// Those of every node.
const AGENT: [&str; 2] = ["agent/client-kubelet.crt", "agent/serving-kubelet.crt"];

impl State {
    /// k3s makes the certificates that are missing when it starts.
    pub(super) fn issue_missing(&mut self, id: HostId, agent: bool) {
        let server: &[&str] = if agent { &[] } else { &SERVER };
        for file in server.iter().chain(&AGENT) {
            let path = format!("{DATA_DIR}/{file}");
            let number = self.unique();
            if let Some(host) = self.hosts.get_mut(&id) {
                host.files
                    .entry(path)
                    .or_insert_with(|| mint(file, &serial(number)));
            }
        }
    }

    /// `k3s certificate rotate`: puts the old files aside. Nothing is new before the next start, and the
    /// certificate of :6443 is not among them.
    pub(super) fn rotate(&mut self, id: HostId, services: &[Service]) -> Result<(), String> {
        let number = self.unique();
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let agent = host.k3s.as_ref().is_none_or(|k3s| k3s.agent());
        let part = if agent { "agent" } else { "server" };
        let chosen: BTreeSet<String> = services
            .iter()
            .flat_map(|service| service.files())
            .map(|file| format!("{DATA_DIR}/{file}"))
            .collect();
        let old: Vec<(String, String)> = host
            .files
            .iter()
            .filter(|(path, _)| chosen.contains(*path))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect();
        for (path, text) in old {
            let name = path.rsplit('/').next().unwrap_or_default();
            let kept = format!("{DATA_DIR}/{part}/tls-{}/{name}", 1_795_326_330 + number);
            host.files.insert(kept, text);
            host.files.remove(&path);
        }
        Ok(())
    }
}

/// The certificate files on a host, as the script prints them.
pub(super) fn listed(host: &FakeHost) -> String {
    let files = host.files.iter().filter_map(|(path, text)| {
        let file = path.strip_prefix(DATA_DIR)?.strip_prefix('/')?;
        let known = SERVER.contains(&file) || AGENT.contains(&file);
        known.then(|| format!("--- {file}\n{text}"))
    });
    files.collect()
}

/// Directories of old certificates on a host, as the script prints them.
pub(super) fn backups(host: &FakeHost) -> String {
    let dirs: BTreeSet<&str> = host
        .files
        .keys()
        .filter(|path| path.starts_with(DATA_DIR) && path.contains("/tls-"))
        .filter_map(|path| path.rsplit_once('/').map(|(dir, _)| dir))
        .filter(|dir| {
            let second = dir.rsplit_once("/tls-").map_or("", |(_, second)| second);
            !second.is_empty() && second.bytes().all(|byte| byte.is_ascii_digit())
        })
        .collect();
    dirs.iter().map(|dir| format!("8 {dir}\n")).collect()
}
