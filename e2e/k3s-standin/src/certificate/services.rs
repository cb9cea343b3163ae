//! The services whose certificates are rotated and checked, and their files.

use std::path::PathBuf;

use anyhow::bail;

use crate::cli::flags::Flags;
use crate::paths::Paths;
use crate::version::release;

/// A service by its name on the command line.
pub(super) struct Service {
    /// Its name.
    pub(super) name: &'static str,
    /// Files below `server/tls`.
    server: &'static [&'static str],
    /// Files below `agent`.
    agent: &'static [&'static str],
}

/// The certificate of :6443, which is renewed by a trigger instead of by removing a file.
pub(super) const LISTENER: &str = "k3s-server";

/// All services, in the recorded order.
const SERVICES: [Service; 11] = [
    Service {
        name: "admin",
        server: &["client-admin.crt", "client-admin.key"],
        agent: &[],
    },
    Service {
        name: "etcd",
        server: &[
            "etcd/client.crt",
            "etcd/client.key",
            "etcd/server-client.crt",
            "etcd/server-client.key",
            "etcd/peer-server-client.crt",
            "etcd/peer-server-client.key",
        ],
        agent: &[],
    },
    Service {
        name: "api-server",
        server: &[
            "client-kube-apiserver.crt",
            "client-kube-apiserver.key",
            "serving-kube-apiserver.crt",
            "serving-kube-apiserver.key",
        ],
        agent: &[],
    },
    Service {
        name: "controller-manager",
        server: &["client-controller.crt", "client-controller.key"],
        agent: &[],
    },
    Service {
        name: "cloud-controller",
        server: &[
            "client-k3s-cloud-controller.crt",
            "client-k3s-cloud-controller.key",
        ],
        agent: &[],
    },
    Service {
        name: "scheduler",
        server: &["client-scheduler.crt", "client-scheduler.key"],
        agent: &[],
    },
    Service {
        name: LISTENER,
        server: &[],
        agent: &[],
    },
    Service {
        name: "k3s-controller",
        server: &["client-k3s-controller.crt", "client-k3s-controller.key"],
        agent: &["client-k3s-controller.crt", "client-k3s-controller.key"],
    },
    Service {
        name: "auth-proxy",
        server: &["client-auth-proxy.crt", "client-auth-proxy.key"],
        agent: &[],
    },
    Service {
        name: "kubelet",
        server: &["client-kubelet.key", "serving-kubelet.key"],
        agent: &[
            "client-kubelet.crt",
            "client-kubelet.key",
            "serving-kubelet.crt",
            "serving-kubelet.key",
        ],
    },
    Service {
        name: "kube-proxy",
        server: &["client-kube-proxy.crt", "client-kube-proxy.key"],
        agent: &["client-kube-proxy.crt", "client-kube-proxy.key"],
    },
];

/// What an agent has of its own.
const AGENT: [&str; 3] = ["kubelet", "kube-proxy", "k3s-controller"];

impl Service {
    /// Its files that the agent part owns.
    pub(super) fn agent_files(&self, paths: &Paths) -> Vec<PathBuf> {
        self.agent.iter().map(|name| paths.agent(name)).collect()
    }

    /// All its files.
    pub(super) fn files(&self, paths: &Paths) -> Vec<PathBuf> {
        let server = self.server.iter().map(|name| paths.tls(name));
        server.chain(self.agent_files(paths)).collect()
    }
}

/// Which services are meant.
pub(super) enum Chosen {
    /// Those named by `--service`.
    Named(Vec<&'static Service>),
    /// All of a server.
    Server(Vec<&'static Service>),
    /// All of an agent.
    Agent(Vec<&'static Service>),
}

impl Chosen {
    /// The services.
    pub(super) fn services(&self) -> &[&'static Service] {
        match self {
            Self::Named(list) | Self::Server(list) | Self::Agent(list) => list,
        }
    }
}

/// Reads `--service`; without it, everything this machine has.
///
/// # Errors
/// When a service is not known.
pub(super) fn choose(paths: &Paths, flags: &Flags) -> anyhow::Result<Chosen> {
    let named = flags.list("service");
    if named.is_empty() {
        let all = SERVICES.iter();
        return Ok(if paths.server("").exists() {
            Chosen::Server(all.collect())
        } else {
            Chosen::Agent(
                all.filter(|service| AGENT.contains(&service.name))
                    .collect(),
            )
        });
    }
    let mut services = Vec::new();
    for name in named {
        let Some(service) = SERVICES.iter().find(|service| service.name == name) else {
            if release().checks_certificates() {
                bail!("service {name} is not recognized");
            }
            bail!("Service {name} is not recognized");
        };
        services.push(service);
    }
    Ok(Chosen::Named(services))
}
