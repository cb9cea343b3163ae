//! What `k3s certificate rotate` renews: services, and the certificates of each (facts 08, B.2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::certs::Certificate;

/// Where k3s keeps its data.
pub const DATA_DIR: &str = "/var/lib/rancher/k3s";

/// A service as `--service` names it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "named as k3s names them")]
pub enum Service {
    Admin,
    ApiServer,
    AuthProxy,
    CloudController,
    ControllerManager,
    Etcd,
    K3sController,
    K3sServer,
    KubeProxy,
    Kubelet,
    Scheduler,
    Supervisor,
}

/// The cloud controller's certificate, and its name in early releases.
const CLOUD_CONTROLLER: &str = "server/tls/client-k3s-cloud-controller.crt";
const OLD_CLOUD_CONTROLLER: &str = "server/tls/client-cloud-controller.crt";

/// Certificates that older releases hand to agents as they are on the server.
const SHARED: [&str; 2] = ["client-kube-proxy.crt", "client-k3s-controller.crt"];

/// Not a service of k3s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("k3s has no service {0:?}: choose among {known}", known = Service::listed())]
pub struct UnknownService(String);

impl Service {
    /// Those that every release rotates, by name.
    pub const ALL: [Service; 11] = [
        Service::Admin,
        Service::ApiServer,
        Service::AuthProxy,
        Service::CloudController,
        Service::ControllerManager,
        Service::Etcd,
        Service::K3sController,
        Service::K3sServer,
        Service::KubeProxy,
        Service::Kubelet,
        Service::Scheduler,
    ];

    /// What only later releases rotate (k3s, `pkg/util/services`): asked for by name, or where k3s rotates all it
    /// knows.
    pub const LATER: [Service; 1] = [Service::Supervisor];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Service::Admin => "admin",
            Service::ApiServer => "api-server",
            Service::AuthProxy => "auth-proxy",
            Service::CloudController => "cloud-controller",
            Service::ControllerManager => "controller-manager",
            Service::Etcd => "etcd",
            Service::K3sController => "k3s-controller",
            Service::K3sServer => "k3s-server",
            Service::KubeProxy => "kube-proxy",
            Service::Kubelet => "kubelet",
            Service::Scheduler => "scheduler",
            Service::Supervisor => "supervisor",
        }
    }

    /// An agent has certificates of it, too.
    #[must_use]
    pub fn on_agents(self) -> bool {
        match self {
            Service::K3sController | Service::KubeProxy | Service::Kubelet => true,
            Service::Admin
            | Service::ApiServer
            | Service::AuthProxy
            | Service::CloudController
            | Service::ControllerManager
            | Service::Etcd
            | Service::K3sServer
            | Service::Scheduler
            | Service::Supervisor => false,
        }
    }

    /// Its certificates below [`DATA_DIR`]. The one of :6443 is none of them: see [`crate::serving`].
    #[must_use]
    pub fn files(self) -> &'static [&'static str] {
        match self {
            Service::Admin => &["server/tls/client-admin.crt"],
            Service::ApiServer => &[
                "server/tls/client-kube-apiserver.crt",
                "server/tls/serving-kube-apiserver.crt",
            ],
            Service::AuthProxy => &["server/tls/client-auth-proxy.crt"],
            Service::CloudController => &[OLD_CLOUD_CONTROLLER, CLOUD_CONTROLLER],
            Service::ControllerManager => &["server/tls/client-controller.crt"],
            Service::Etcd => &[
                "server/tls/etcd/client.crt",
                "server/tls/etcd/server-client.crt",
                "server/tls/etcd/peer-server-client.crt",
            ],
            Service::K3sController => &[
                "server/tls/client-k3s-controller.crt",
                "agent/client-k3s-controller.crt",
            ],
            Service::K3sServer => &[],
            Service::KubeProxy => &[
                "server/tls/client-kube-proxy.crt",
                "agent/client-kube-proxy.crt",
            ],
            Service::Kubelet => &["agent/client-kubelet.crt", "agent/serving-kubelet.crt"],
            Service::Scheduler => &["server/tls/client-scheduler.crt"],
            Service::Supervisor => &["server/tls/client-supervisor.crt"],
        }
    }

    /// All that may be asked for.
    fn known() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Self::LATER)
    }

    /// Their names, for people.
    #[must_use]
    pub fn listed() -> String {
        let names: Vec<&str> = Self::known().map(Service::name).collect();
        names.join(", ")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::known()
            .find(|service| service.name() == text)
            .ok_or_else(|| UnknownService(text.chars().take(80).collect()))
    }
}

/// Serial numbers of a node's certificates by their paths below [`DATA_DIR`]; base names collide.
pub type Serials = BTreeMap<String, String>;

/// The serial numbers of the leaf certificates among these files. CAs are not rotated; files that hold no
/// certificate do not count.
#[must_use]
pub fn serials<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Serials {
    files
        .into_iter()
        .filter_map(|(path, pem)| {
            let leaf = Certificate::from_pem(pem.as_bytes()).ok()?;
            (!leaf.is_ca()).then(|| (path.to_owned(), leaf.serial().to_owned()))
        })
        .collect()
}

/// How a node's certificates differ from those before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renewal {
    /// New serial number: path, before, after.
    pub renewed: Vec<(String, String, String)>,
    /// Same serial number although it belongs to a chosen service.
    pub stale: Vec<String>,
    /// Same serial number, and that of a server's own: releases that hand agents copies did so again since the
    /// server's turn.
    pub copies: Vec<String>,
    /// Same serial number, and no chosen service's.
    pub kept: Vec<String>,
    /// Not there any more.
    pub gone: Vec<String>,
}

impl Renewal {
    /// Compares. `chosen`: the services that were rotated.
    #[must_use]
    pub fn between(before: &Serials, after: &Serials, chosen: &[Service]) -> Self {
        let wanted: BTreeSet<&str> = chosen
            .iter()
            .flat_map(|service| service.files().iter().copied())
            .collect();
        let mut found = Renewal::default();
        for (path, old) in before {
            match after.get(path) {
                None => found.gone.push(path.clone()),
                Some(new) if new != old => {
                    found.renewed.push((path.clone(), old.clone(), new.clone()));
                }
                Some(_) if wanted.contains(path.as_str()) => found.stale.push(path.clone()),
                Some(_) => found.kept.push(path.clone()),
            }
        }
        // A release that has renamed a file leaves the old one where it was, and nothing renews it.
        if before.contains_key(CLOUD_CONTROLLER) {
            let (left, stale) = std::mem::take(&mut found.stale)
                .into_iter()
                .partition(|path| path == OLD_CLOUD_CONTROLLER);
            found.stale = stale;
            found.kept.extend::<Vec<String>>(left);
        }
        found
    }

    /// On an agent: what is the copy of one of these servers' certificates is as new as theirs.
    pub fn allow_copies(&mut self, now: &Serials, servers: &[Serials]) {
        let is_copy = |path: &String| {
            let Some(name) = path.strip_prefix("agent/") else {
                return false;
            };
            let theirs = format!("server/tls/{name}");
            SHARED.contains(&name)
                && servers.iter().any(|server| {
                    server
                        .get(&theirs)
                        .is_some_and(|s| now.get(path) == Some(s))
                })
        };
        let (copies, stale) = std::mem::take(&mut self.stale)
            .into_iter()
            .partition(is_copy);
        self.stale = stale;
        self.copies.extend::<Vec<String>>(copies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_named_as_k3s_does() {
        for service in Service::known() {
            assert_eq!(service.name().parse(), Ok(service));
            let json = serde_json::to_string(&service).unwrap();
            assert_eq!(json, format!("\"{service}\""));
        }
        let error = "nosuch".parse::<Service>().unwrap_err().to_string();
        assert!(error.contains("nosuch") && error.contains("k3s-server"));
    }

    #[test]
    fn a_file_of_an_earlier_release_may_stay() {
        let serials = |pairs: &[(&str, &str)]| -> Serials {
            let pairs = pairs.iter();
            pairs
                .map(|(p, s)| ((*p).to_owned(), (*s).to_owned()))
                .collect()
        };
        let both = serials(&[(OLD_CLOUD_CONTROLLER, "1"), (CLOUD_CONTROLLER, "2")]);
        let after = serials(&[(OLD_CLOUD_CONTROLLER, "1"), (CLOUD_CONTROLLER, "3")]);
        let found = Renewal::between(&both, &after, &[Service::CloudController]);
        assert_eq!(found.stale, [""; 0]);
        assert_eq!(found.kept, [OLD_CLOUD_CONTROLLER]);
        let old = serials(&[(OLD_CLOUD_CONTROLLER, "1")]);
        let found = Renewal::between(&old, &old, &[Service::CloudController]);
        assert_eq!(found.stale, [OLD_CLOUD_CONTROLLER]);
    }

    /// Releases before it leave its certificate alone, also when they rotate all they know.
    #[test]
    fn the_supervisors_certificate_may_stay_unless_it_was_asked_for() {
        let path = "server/tls/client-supervisor.crt";
        let old = Serials::from([(path.to_owned(), "1".to_owned())]);
        let new = Serials::from([(path.to_owned(), "2".to_owned())]);
        assert_eq!(Renewal::between(&old, &old, &Service::ALL).kept, [path]);
        let renewed = Renewal::between(&old, &new, &Service::ALL).renewed;
        assert_eq!(renewed.len(), 1);
        let asked = Renewal::between(&old, &old, &[Service::Supervisor]);
        assert_eq!(asked.stale, [path]);
    }

    #[test]
    fn an_agents_copy_is_as_new_as_the_servers_own() {
        let serials = |pairs: &[(&str, &str)]| -> Serials {
            let pairs = pairs.iter();
            pairs
                .map(|(p, s)| ((*p).to_owned(), (*s).to_owned()))
                .collect()
        };
        let (shared, other) = (
            "agent/client-kube-proxy.crt",
            "agent/client-k3s-controller.crt",
        );
        let now = serials(&[
            (shared, "7"),
            (other, "3"),
            ("agent/client-kubelet.crt", "1"),
        ]);
        let servers = [
            serials(&[("server/tls/client-kube-proxy.crt", "6")]),
            serials(&[
                ("server/tls/client-kube-proxy.crt", "7"),
                ("server/tls/client-k3s-controller.crt", "4"),
                ("server/tls/client-kubelet.crt", "1"),
            ]),
        ];
        let mut found = Renewal::between(&now, &now, &Service::ALL);
        found.allow_copies(&now, &servers);
        assert_eq!(found.copies, [shared]);
        assert_eq!(found.stale, [other, "agent/client-kubelet.crt"]);
    }

    #[test]
    fn what_was_renewed_is_told_by_serial_numbers() {
        let serials = |pairs: &[(&str, &str)]| -> Serials {
            let pairs = pairs.iter();
            pairs
                .map(|(p, s)| ((*p).to_owned(), (*s).to_owned()))
                .collect()
        };
        let before = serials(&[
            ("server/tls/client-admin.crt", "1"),
            ("server/tls/client-scheduler.crt", "2"),
            ("server/tls/kube-scheduler/kube-scheduler.crt", "3"),
            ("agent/client-kubelet.crt", "4"),
        ]);
        let after = serials(&[
            ("server/tls/client-admin.crt", "9"),
            ("server/tls/client-scheduler.crt", "2"),
            ("server/tls/kube-scheduler/kube-scheduler.crt", "3"),
        ]);
        let found = Renewal::between(&before, &after, &Service::ALL);
        assert_eq!(found.renewed.len(), 1);
        assert_eq!(found.stale, ["server/tls/client-scheduler.crt"]);
        assert_eq!(found.kept, ["server/tls/kube-scheduler/kube-scheduler.crt"]);
        assert_eq!(found.gone, ["agent/client-kubelet.crt"]);
        let chosen = Renewal::between(&before, &after, &[Service::Admin]);
        assert!(chosen.stale.is_empty() && chosen.kept.len() == 2);
    }
}
