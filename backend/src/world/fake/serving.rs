//! The certificate of :6443 in memory, as recorded (facts A, TLS SANs): a Secret that all servers share, a
//! copy on each server's disk, and one in each server's process. Names come only by being asked for, and
//! go only with all three.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coxswain_k3s::certs::Certificate;
use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::serving::{CACHE_FILE, SECRET};
use coxswain_wire::HostId;
use tokio::time::Instant;

use super::k3s::Fate;
use super::{State, certificates};
use crate::world::{KubeSecret, Secret};

/// From a change of the Secret until the others serve it.
const FOLLOWS: Duration = Duration::from_secs(2);
/// Names k3s adds everywhere.
const STANDARD: [&str; 7] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "10.43.0.1",
];

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) serial: String,
    pub(super) names: BTreeSet<String>,
}

/// The Secret.
pub(super) struct Shared {
    uid: String,
    pub(super) serving: Serving,
}

/// What a server is told at its start.
pub(super) struct Own {
    /// Its node name, its address, and its `tls-san`.
    pub(super) names: BTreeSet<String>,
    /// It learns what it is asked for: by `--tls-san-security=false`, or by its release's default.
    pub(super) learns: bool,
}

impl Serving {
    fn as_file(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        format!("{} {}", self.serial, names.join(" "))
    }

    fn from_file(text: &str) -> Option<Self> {
        let mut words = text.split(' ').map(str::to_owned);
        Some(Self {
            serial: words.next()?,
            names: words.collect(),
        })
    }
}

impl State {
    fn issue(&mut self, names: BTreeSet<String>) -> Serving {
        Serving {
            serial: certificates::serial(self.unique()),
            names,
        }
    }

    /// A server has come up.
    pub(super) fn begin_serving(&mut self, id: HostId, number: u64) {
        let Some(own) = self.own_names(id) else {
            return;
        };
        let kept = self.hosts[&id]
            .files
            .get(CACHE_FILE)
            .and_then(|text| Serving::from_file(text));
        let shared = self
            .clusters
            .get(&number)
            .and_then(|c| c.shared.as_ref())
            .map(|s| s.serving.clone());
        match (kept, shared) {
            // Whatever the file says: the Secret wins.
            (Some(_), Some(shared)) => self.serve(id, shared),
            // An old copy brings the Secret back as it was.
            (Some(kept), None) => self.publish(id, number, kept),
            (None, Some(shared)) => {
                let names = shared.names.union(&own.names).cloned().collect();
                let made = self.issue(names);
                self.publish(id, number, made);
            }
            (None, None) => {
                let nodes = self.clusters[&number].nodes.iter();
                let servers = nodes
                    .filter(|(_, node)| node.server)
                    .flat_map(|(name, node)| {
                        [name.clone(), self.hosts[&node.host].address.clone()]
                    });
                let names = servers
                    .chain(own.names)
                    .chain(STANDARD.map(str::to_owned))
                    .collect();
                let made = self.issue(names);
                self.publish(id, number, made);
            }
        }
    }

    fn own_names(&self, id: HostId) -> Option<Own> {
        let host = self.hosts.get(&id)?;
        let k3s = host.k3s.as_ref()?;
        let name = k3s.flags("--node-name").next().unwrap_or(&host.name);
        // Told no address it takes those of the default route.
        let chosen = k3s.flags("--node-ip").next().is_none();
        let v6 = host.more_addresses.iter().find(|a| a.is_ipv6() && chosen);
        let names = [name.to_owned(), host.address.clone()];
        let security = k3s
            .words
            .iter()
            .find_map(|word| word.strip_prefix("--tls-san-security"));
        let by_default = || {
            let version = k3s.version.parse::<K3sVersion>();
            version.is_ok_and(|version| (23..28).contains(&version.minor()))
        };
        Some(Own {
            names: names
                .into_iter()
                .chain(v6.map(ToString::to_string))
                .chain(k3s.sans.iter().cloned())
                .collect(),
            learns: security.map_or_else(by_default, |value| value == "=false"),
        })
    }

    /// A server serves this from now on.
    fn serve(&mut self, id: HostId, serving: Serving) {
        if let Some(host) = self.hosts.get_mut(&id)
            && let Some(k3s) = host.k3s.as_mut()
        {
            host.files.insert(CACHE_FILE.to_owned(), serving.as_file());
            k3s.serving = Some(serving);
        }
    }

    /// A server serves this, and stores it for the others. Those leave a Secret alone that was deleted and
    /// made again, until it changes once more.
    fn publish(&mut self, id: HostId, number: u64, serving: Serving) {
        self.serve(id, serving.clone());
        let uid = format!("secret-{}", self.unique());
        let Some(cluster) = self.clusters.get_mut(&number) else {
            return;
        };
        match &mut cluster.shared {
            Some(shared) => {
                shared.serving = serving;
                cluster.followed_at = Some(Instant::now() + FOLLOWS);
            }
            None => cluster.shared = Some(Shared { uid, serving }),
        }
    }

    /// The servers that run take over what the Secret holds.
    pub(super) fn follow(&mut self, number: u64) {
        let Some(cluster) = self.clusters.get_mut(&number) else {
            return;
        };
        cluster.followed_at = None;
        let Some(serving) = cluster.shared.as_ref().map(|s| s.serving.clone()) else {
            return;
        };
        let servers: Vec<HostId> = self
            .hosts
            .values()
            .filter(|host| {
                host.k3s.as_ref().is_some_and(|k3s| {
                    !k3s.agent() && k3s.cluster == number && matches!(k3s.fate, Fate::Up { .. })
                })
            })
            .map(|host| host.id)
            .collect();
        let mut now = serving;
        for server in servers {
            now = self.merge(server, number, now);
        }
    }

    /// A running server meets a changed Secret: what its process was told at its start and is missing there
    /// comes in; and if it meets a name of its own for the first time, so does all that it served.
    fn merge(&mut self, id: HostId, number: u64, shared: Serving) -> Serving {
        let (Some(own), Some(served)) = (self.own_names(id), self.serving(id).cloned()) else {
            return shared;
        };
        let mut names: BTreeSet<String> = shared.names.union(&own.names).cloned().collect();
        let mut new = shared.names.difference(&served.names);
        if new.any(|name| own.learns || own.names.contains(name)) {
            names.extend(served.names);
        }
        if names == shared.names {
            self.serve(id, shared.clone());
            return shared;
        }
        let made = self.issue(names);
        self.publish(id, number, made.clone());
        made
    }

    /// A server is asked for a name.
    pub(super) fn asked(&mut self, id: HostId, number: u64, name: &str) {
        let Some(own) = self.own_names(id) else {
            return;
        };
        let Some(now) = self.serving(id).cloned() else {
            return;
        };
        if now.names.contains(name) || !(own.learns || own.names.contains(name)) {
            return;
        }
        let mut names = now.names;
        names.insert(name.to_owned());
        let made = self.issue(names);
        self.publish(id, number, made);
    }

    /// What a server serves.
    pub(super) fn serving(&self, id: HostId) -> Option<&Serving> {
        self.hosts.get(&id)?.k3s.as_ref()?.serving.as_ref()
    }
}

/// The Secret as the API gives it.
pub(super) fn as_secret(shared: &Shared) -> KubeSecret {
    let names = shared.serving.names.iter();
    KubeSecret {
        uid: shared.uid.clone(),
        kind: "kubernetes.io/tls".to_owned(),
        annotations: names
            .map(|name| {
                let key = format!("listener.cattle.io/cn-{}", name.replace(':', "_"));
                (key, name.clone())
            })
            .collect(),
        data: BTreeMap::from([
            (
                "tls.crt".to_owned(),
                Secret::new(certificates::mint("k3s", &shared.serving.serial)),
            ),
            ("tls.key".to_owned(), Secret::new("a key")),
        ]),
    }
}

/// The Secret that somebody makes through the API.
pub(super) fn from_secret(uid: String, secret: &KubeSecret) -> Option<Shared> {
    let certificate = Certificate::from_pem(secret.data.get("tls.crt")?.expose()).ok()?;
    Some(Shared {
        uid,
        serving: Serving {
            serial: certificate.serial().to_owned(),
            names: secret.annotations.values().cloned().collect(),
        },
    })
}

/// It is this Secret.
pub(super) fn is_shared(namespace: &str, name: &str) -> bool {
    namespace == coxswain_k3s::serving::NAMESPACE && name == SECRET
}
