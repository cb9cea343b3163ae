//! k3s on a host in memory: installed, started, joining, failing as recorded (facts A, joining).

use std::time::Duration;

use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::names::is_served;
use coxswain_k3s::rotation::DATA_DIR;
use coxswain_k3s::settings::Settings;
use coxswain_k3s::unit_file::{UnitEnvironment, UnitFile};
use coxswain_wire::HostId;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::cluster::{Cluster, Member, Node};
use super::restore::PASSWORDS;
use super::serving::Serving;
use super::{FakeHost, State, net};

/// What a node shows under its name.
const NODE_PASSWORD: &str = "/etc/rancher/node/password";

/// The version that an installer installs if none is named.
pub(super) const VERSION: &str = "v1.33.5+k3s1";

/// From start to ready.
const FIRST_TAKES: Duration = Duration::from_secs(20);
const JOIN_TAKES: Duration = Duration::from_secs(15);
/// From start to a fatal line, and again after systemd's `RestartSec`.
const FAILS_AFTER: Duration = Duration::from_secs(1);
const RESTARTS_AFTER: Duration = Duration::from_secs(6);

/// Where a server keeps the token.
pub(super) const TOKEN_FILE: &str = "/var/lib/rancher/k3s/server/token";

/// An installation.
pub(super) struct K3s {
    pub(super) unit: String,
    /// Starts at boot.
    pub(super) enabled: bool,
    /// Subcommand and arguments.
    pub(super) words: Vec<String>,
    pub(super) cluster: u64,
    pub(super) invocation: u64,
    pub(super) fate: Fate,
    /// The `tls-san` it was started with.
    pub(super) sans: Vec<String>,
    /// What it serves on :6443.
    pub(super) serving: Option<Serving>,
    /// The unit file as systemd has read it.
    pub(super) loaded: String,
    /// The version that runs: that of the binary at the last start.
    pub(super) version: String,
    /// The password that it lets nodes join with.
    pub(super) accepts: String,
}

/// What a start is told: the unit's words, or those of a drop-in for one start.
struct Told {
    words: Vec<String>,
    token: Option<String>,
    agent: bool,
}

impl Told {
    fn flag<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        flags(&self.words, name).next()
    }
}

/// Values of a flag.
fn flags<'a>(words: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    words
        .windows(2)
        .filter(move |pair| pair[0] == name)
        .map(|pair| pair[1].as_str())
}

/// Sorted behind the unit, so that it counts.
const DROP_INS: &str = "/run/systemd/system/k3s.service.d/";

/// How it goes with k3s.
pub(super) enum Fate {
    /// On its way.
    Starts { up_at: Instant },
    /// Up.
    Up { since: Instant },
    /// systemd starts it again and again. It ends without a word if there is no message.
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
        flags(&self.words, name)
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
        let Fate::Fails { message, .. } = &self.fate else {
            return Vec::new();
        };
        let line = format!(
            "time=\"2026-11-22T05:46:18Z\" level=fatal msg=\"starting kubernetes: {message}\""
        );
        let ends = if message.is_empty() { 0 } else { self.ended() };
        vec![line; ends]
    }

    /// How often it has ended since the start.
    pub(super) fn ended(&self) -> usize {
        let Fate::Fails { since, .. } = &self.fate else {
            return 0;
        };
        let mut at = *since + FAILS_AFTER;
        let mut ends = 0;
        while at <= Instant::now() && ends < 200 {
            ends += 1;
            at += RESTARTS_AFTER;
        }
        ends
    }
}

impl State {
    /// systemd starts k3s.
    pub(super) fn start(&mut self, id: HostId, at: Instant, has_data: bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.read_configuration();
            let version = host.k3s_in("/usr/local/bin/k3s");
            if let (Some(k3s), Some(version)) = (host.k3s.as_mut(), version) {
                k3s.version = version;
            }
        }
        let Some(k3s) = self.hosts.get(&id).and_then(|h| h.k3s.as_ref()) else {
            return;
        };
        let told = self.told(id, k3s);
        let outcome = match told.flag("--server") {
            _ if self.hosts[&id].k3s_crashes => Err(String::new()),
            Some(url) if !has_data => self.may_join(id, &told, url).map(Some),
            Some(_) | None if has_data && !told.agent && !self.is_member(id, k3s.cluster) => {
                Err("etcd: request sent was ignored due to cluster ID mismatch".to_owned())
            }
            Some(_) | None if has_data && !told.agent && self.other_token(id, k3s, &told) => Err(
                "preparing server: bootstrap data already found and encrypted with different token"
                    .to_owned(),
            ),
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

    /// The member of a k3s that runs was removed: it ends, and where systemd starts it again it has put its database
    /// away (k3s: pkg/etcd, `tombstone`), and joins anew or is a cluster of its own.
    pub(super) fn end_removed(&mut self, id: HostId, at: Instant) {
        let alone = self.unique();
        if !self.runs(id) {
            return;
        }
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.stop_k3s();
        let mut files = host.files.iter();
        if files.any(|(path, text)| path.starts_with(DROP_INS) && text.contains("Restart=no")) {
            return;
        }
        host.remove_below(&["/var/lib/rancher/k3s/server/db/etcd"]);
        if let Some(k3s) = &mut host.k3s {
            k3s.cluster = alone;
        }
        self.start(id, at + RESTARTS_AFTER, false);
    }

    /// What k3s is told at its start on a host.
    fn told(&self, id: HostId, k3s: &K3s) -> Told {
        let files = &self.hosts[&id].files;
        let drop_in = files
            .iter()
            .find(|(path, _)| path.starts_with(DROP_INS) && !k3s.agent());
        let of_unit = format!("/etc/systemd/system/{}.env", k3s.unit);
        let of_unit = files.get(&of_unit).map(String::as_str).unwrap_or_default();
        let token = EnvFile::parse(of_unit).get("K3S_TOKEN").map(str::to_owned);
        let (mut words, mut token) = (k3s.words.clone(), token);
        if let Some(command) =
            drop_in.and_then(|(_, text)| UnitFile::parse(text).ok()?.command().ok())
        {
            words = std::iter::once(command.subcommand)
                .chain(command.args)
                .collect();
        }
        for path in drop_in.map_or_else(Vec::new, |(_, text)| {
            UnitEnvironment::parse(text, &k3s.unit).files
        }) {
            let file = files.get(&path).map(String::as_str).unwrap_or_default();
            token = EnvFile::parse(file)
                .get("K3S_TOKEN")
                .map(str::to_owned)
                .or(token);
        }
        Told {
            words,
            token,
            agent: k3s.agent(),
        }
    }

    /// A server is told another token than the database was encrypted with; its own file counts if it is told none.
    fn other_token(&self, id: HostId, k3s: &K3s, told: &Told) -> bool {
        let Some(cluster) = self.clusters.get(&k3s.cluster) else {
            return false;
        };
        let own = self.hosts[&id].files.get(TOKEN_FILE);
        let token = told.token.as_ref().or(own);
        token.is_some_and(|token| {
            let token = token.trim();
            let password = token
                .rsplit_once(':')
                .map_or(token, |(_, password)| password);
            password != cluster.password
        })
    }

    /// Its etcd knows a host. One that has not begun knows everybody.
    pub(super) fn is_member(&self, id: HostId, cluster: u64) -> bool {
        self.clusters
            .get(&cluster)
            .is_none_or(|c| c.members.is_empty() || c.members.iter().any(|m| m.host == id))
    }

    /// A member comes up only together with others, a new one with all of them: k3s waits for its etcd.
    pub(super) fn can_come_up(&self, id: HostId) -> bool {
        let Some(host) = self.hosts.get(&id).filter(|host| !host.cut) else {
            return false;
        };
        let Some(k3s) = host.k3s.as_ref().filter(|k3s| !k3s.agent()) else {
            return true;
        };
        let number = k3s.cluster;
        let Some(cluster) = self.clusters.get(&number) else {
            return true;
        };
        if !host.has_database() {
            // etcd adds nobody while a member is down: a joiner waits for ever.
            let up = |m: &super::cluster::Member| self.takes_part(m.host, number);
            let mut others = cluster.members.iter().filter(|m| m.host != id);
            return others.all(up);
        }
        let there = cluster.members.iter().filter(|m| {
            let there = self.hosts.get(&m.host).filter(|h| !h.cut);
            let k3s = there.and_then(|h| h.k3s.as_ref());
            k3s.filter(|other| other.cluster == number)
                .is_some_and(|k3s| matches!(k3s.fate, Fate::Up { .. } | Fate::Starts { .. }))
        });
        cluster.members.is_empty() || there.count() > cluster.members.len() / 2
    }

    fn may_join(&self, id: HostId, told: &Told, url: &str) -> Result<u64, String> {
        let address = url.trim_start_matches("https://").trim_end_matches(":6443");
        let Some(server) = net::behind(self, address) else {
            return Err(format!(
                "preparing server: failed to get CA certs: Get \\\"{url}/cacerts\\\": dial tcp {address}:6443: connect: connection refused"
            ));
        };
        let number = self.api_on(server).ok_or("no API")?;
        let cluster = &self.clusters[&number];
        let token = told
            .token
            .as_deref()
            .ok_or("K3S_TOKEN is required to join a cluster")?;
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
        let keys = |host: HostId| self.hosts.get(&host)?.files.get(PASSWORDS);
        if !told.agent && keys(id).is_some() && keys(id) != keys(server) {
            return Err(format!(
                "{PASSWORDS} newer than datastore and could cause a cluster outage. Remove the file(s) from disk and restart to be recreated from datastore."
            ));
        }
        let other = self
            .hosts
            .get(&server)
            .and_then(|h| h.k3s.as_ref())
            .ok_or("no k3s")?;
        let backend = |words: &[String]| {
            flags(words, "--flannel-backend")
                .next()
                .unwrap_or("vxlan")
                .to_owned()
        };
        if !told.agent && backend(&told.words) != backend(&other.words) {
            return Err("preparing server: unable to join cluster due to critical configuration value mismatch".to_owned());
        }
        let host = self.hosts.get(&id).ok_or("no host")?;
        let name = told.flag("--node-name").unwrap_or(&host.name);
        let own = host.files.get(NODE_PASSWORD);
        if cluster
            .passwords
            .get(name)
            .is_some_and(|kept| own != Some(kept))
        {
            return Err(format!(
                "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry for {name}"
            ));
        }
        Ok(number)
    }

    /// k3s has come up: its files, its Node, its member.
    pub(super) fn come_up(&mut self, id: HostId) {
        let (member_id, suffix) = (self.unique(), self.unique());
        let Some(agent) = self
            .hosts
            .get(&id)
            .and_then(|h| Some(h.k3s.as_ref()?.agent()))
        else {
            return;
        };
        self.issue_missing(id, agent);
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        let Some(k3s) = host.k3s.as_mut() else { return };
        let Fate::Starts { up_at } = k3s.fate else {
            return;
        };
        k3s.fate = Fate::Up { since: up_at };
        let number = k3s.cluster;
        let name = k3s
            .flags("--node-name")
            .next()
            .unwrap_or(&host.name)
            .to_owned();
        let cluster = self.clusters.entry(number).or_insert_with(|| Cluster {
            // The same for every cluster that begins on this host: pictures of two runs can be compared.
            ca: format!(
                "-----BEGIN CERTIFICATE-----\nca of {}\n-----END CERTIFICATE-----\n",
                host.name
            ),
            password: format!("{:0>32}", host.id),
            ..Cluster::default()
        });
        let password = format!("password of {name}");
        cluster.passwords.insert(name.clone(), password.clone());
        let node = cluster.nodes.entry(name.clone()).or_insert_with(|| Node {
            host: id,
            uid: format!("uid-{suffix}"),
            server: !agent,
            cordoned: false,
            version: String::new(),
            down: false,
        });
        node.version.clone_from(&k3s.version);
        k3s.accepts.clone_from(&cluster.password);
        let mut files = vec![
            (NODE_PASSWORD.to_owned(), password),
            ("/var/lib/kubelet/pki/kubelet.crt".to_owned(), String::new()),
        ];
        if agent {
            files.push((
                "/var/lib/rancher/k3s/agent/server-ca.crt".to_owned(),
                cluster.ca.clone(),
            ));
        }
        if !agent {
            let admin = format!("{DATA_DIR}/server/tls/client-admin.crt");
            let admin = host.files.get(&admin).map_or("", String::as_str);
            if !cluster.members.iter().any(|m| m.host == id) {
                cluster.members.push(Member {
                    id: member_id,
                    host: id,
                    name: format!("{name}-{suffix:08x}"),
                    leaves: None,
                });
            }
            files.extend([
                (
                    "/etc/rancher/k3s/k3s.yaml".to_owned(),
                    kubeconfig(&cluster.ca, admin),
                ),
                (
                    TOKEN_FILE.to_owned(),
                    format!("K10{}::server:{}\n", sha256(&cluster.ca), cluster.password),
                ),
                (
                    "/var/lib/rancher/k3s/server/db/etcd/member/snap/db".to_owned(),
                    String::new(),
                ),
            ]);
        }
        host.files.extend(files);
        // A normal start ends a reset.
        host.files
            .remove("/var/lib/rancher/k3s/server/db/reset-flag");
        if !agent {
            self.begin_serving(id, number);
        }
    }
}

impl FakeHost {
    /// k3s reads its arguments and its configuration, whose lists stand in front of the command line's.
    fn read_configuration(&mut self) {
        let Some(k3s) = self.k3s.as_mut() else { return };
        let told = UnitFile::parse(&k3s.loaded).and_then(|unit| unit.command());
        if let Ok(command) = told {
            k3s.words = std::iter::once(command.subcommand)
                .chain(command.args)
                .collect();
        }
        let configs = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("/etc/rancher/k3s/config.yaml"))
            .map(|(path, text)| (path.as_str(), text.as_str()));
        let config = Config::merge(configs).unwrap_or_default();
        let args = k3s.words.get(1..).unwrap_or_default();
        let settings = Settings::effective(args, &config, &EnvFile::default());
        let all = settings.perhaps_sans().iter().chain(settings.sans());
        // What is no name, dynamiclistener leaves out.
        k3s.sans = all.filter(|name| is_served(name)).cloned().collect();
    }
}

pub(super) fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

fn kubeconfig(ca: &str, admin: &str) -> String {
    let (ca, cert, key) = (
        BASE64.encode(ca.as_bytes()),
        BASE64.encode(admin.as_bytes()),
        BASE64.encode(b"key"),
    );
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: https://127.0.0.1:6443\n  name: default\ncontexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: default\nkind: Config\npreferences: {{}}\nusers:\n- name: default\n  user:\n    client-certificate-data: {cert}\n    client-key-data: {key}\n"
    )
}
