//! Where k3s keeps its files (transcript 01), below an optional root used by tests.

use std::path::{Path, PathBuf};

/// Resolver for k3s's absolute paths.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    root: Option<PathBuf>,
}

/// k3s's data directory.
const DATA: &str = "/var/lib/rancher/k3s";

impl Paths {
    /// Paths below `root`, or the real ones.
    pub(crate) fn under(root: Option<PathBuf>) -> Self {
        Self { root }
    }

    /// `absolute` below the root.
    pub(crate) fn at(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        match &self.root {
            None => absolute.to_owned(),
            Some(root) => root.join(absolute.strip_prefix("/").unwrap_or(absolute)),
        }
    }

    /// A file of the server part.
    pub(crate) fn server(&self, name: &str) -> PathBuf {
        self.at(format!("{DATA}/server/{name}"))
    }

    /// A file below `server/tls`.
    pub(crate) fn tls(&self, name: &str) -> PathBuf {
        self.at(format!("{DATA}/server/tls/{name}"))
    }

    /// A file of the agent part.
    pub(crate) fn agent(&self, name: &str) -> PathBuf {
        self.at(format!("{DATA}/agent/{name}"))
    }

    /// The path as k3s prints it and writes it into files, without the root.
    pub(crate) fn shown(&self, path: &Path) -> String {
        match &self.root {
            None => path.display().to_string(),
            Some(root) => match path.strip_prefix(root) {
                Ok(rest) => format!("/{}", rest.display()),
                Err(_) => path.display().to_string(),
            },
        }
    }

    /// The data directory of etcd.
    pub(crate) fn etcd_dir(&self) -> PathBuf {
        self.server("db/etcd")
    }

    /// Where snapshots go by default.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.server("db/snapshots")
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.at("/etc/rancher/k3s/k3s.yaml")
    }

    /// The password by which a node proves to be itself when it comes back.
    pub(crate) fn node_password(&self) -> PathBuf {
        self.at("/etc/rancher/node/password")
    }
}
