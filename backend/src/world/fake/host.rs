//! One machine in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use coxswain_k3s::haproxy::Section;
use coxswain_wire::HostId;
use tokio::time::Instant;

use super::drill::{Silent, Timer};
use super::job::Job;
use super::k3s::{Fate, K3s};
use crate::world::{JobId, Result, UnreachableKind, WorldError};

/// All machines.
pub(super) type Hosts = BTreeMap<HostId, FakeHost>;

/// Where HAProxy's configuration lies.
const CONFIG: &str = "/etc/haproxy/haproxy.cfg";
/// It as Debian's package leaves it.
const HAPROXY_CFG: &str = "global\n\tlog /dev/log\tlocal0\n\tstats socket /run/haproxy/admin.sock mode 660 level admin\n\ndefaults\n\tmode\thttp\n\ttimeout client  50000\n";

/// One machine.
pub struct FakeHost {
    pub(super) id: HostId,
    pub(super) name: String,
    pub(super) address: String,
    /// What its Node has beside that, of another family.
    pub node_addresses: Vec<String>,
    /// Regular files by path. A folder is there while a file lies in it.
    pub files: BTreeMap<String, String>,
    /// Those of them that others than root may replace.
    pub loose: BTreeSet<String>,
    /// What its interface has beside its own address.
    pub more_addresses: Vec<IpAddr>,
    /// Answers over SSH.
    pub reachable: bool,
    /// What a look finds if it does not.
    pub unreachable: UnreachableKind,
    /// Answers on no port but SSH's: what a firewall does.
    pub filtered: bool,
    /// Its API server takes requests with credentials and does not answer them.
    pub api_hangs: bool,
    /// Its etcd takes requests and does not answer them.
    pub etcd_hangs: bool,
    /// Its sshd is there, and nothing comes back over it.
    pub ssh_hangs: bool,
    /// Its clock ahead of the panel's, milliseconds.
    pub clock_offset_ms: i64,
    /// Free space of its one file system, KiB.
    pub free_kib: u64,
    /// Disks that a person has mounted where k3s keeps its data.
    pub mounts: Vec<&'static str>,
    /// Process 1.
    pub init: String,
    /// `uname -n`.
    pub hostname: String,
    /// The firewall tool that works: `nft`, `iptables` or `none`.
    pub firewall_tool: String,
    /// A rotation of the token stops between k3s's own files and the database.
    pub rotates_halfway: bool,
    /// Its k3s ends at once when it is started, without a word.
    pub k3s_crashes: bool,
    /// SELinux keeps its HAProxy to the ports of web servers.
    pub confined: bool,
    /// What is installed of the tools that the probe looks for.
    pub tools: Vec<&'static str>,
    /// A process that holds TCP 6443.
    pub port_taken_by: Option<String>,
    /// Unit files differ from what systemd has read.
    pub(super) stale_units: bool,
    pub(super) boots: u64,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) starts: Vec<&'static str>,
    pub(super) k3s: Option<K3s>,
    pub(super) haproxy: Option<Haproxy>,
    /// Its power is off.
    pub(super) off: bool,
    /// Its network is cut, but for SSH.
    pub(super) cut: bool,
    /// From what, as last told.
    pub cut_from: Vec<String>,
    /// Timers that end a fault, by unit.
    pub(super) timers: BTreeMap<String, Timer>,
    /// k3s gives no sign.
    pub(super) silent: Option<Silent>,
}

/// HAProxy on a host.
pub(super) struct Haproxy {
    pub(super) active: bool,
    /// The configuration it runs with.
    pub(super) loaded: String,
}

impl FakeHost {
    /// A bare machine.
    #[must_use]
    pub fn new(id: i64, name: &str, address: &str) -> Self {
        Self {
            id: HostId(id),
            name: name.to_owned(),
            address: address.to_owned(),
            node_addresses: Vec::new(),
            files: BTreeMap::new(),
            loose: BTreeSet::new(),
            more_addresses: Vec::new(),
            reachable: true,
            unreachable: UnreachableKind::TimedOut,
            filtered: false,
            api_hangs: false,
            etcd_hangs: false,
            ssh_hangs: false,
            clock_offset_ms: 0,
            free_kib: 40 * 1024 * 1024,
            mounts: Vec::new(),
            init: "systemd".to_owned(),
            hostname: name.to_owned(),
            firewall_tool: "nft".to_owned(),
            rotates_halfway: false,
            k3s_crashes: false,
            confined: false,
            tools: vec!["curl", "bash", "python3", "timeout", "ss", "ip"],
            port_taken_by: None,
            stale_units: false,
            boots: 1,
            jobs: BTreeMap::new(),
            starts: Vec::new(),
            k3s: None,
            haproxy: None,
            off: false,
            cut: false,
            cut_from: Vec::new(),
            timers: BTreeMap::new(),
            silent: None,
        }
    }

    /// A machine with HAProxy as Debian's package leaves it.
    #[must_use]
    pub fn balancer(id: i64, name: &str, address: &str) -> Self {
        let mut host = Self::new(id, name, address);
        host.files.insert(CONFIG.to_owned(), HAPROXY_CFG.to_owned());
        host.haproxy = Some(Haproxy {
            active: true,
            loaded: HAPROXY_CFG.to_owned(),
        });
        host
    }

    /// The same with a file.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Lets HAProxy run with a cluster's section.
    pub(super) fn balance(&mut self, section: &Section) {
        let text = section
            .apply(HAPROXY_CFG)
            .expect("Debian's configuration takes the section");
        self.run_haproxy(text);
    }

    /// Lets HAProxy run with a configuration that somebody wrote.
    pub fn run_haproxy(&mut self, text: String) {
        self.files.insert(CONFIG.to_owned(), text.clone());
        self.haproxy = Some(Haproxy {
            active: true,
            loaded: text,
        });
    }

    /// Identifier.
    #[must_use]
    pub fn id(&self) -> HostId {
        self.id
    }

    /// Stops HAProxy, or lets it run again.
    pub fn halt_haproxy(&mut self, halt: bool) {
        if let Some(haproxy) = &mut self.haproxy {
            haproxy.active = !halt;
        }
    }

    /// Takes HAProxy off.
    pub fn haproxy_gone(&mut self) {
        self.haproxy = None;
        self.files.remove(CONFIG);
    }

    /// Turns it off and on: what ran is gone, k3s starts again.
    pub fn reboot(&mut self) {
        self.boots += 1;
        self.files.retain(|path, _| !path.starts_with("/run/"));
        for job in self.jobs.values_mut() {
            job.lose(Instant::now());
        }
    }

    pub(super) fn boot_id(&self) -> String {
        format!("boot-{}-{}", self.id, self.boots)
    }

    pub(super) fn answers(&self) -> Result<()> {
        if self.reachable {
            return Ok(());
        }
        Err(WorldError::Unreachable {
            target: self.name.clone(),
            kind: self.unreachable,
            detail: "no answer within 10 s".to_owned(),
        })
    }

    /// systemd is told to start k3s with each boot, or not to.
    pub(super) fn enable_k3s(&mut self, enabled: bool) {
        if let Some(k3s) = &mut self.k3s {
            k3s.enabled = enabled;
        }
    }

    /// k3s has lost its quorum: it ends, and systemd starts it again and again (facts A, a node dies).
    pub(super) fn lose_quorum(&mut self) {
        if let Some(k3s) = &mut self.k3s {
            k3s.fate = Fate::Starts {
                up_at: Instant::now(),
            };
        }
    }

    /// systemd reads the unit file again.
    pub(super) fn reload(&mut self) {
        self.stale_units = false;
        if let Some(k3s) = &mut self.k3s
            && let Some(text) = self.files.get(&format!("/etc/systemd/system/{}", k3s.unit))
        {
            k3s.loaded.clone_from(text);
        }
    }

    /// k3s is stopped.
    pub(super) fn stop_k3s(&mut self) {
        if let Some(k3s) = &mut self.k3s {
            k3s.fate = Fate::Stopped;
        }
    }

    /// The version of a k3s binary; none if that file is no k3s.
    pub(super) fn k3s_in(&self, path: &str) -> Option<String> {
        let version = self.files.get(path)?.strip_prefix("k3s ")?;
        version.starts_with('v').then(|| version.to_owned())
    }

    /// An etcd database is on disk.
    pub(super) fn has_database(&self) -> bool {
        self.files
            .contains_key("/var/lib/rancher/k3s/server/db/etcd/member/snap/db")
    }

    pub(super) fn started(&self, script: &str) -> usize {
        self.starts.iter().filter(|name| **name == script).count()
    }

    /// Removes every file at or below these paths.
    pub(super) fn remove_below(&mut self, paths: &[&str]) {
        self.files
            .retain(|file, _| !paths.iter().any(|path| below(file, path)));
    }
}

/// A file is a path, or lies below it.
pub(super) fn below(file: &str, path: &str) -> bool {
    file.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
