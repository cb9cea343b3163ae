//! Snapshots and the way back to one in memory, as recorded (facts A 14).

use std::collections::{BTreeMap, BTreeSet};

use coxswain_k3s::restore::K3S_URL;
use coxswain_wire::HostId;
use tokio::time::Instant;

use super::State;
use super::cluster::{Cluster, Member, Node};
use super::host::below;
use super::k3s::TOKEN_FILE;
use crate::world::JobSpec;

const SERVER: &str = "/var/lib/rancher/k3s/server";
const DATABASE: &str = "/var/lib/rancher/k3s/server/db/etcd";
/// Of what k3s keeps in the database and on the disk.
pub(super) const PASSWORDS: &str = "/var/lib/rancher/k3s/server/cred/passwd";
const FLAG: &str = "/var/lib/rancher/k3s/server/db/reset-flag";
/// What k3s keeps, named after the second of the reset.
const OLD_DATABASE: &str = "/var/lib/rancher/k3s/server/db/etcd-old-1795327029";
const OLD_CERTIFICATES: &str = "/var/lib/rancher/k3s/server/tls-1795327029/server-ca.crt";

/// What a snapshot of a cluster holds.
pub(super) fn content(cluster: &Cluster) -> String {
    let nodes = cluster.nodes.iter().map(|(name, node)| {
        let role = if node.server { "server" } else { "agent" };
        format!("node {name} {} {role}\n", node.host)
    });
    let objects = cluster
        .objects
        .iter()
        .map(|name| format!("object {name}\n"));
    let token = format!("token {}\n", cluster.password);
    nodes.chain(objects).chain([token]).collect()
}

impl State {
    /// See [`super::FakeWorld::reset_alone`].
    pub(super) fn reset_alone(&mut self, id: HostId) -> Option<()> {
        let number = self.unique();
        let old = self.hosts.get(&id)?.k3s.as_ref()?.cluster;
        let before = self.clusters.get(&old)?;
        let nodes = before.nodes.iter().filter(|(_, node)| node.host == id);
        let nodes = nodes.map(|(name, node)| {
            let node = Node {
                uid: node.uid.clone(),
                version: node.version.clone(),
                ..*node
            };
            (name.clone(), node)
        });
        let members = before.members.iter().filter(|m| m.host == id);
        let members = members.map(|m| Member {
            name: m.name.clone(),
            ..*m
        });
        let alone = Cluster {
            ca: before.ca.clone(),
            password: before.password.clone(),
            passwords: before.passwords.clone(),
            nodes: nodes.collect(),
            members: members.collect(),
            ..Cluster::default()
        };
        self.clusters.insert(number, alone);
        self.hosts.get_mut(&id)?.k3s.as_mut()?.cluster = number;
        Some(())
    }

    /// A node's line of a snapshot.
    fn node(&mut self, words: &[&str]) -> Option<(String, Node)> {
        let [name, host, role] = words else {
            return None;
        };
        let host = HostId(host.parse().ok()?);
        let k3s = self.hosts.get(&host).and_then(|h| h.k3s.as_ref());
        let node = Node {
            host,
            version: k3s.map_or(String::new(), |k3s| k3s.version.clone()),
            uid: format!("uid-{}", self.unique()),
            server: *role == "server",
            cordoned: false,
            down: false,
        };
        Some(((*name).to_owned(), node))
    }

    pub(super) fn cluster_reset(
        &mut self,
        id: HostId,
        spec: &JobSpec,
        at: Instant,
    ) -> Result<(), String> {
        let [_unit, mark, done, _limit, words @ ..] = spec.args.as_slice() else {
            return Err("arguments".to_owned());
        };
        let (mark, done) = (mark.clone(), done.clone());
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        host.files.remove(&done);
        host.stop_k3s();
        if let Some(flag) = host.files.remove(FLAG) {
            host.files.insert(format!("{done}.flag-before"), flag);
        }
        let file = self.reset_of(id, words, spec)?;
        let number = self.hosts[&id].k3s.as_ref().ok_or("no k3s")?.cluster;
        if let Err(other_token) = self.opens(id, spec, number, &file) {
            let host = self.hosts.get_mut(&id).ok_or("no such host")?;
            host.files.insert(FLAG.to_owned(), String::new());
            return Err(other_token);
        }
        self.go_back(id, number, &file)?;
        let invocation = self.unique();
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let moved: Vec<String> = host
            .files
            .keys()
            .filter(|path| below(path, DATABASE))
            .cloned()
            .collect();
        for path in moved {
            let text = host.files.remove(&path).unwrap_or_default();
            host.files
                .insert(path.replace(DATABASE, OLD_DATABASE), text);
        }
        for path in [
            format!("{DATABASE}/member/snap/db"),
            FLAG.to_owned(),
            OLD_CERTIFICATES.to_owned(),
            done,
            mark,
        ] {
            host.files.insert(path, String::new());
        }
        if let Some(k3s) = host.k3s.as_mut() {
            k3s.invocation = invocation;
        }
        self.start(id, at, true);
        Ok(())
    }

    /// The snapshot that a reset is given, if k3s accepts its words.
    fn reset_of(&self, id: HostId, words: &[String], spec: &JobSpec) -> Result<String, String> {
        let fatal = |message: &str| Err(format!("level=fatal msg=\"{message}\""));
        let joins = words.iter().enumerate().any(|(at, word)| {
            let inline = word.strip_prefix("--server=");
            inline.is_some_and(|url| !url.is_empty())
                || (word == "--server" && words.get(at + 1).is_some_and(|url| !url.is_empty()))
        });
        if joins || spec.secret_env.iter().any(|(name, _)| name == K3S_URL) {
            return fatal(
                "cannot perform cluster-reset while server URL is set - remove server from configuration before resetting",
            );
        }
        let others = self.hosts.keys().any(|other| {
            let k3s = self.hosts[other].k3s.as_ref();
            *other != id && k3s.is_some_and(|k3s| !k3s.agent()) && self.runs(*other)
        });
        if others {
            return fatal("etcd: other members are still running");
        }
        let path = words
            .iter()
            .find_map(|word| word.strip_prefix("--cluster-reset-restore-path="));
        let (Some(path), true) = (path, words.iter().any(|word| word == "--cluster-reset")) else {
            return fatal("no snapshot to restore");
        };
        match self.hosts[&id].files.get(path) {
            Some(content) => Ok(content.clone()),
            None => fatal("etcd: snapshot path does not exist"),
        }
    }

    /// The token that k3s is told, or else its own file, is that of the snapshot's time. k3s finds out when it has
    /// restored the data.
    fn opens(&self, id: HostId, spec: &JobSpec, number: u64, content: &str) -> Result<(), String> {
        let told = spec.secret_env.iter().find(|(name, _)| name == "K3S_TOKEN");
        let told = told.map(|(_, token)| String::from_utf8_lossy(token.expose()).into_owned());
        let own = self.hosts[&id].files.get(TOKEN_FILE).cloned();
        let token = told.or(own).unwrap_or_default();
        let mut lines = content.lines();
        let wanted = lines.find_map(|line| line.strip_prefix("token "));
        let now = self.clusters.get(&number).map(|c| c.password.as_str());
        match wanted.or(now) {
            Some(password) if !token.trim().ends_with(password) => Err(
                "level=fatal msg=\"bootstrap data already found and encrypted with different token\""
                    .to_owned(),
            ),
            Some(_) | None => Ok(()),
        }
    }

    /// The cluster becomes what the snapshot says, with this host as its only member.
    fn go_back(&mut self, id: HostId, number: u64, content: &str) -> Result<(), String> {
        let (member, suffix) = (self.unique(), self.unique());
        let mut nodes = Vec::new();
        let mut objects = BTreeSet::new();
        let (mut password, mut passwords) = (None, BTreeMap::new());
        for line in content.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["node", node @ ..] => nodes.extend(self.node(node)),
                ["object", name] => {
                    objects.insert((*name).to_owned());
                }
                ["password", node, of_its_time] => {
                    passwords.insert((*node).to_owned(), (*of_its_time).to_owned());
                }
                ["token", of_its_time] => password = Some((*of_its_time).to_owned()),
                _ => {
                    return Err(
                        "level=fatal msg=\"snapshot missing hash but --skip-hash-check=false\""
                            .to_owned(),
                    );
                }
            }
        }
        let name = self.hosts[&id].name.clone();
        let cluster = self.clusters.get_mut(&number).ok_or("no cluster")?;
        cluster.nodes = nodes.into_iter().collect();
        let of_today = |node: &String| (node.clone(), format!("password of {node}"));
        cluster.passwords = cluster.nodes.keys().map(of_today).collect();
        cluster.passwords.extend(passwords);
        // Of the restored node's own k3s deletes it.
        cluster.passwords.remove(&name);
        cluster.objects = objects;
        if let Some(password) = password {
            cluster.password = password;
        }
        cluster.members = vec![Member {
            id: member,
            host: id,
            name: format!("{name}-{suffix:08x}"),
            leaves: None,
        }];
        Ok(())
    }

    pub(super) fn rejoin(&mut self, id: HostId, spec: &JobSpec, at: Instant) -> Result<(), String> {
        let invocation = self.unique();
        let host = self.hosts.get_mut(&id).ok_or("no such host")?;
        let [_unit, mark, aside, drop_in, env_file, keys @ ..] = spec.args.as_slice() else {
            return Err("arguments".to_owned());
        };
        let (mark, drop_in, env_file) = (mark.clone(), drop_in.clone(), env_file.clone());
        let mut parts = vec![(format!("{SERVER}/db"), aside.clone())];
        if keys == ["renew"] {
            let part = |name: &str| (format!("{SERVER}/{name}"), format!("{aside}-{name}"));
            parts.extend(["tls", "cred"].map(part));
        }
        host.stop_k3s();
        let kept = format!("{SERVER}/db/snapshots");
        for (folder, aside) in parts {
            if host.files.keys().any(|path| below(path, &aside)) {
                continue;
            }
            let moved: Vec<String> = host
                .files
                .keys()
                .filter(|path| below(path, &folder) && !below(path, &kept))
                .cloned()
                .collect();
            for path in moved {
                let text = host.files.remove(&path).unwrap_or_default();
                host.files.insert(path.replace(&folder, &aside), text);
            }
        }
        let env = |name: &str| {
            let found = spec.secret_env.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| String::from_utf8_lossy(value.expose()).into_owned())
        };
        let files = [
            (drop_in, env("COXSWAIN_DROP_IN").ok_or("no drop-in")?),
            (
                env_file,
                env("COXSWAIN_ENVIRONMENT").ok_or("no environment")?,
            ),
            (mark, "cursor".to_owned()),
        ];
        host.files.extend(files);
        let has_data = host.has_database();
        if let Some(k3s) = host.k3s.as_mut() {
            k3s.invocation = invocation;
        }
        self.start(id, at, has_data);
        Ok(())
    }
}
