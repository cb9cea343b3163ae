//! k3s on a host in memory: installed, started, joining, failing as recorded (facts A, joining).

use std::time::Duration;

use coxswain_wire::HostId;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::cluster::{Cluster, Member, Node};
use super::host::below;
use super::{State, net};
use crate::world::{JobId, JobSpec, Script, Secret};

/// The version every installer installs.
pub(super) const VERSION: &str = "v1.33.5+k3s1";

/// From start to ready.
const FIRST_TAKES: Duration = Duration::from_secs(20);
const JOIN_TAKES: Duration = Duration::from_secs(15);
/// From start to a fatal line, and again after systemd's `RestartSec`.
const FAILS_AFTER: Duration = Duration::from_secs(1);
const RESTARTS_AFTER: Duration = Duration::from_secs(6);

/// Everything that k3s-uninstall.sh and the removal after it delete.
const PATHS: [&str; 8] = [
    "/usr/local/bin",
    "/etc/systemd/system",
    "/etc/rancher",
    "/var/lib/rancher",
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/run/k3s",
    "/run/flannel",
];

/// An installation.
pub(super) struct K3s {
    pub(super) unit: String,
    /// Subcommand and arguments.
    pub(super) words: Vec<String>,
    token: Option<String>,
    pub(super) cluster: u64,
    pub(super) invocation: u64,
    pub(super) fate: Fate,
}

/// How it goes with k3s.
pub(super) enum Fate {
    /// On its way.
    Starts { up_at: Instant },
    /// Up.
    Up { since: Instant },
    /// systemd starts it again and again.
    Fails { since: Instant, message: String },
    /// Stopped.
    Stopped,
}

impl K3s {
    pub(super) fn agent(&self) -> bool {
        self.unit == "k3s-agent.service"
    }

    /// Value of a flag.
    pub(super) fn flags<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.words
            .windows(2)
            .filter(move |pair| pair[0] == name)
            .map(|pair| pair[1].as_str())
    }

    /// What `systemctl is-active` says.
    pub(super) fn state(&self) -> &'static str {
        match self.fate {
            Fate::Starts { .. } | Fate::Fails { .. } => "activating",
            Fate::Up { .. } => "active",
            Fate::Stopped => "inactive",
        }
    }

    /// Fatal lines since the start.
    pub(super) fn journal(&self) -> Vec<String> {
        let Fate::Fails { since, message } = &self.fate else {
            return Vec::new();
        };
        let mut at = *since + FAILS_AFTER;
        let mut lines = Vec::new();
        while at <= Instant::now() && lines.len() < 200 {
            lines.push(format!(
                "time=\"2026-11-22T05:46:18Z\" level=fatal msg=\"starting kubernetes: {message}\""
            ));
            at += RESTARTS_AFTER;
        }
        lines
    }
}

impl State {
    /// A job has run its time: its effect.
    pub(super) fn end_job(&mut self, host: HostId, id: JobId, at: Instant) {
        let Some(spec) = self
            .hosts
            .get(&host)
            .and_then(|h| h.jobs.get(&id))
            .map(|job| job.spec.clone())
        else {
            return;
        };
        let result = match spec.script.name {
            "install-k3s-online" | "install-k3s-air-gap" => self.install(host, &spec, at),
            "remove-k3s" => self.remove(host, &spec),
            "save-snapshot" => self.save_snapshot(host, &spec),
            _ => Ok(()),
        };
        if let Some(job) = self.hosts.get_mut(&host).and_then(|h| h.jobs.get_mut(&id)) {
            match result {
                Ok(()) => job.exit(at, 0, ""),
                Err(why) => job.exit(at, 1, &format!("{why}\n")),
            }
        }
    }

    /// k3s is there and up, as if it had been installed long ago. Joiners join the first cluster there is.
    pub(super) fn set_up(&mut self, id: HostId, unit: &str, words: &str) -> Result<(), String> {
        let script = Script {
            name: "install-k3s-online",
            text: "",
        };
        let mut spec = JobSpec::new(script, Duration::ZERO)
            .arg(unit)
            .arg("/run/coxswain/set-up")
            .arg("/nowhere");
        spec = spec.env("INSTALL_K3S_EXEC", words);
        if let Some(cluster) = self.clusters.values().next() {
            let token = format!("K10{}::server:{}", sha256(&cluster.ca), cluster.password);
            spec = spec.secret_env("K3S_TOKEN", Secret::new(token));
        }
        let now = Instant::now();
        self.install(id, &spec, now)?;
        match self
            .hosts
            .get_mut(&id)
            .and_then(|h| h.k3s.as_mut())
            .map(|k3s| &mut k3s.fate)
        {
            Some(Fate::Starts { up_at }) => *up_at = now,
            Some(Fate::Fails { message, .. }) => return Err(message.clone()),
            Some(Fate::Up { .. } | Fate::Stopped) | None => return Err("did not start".to_owned()),
        }
        self.come_up(id);
        Ok(())
    }

    fn install(&mut self, id: HostId, spec: &JobSpec, at: Instant) -> Result<(), String> {
        let (invocation, cluster) = (self.unique(), self.unique());
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let [unit, mark, keep] = spec
            .args
            .get(..3)
            .and_then(|a| <[String; 3]>::try_from(a.to_vec()).ok())
            .ok_or("arguments")?;
        let env = |name: &str| {
            spec.env
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        let words: Vec<String> = env("INSTALL_K3S_EXEC")
            .ok_or("INSTALL_K3S_EXEC")?
            .split(' ')
            .map(str::to_owned)
            .collect();
        let token = spec.secret_env.iter().find(|(key, _)| key == "K3S_TOKEN");
        let token = token.map(|(_, value)| String::from_utf8_lossy(value.expose()).into_owned());

        let unit_file = format!("/etc/systemd/system/{unit}");
        let binary = "/usr/local/bin/k3s";
        if let (Some(old), false) = (
            host.files.get(binary).cloned(),
            host.files.contains_key(&unit_file),
        ) {
            host.files.insert(format!("{keep}{binary}"), old);
        }
        let quoted: String = words
            .iter()
            .skip(1)
            .map(|word| format!("\t'{word}' \\\n"))
            .collect();
        let text = format!(
            "[Service]\nType=notify\nExecStart=/usr/local/bin/k3s \\\n    {} \\\n{quoted}\n",
            words[0]
        );
        let env_text = if token.is_some() {
            "K3S_TOKEN=set\n"
        } else {
            ""
        };
        let script = if unit == "k3s-agent.service" {
            "k3s-agent-uninstall.sh"
        } else {
            "k3s-uninstall.sh"
        };
        for (path, text) in [
            (binary.to_owned(), format!("k3s {VERSION}")),
            (
                "/usr/local/bin/k3s-killall.sh".to_owned(),
                "#!/bin/sh".to_owned(),
            ),
            (format!("/usr/local/bin/{script}"), "#!/bin/sh".to_owned()),
            (format!("{unit_file}.env"), env_text.to_owned()),
            (unit_file, text),
            (mark, "cursor".to_owned()),
        ] {
            host.files.insert(path, text);
        }
        let has_data = host.k3s.as_ref().map(|k3s| k3s.cluster).filter(|_| {
            host.files
                .contains_key("/var/lib/rancher/k3s/server/db/etcd/member/snap/db")
        });
        let k3s = K3s {
            unit,
            words,
            token,
            cluster: has_data.unwrap_or(cluster),
            invocation,
            fate: Fate::Stopped,
        };
        host.k3s = Some(k3s);
        self.start(id, at, has_data.is_some());
        Ok(())
    }

    /// systemd starts k3s.
    fn start(&mut self, id: HostId, at: Instant, has_data: bool) {
        let Some(k3s) = self.hosts.get(&id).and_then(|h| h.k3s.as_ref()) else {
            return;
        };
        let outcome = match k3s.flags("--server").next() {
            Some(url) if !has_data => self.may_join(id, k3s, url).map(Some),
            Some(_) | None => Ok(None),
        };
        let first = matches!(outcome, Ok(None));
        let Some(k3s) = self.hosts.get_mut(&id).and_then(|h| h.k3s.as_mut()) else {
            return;
        };
        match outcome {
            Ok(cluster) => {
                k3s.cluster = cluster.unwrap_or(k3s.cluster);
                k3s.fate = Fate::Starts {
                    up_at: at + if first { FIRST_TAKES } else { JOIN_TAKES },
                };
            }
            Err(message) => k3s.fate = Fate::Fails { since: at, message },
        }
    }

    fn may_join(&self, id: HostId, k3s: &K3s, url: &str) -> Result<u64, String> {
        let address = url.trim_start_matches("https://").trim_end_matches(":6443");
        let Some(server) = net::behind(self, address) else {
            return Err(format!(
                "preparing server: failed to get CA certs: Get \\\"{url}/cacerts\\\": dial tcp {address}:6443: connect: connection refused"
            ));
        };
        let number = self.api_on(server).ok_or("no API")?;
        let cluster = &self.clusters[&number];
        let token = k3s.token.as_deref().unwrap_or_default();
        let (hash, password) = token
            .strip_prefix("K10")
            .and_then(|t| t.split_once("::server:"))
            .unwrap_or_default();
        let ca_hash = sha256(&cluster.ca);
        if hash != ca_hash {
            return Err(format!(
                "preparing server: token CA hash does not match the Cluster CA certificate hash: {hash} != {ca_hash}"
            ));
        }
        if password != cluster.password {
            return Err(format!(
                "preparing server: {url}/v1-k3s/config: 401 Unauthorized"
            ));
        }
        let other = self
            .hosts
            .get(&server)
            .and_then(|h| h.k3s.as_ref())
            .ok_or("no k3s")?;
        let backend = |k3s: &K3s| {
            k3s.flags("--flannel-backend")
                .next()
                .unwrap_or("vxlan")
                .to_owned()
        };
        if !k3s.agent() && backend(k3s) != backend(other) {
            return Err("preparing server: unable to join cluster due to critical configuration value mismatch".to_owned());
        }
        let host = self.hosts.get(&id).ok_or("no host")?;
        let name = k3s.flags("--node-name").next().unwrap_or(&host.name);
        let same = host.files.contains_key("/etc/rancher/node/password");
        if cluster.passwords.contains(name) && !same {
            return Err(format!(
                "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry for {name}"
            ));
        }
        Ok(number)
    }

    /// k3s has come up: its files, its Node, its member.
    pub(super) fn come_up(&mut self, id: HostId) {
        let (member_id, suffix) = (self.unique(), self.unique());
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let Some(k3s) = host.k3s.as_mut() else { return };
        let Fate::Starts { up_at } = k3s.fate else {
            return;
        };
        k3s.fate = Fate::Up { since: up_at };
        let (agent, number) = (k3s.agent(), k3s.cluster);
        let name = k3s
            .flags("--node-name")
            .next()
            .unwrap_or(&host.name)
            .to_owned();
        let sans: Vec<String> = k3s.flags("--tls-san").map(str::to_owned).collect();
        let cluster = self.clusters.entry(number).or_insert_with(|| Cluster {
            // The same for every cluster that begins on this host: pictures of two runs can be compared.
            ca: format!(
                "-----BEGIN CERTIFICATE-----\nca of {}\n-----END CERTIFICATE-----\n",
                host.name
            ),
            password: format!("{:0>32}", host.id),
            sans: ["kubernetes", "localhost", "127.0.0.1", "10.43.0.1"]
                .map(str::to_owned)
                .into(),
            ..Cluster::default()
        });
        cluster.passwords.insert(name.clone());
        cluster.nodes.entry(name.clone()).or_insert_with(|| Node {
            host: id,
            uid: format!("uid-{suffix}"),
            server: !agent,
        });
        let mut files = vec![
            (
                "/etc/rancher/node/password".to_owned(),
                format!("password of {name}"),
            ),
            (
                "/var/lib/rancher/k3s/agent/client-kubelet.crt".to_owned(),
                String::new(),
            ),
            ("/var/lib/kubelet/pki/kubelet.crt".to_owned(), String::new()),
        ];
        if !agent {
            if !cluster.members.iter().any(|m| m.host == id) {
                cluster.members.push(Member {
                    id: member_id,
                    host: id,
                    name: format!("{name}-{suffix:08x}"),
                    leaves: None,
                });
            }
            cluster
                .sans
                .extend(sans.into_iter().chain([name, host.address.clone()]));
            files.extend([
                (
                    "/etc/rancher/k3s/k3s.yaml".to_owned(),
                    kubeconfig(&cluster.ca),
                ),
                (
                    "/var/lib/rancher/k3s/server/token".to_owned(),
                    format!("K10{}::server:{}\n", sha256(&cluster.ca), cluster.password),
                ),
                (
                    "/var/lib/rancher/k3s/server/db/etcd/member/snap/db".to_owned(),
                    String::new(),
                ),
            ]);
        }
        host.files.extend(files);
    }

    fn remove(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let (keep, paths) = spec.args.split_first().ok_or("arguments")?;
        let stays = |file: &str| {
            paths.iter().any(|path| below(file, path))
                || !PATHS.iter().any(|path| below(file, path))
        };
        host.files.retain(|file, _| stays(file));
        for path in paths {
            if let Some(old) = host.files.remove(&format!("{keep}{path}")) {
                host.files.insert(path.clone(), old);
            }
        }
        host.remove_below(&[keep]);
        host.k3s = None;
        // With the last database the cluster is gone.
        let hosts = &self.hosts;
        self.clusters.retain(|number, _| {
            hosts.values().any(|h| {
                h.k3s
                    .as_ref()
                    .is_some_and(|k3s| !k3s.agent() && k3s.cluster == *number)
            })
        });
        Ok(())
    }

    fn save_snapshot(&mut self, id: HostId, spec: &JobSpec) -> Result<(), String> {
        if self.api_on(id).is_none() {
            return Err(
                "level=fatal msg=\"failed to register CRDs: connection refused\"".to_owned(),
            );
        }
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let name = spec.args.first().ok_or("arguments")?;
        let path = format!(
            "/var/lib/rancher/k3s/server/db/snapshots/{name}-{}-1795326133",
            host.name
        );
        host.files.insert(path, "etcd".to_owned());
        Ok(())
    }
}

pub(super) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

fn kubeconfig(ca: &str) -> String {
    let (ca, cert, key) = (
        BASE64.encode(ca.as_bytes()),
        BASE64.encode(b"client"),
        BASE64.encode(b"key"),
    );
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://127.0.0.1:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: default\nkind: Config\npreferences: {{}}\nusers:\n- name: default\n  user:\n    client-certificate-data: {cert}\n    client-key-data: {key}\n"
    )
}
