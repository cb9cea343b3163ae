//! The facts about a host, as types.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::leftovers::Leftover;
use super::ports::{ListeningPort, Protocol, SERVER_PORTS};
use crate::names::K3sVersion;
use crate::redact;

/// What a probe found on a host. `None` and empty lists where it could not tell say so in their doc.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Ran as root, which everything else needs.
    pub is_root: bool,
    /// Operating system; `None`: no `os-release`.
    pub os: Option<OsRelease>,
    /// Kernel release, e.g. `6.1.0-18-amd64`.
    pub kernel: String,
    /// Machine architecture.
    pub architecture: Architecture,
    /// Name of the host, as `uname -n` gives it: the default node name.
    pub hostname: String,
    /// The host's boot id; changes with every boot. `None`: unknown.
    pub boot_id: Option<String>,
    /// systemd as process 1, and how it is.
    pub systemd: SystemdState,
    /// Number of processors; `None`: unknown.
    pub cpus: Option<u32>,
    /// Total memory in KiB; `None`: unknown.
    pub memory_kib: Option<u64>,
    /// Available memory in KiB; `None`: unknown.
    pub memory_available_kib: Option<u64>,
    /// Active swap in KiB; `None`: unknown.
    pub swap_kib: Option<u64>,
    /// The memory cgroup controller is there; `None`: unknown.
    pub memory_cgroup: Option<bool>,
    /// Space on the file systems k3s writes to.
    pub disks: Vec<DiskSpace>,
    /// Addresses of the host's interfaces; empty: unknown.
    pub addresses: Vec<IpAddr>,
    /// Listening sockets; `None`: neither `ss` nor `/proc/net` could be read.
    pub listening: Option<Vec<ListeningPort>>,
    /// The host's clock in milliseconds since 1970 UTC, at the moment of the probe.
    pub unix_ms: Option<i64>,
    /// The clock is kept by a time service; `None`: unknown.
    pub ntp_synchronized: Option<bool>,
    /// Active firewall; `None`: unknown.
    pub firewall: Option<Firewall>,
    /// What lies under `server/db`.
    pub datastore: DatastoreKind,
    /// `server/db/reset-flag` is there: it blocks a cluster reset until a normal start.
    pub reset_flag: bool,
    /// Version of the k3s binary, if there is one that runs.
    pub k3s_version: Option<K3sVersion>,
    /// State of `k3s.service`.
    pub k3s_unit: UnitState,
    /// State of `k3s-agent.service`.
    pub agent_unit: UnitState,
    /// Units of other names that start a k3s: of an installation with `INSTALL_K3S_NAME`.
    #[serde(default)]
    pub named_units: Vec<UnitState>,
    /// Disks that a person has mounted where k3s keeps its data.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// What earlier installations left.
    pub leftovers: Vec<Leftover>,
    /// `config.yaml` and drop-ins, in k3s's order.
    pub config_files: Vec<ConfigFile>,
    /// Tools found, of those the workflows use.
    pub tools: Vec<String>,
    /// SELinux keeps HAProxy to a few ports, and the API's is none of them.
    pub haproxy_confined: bool,
    /// Directories of our own remote jobs.
    pub jobs: Vec<String>,
    /// Units of our own remote jobs that systemd still knows, with their state, e.g. `active`.
    pub job_units: Vec<UnitState>,
}

impl HostFacts {
    /// Whether a tool was found.
    #[must_use]
    pub fn has_tool(&self, name: &str) -> bool {
        self.tools.iter().any(|tool| tool == name)
    }

    /// Ports a k3s server needs that somebody listens on. Empty also when the sockets are unknown: check
    /// [`HostFacts::listening`].
    #[must_use]
    pub fn ports_taken(&self) -> Vec<&ListeningPort> {
        self.listening
            .iter()
            .flatten()
            .filter(|socket| {
                SERVER_PORTS
                    .iter()
                    .any(|(protocol, port, _)| (*protocol, *port) == (socket.protocol, socket.port))
            })
            .collect()
    }

    /// Who listens on a TCP port.
    #[must_use]
    pub fn listener(&self, port: u16) -> Option<&ListeningPort> {
        self.listening
            .iter()
            .flatten()
            .find(|socket| socket.protocol == Protocol::Tcp && socket.port == port)
    }

    /// Milliseconds this host's clock is ahead of a clock that showed `reference_ms` at the same moment
    /// (take the middle between asking and answering). `None`: unknown.
    #[must_use]
    pub fn clock_ahead_ms(&self, reference_ms: i64) -> Option<i64> {
        self.unix_ms.map(|own| own.saturating_sub(reference_ms))
    }

    /// The host has this address on an interface. `None`: addresses unknown.
    #[must_use]
    pub fn has_address(&self, ip: IpAddr) -> Option<bool> {
        (!self.addresses.is_empty()).then(|| self.addresses.contains(&ip))
    }

    /// Free KiB where `path` lies.
    #[must_use]
    pub fn free_kib(&self, path: &str) -> Option<u64> {
        let disk = self.disks.iter().find(|disk| disk.path == path)?;
        Some(disk.free_kib)
    }
}

/// `/etc/os-release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsRelease {
    /// `ID`, e.g. `debian`.
    pub id: String,
    /// `VERSION_ID`; empty for rolling releases.
    pub version_id: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
    /// `ID_LIKE`, split.
    pub id_like: Vec<String>,
}

/// Machine architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// x86_64.
    Amd64,
    /// aarch64.
    Arm64,
    /// 32-bit ARM.
    Arm,
    /// IBM Z.
    S390x,
    /// k3s is not built for it.
    Unsupported(String),
}

impl Architecture {
    pub(super) fn from_uname(machine: &str) -> Self {
        match machine {
            "x86_64" | "amd64" => Architecture::Amd64,
            "aarch64" | "arm64" => Architecture::Arm64,
            "s390x" => Architecture::S390x,
            arm if arm.starts_with("arm") => Architecture::Arm,
            other => Architecture::Unsupported(other.to_owned()),
        }
    }
}

/// Whether systemd runs the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemdState {
    /// Process 1 is systemd; its own state, e.g. `running`, `degraded`, `starting`.
    Present(String),
    /// Process 1 is something else.
    Absent {
        /// Its name.
        init: String,
    },
}

/// Space on a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskSpace {
    /// The path asked about; may not exist yet, then the nearest parent was measured.
    pub path: String,
    /// Where its file system is mounted.
    pub mounted_on: String,
    /// Size in KiB.
    pub size_kib: u64,
    /// Free for ordinary use, in KiB.
    pub free_kib: u64,
}

/// An active firewall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firewall {
    /// None is active.
    None,
    /// `ufw` or `firewalld`.
    Active(String),
    /// Rules of unknown origin in the input chain: their number.
    Rules(u32),
}

/// What `server/db` holds. A single-node SQLite installation cannot be made highly available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatastoreKind {
    /// Nothing.
    None,
    /// `state.db`.
    Sqlite,
    /// An etcd directory: `--cluster-init` and `--server` would be ignored (facts A).
    Etcd,
    /// Files, but no database: an old one moved away, snapshots.
    Remains,
}

/// A systemd unit and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitState {
    /// Unit name.
    pub unit: String,
    /// `systemctl is-active`: `active`, `activating`, `inactive`, `failed`, …; `unknown` without systemd.
    pub state: String,
}

impl UnitState {
    /// It runs, or is about to.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(
            self.state.as_str(),
            "active" | "activating" | "reloading" | "deactivating"
        )
    }
}

/// A configuration file of k3s found on the host. May hold secrets: `Debug` hides the text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Absolute path.
    pub path: String,
    /// The text, unless the file was too long to be a configuration.
    pub text: String,
}

impl ConfigFile {
    /// The text with secrets masked, for people to see.
    #[must_use]
    pub fn redacted(&self) -> String {
        redact::redact_text(&self.text)
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
