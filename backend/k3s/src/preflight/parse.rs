//! From what [`super::PROBE_SCRIPT`] prints to [`HostFacts`].

use std::collections::BTreeMap;

use super::facts::{
    Architecture, ConfigFile, DatastoreKind, DiskSpace, Firewall, HostFacts, OsRelease,
    SystemdState, UnitState,
};
use super::{leftovers, ports};
use crate::names::K3sVersion;

/// What k3s's installer calls a server's unit, unless it is told a name.
const K3S_UNIT: &str = "k3s.service";
/// See [`K3S_UNIT`]; an agent's.
const AGENT_UNIT: &str = "k3s-agent.service";

/// Why the output is not a probe's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The first marker is missing: something else answered (a shell's banner is skipped).
    #[error("the host's answer is not that of the probe")]
    NotAProbe,
    /// The last marker is missing: the connection broke, or a tool hung.
    #[error("the probe's answer ends early, after section {0:?}")]
    CutShort(String),
    /// A section that always is there is not.
    #[error("the probe's answer has no usable section {0:?}")]
    Missing(&'static str),
}

/// Sections by name, each a list of content lines.
struct Sections<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Sections<'a> {
    fn read(output: &'a str) -> Result<Self, ProbeError> {
        let mut lines = output
            .lines()
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .skip_while(|line| *line != "@coxswain-probe 1");
        lines.next().ok_or(ProbeError::NotAProbe)?;
        let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut name = "";
        for line in lines {
            if line == "@done" {
                return Ok(Sections(sections));
            } else if let Some(section) = line.strip_prefix("@section ") {
                name = section;
                sections.entry(name).or_default();
            } else if let Some(content) = line.strip_prefix('|') {
                sections.entry(name).or_default().push(content);
            }
        }
        Err(ProbeError::CutShort(name.to_owned()))
    }

    fn lines(&self, name: &str) -> &[&'a str] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn first(&self, name: &str) -> Option<&'a str> {
        self.lines(name)
            .first()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
    }
}

/// Reads a probe's output.
///
/// # Errors
/// When it is not a whole probe. A tool missing on the host is no error.
pub fn parse_probe(output: &str) -> Result<HostFacts, ProbeError> {
    let sections = Sections::read(output)?;
    let uname = sections.lines("uname");
    let [kernel, machine, hostname, ..] = uname else {
        return Err(ProbeError::Missing("uname"));
    };
    let memory = |key: &str| {
        let line = sections
            .lines("memory")
            .iter()
            .find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    let units: Vec<UnitState> = sections
        .lines("units")
        .iter()
        .filter_map(|l| unit(l))
        .collect();
    let unit_state = |name: &str| {
        units
            .iter()
            .find(|u| u.unit == name)
            .cloned()
            .unwrap_or_else(|| UnitState {
                unit: name.to_owned(),
                state: "unknown".to_owned(),
            })
    };
    Ok(HostFacts {
        is_root: sections.first("user").ok_or(ProbeError::Missing("user"))? == "0",
        os: os_release(sections.lines("os-release")),
        kernel: (*kernel).to_owned(),
        architecture: Architecture::from_uname(machine),
        hostname: (*hostname).to_owned(),
        boot_id: sections.first("boot-id").map(str::to_owned),
        systemd: systemd(sections.lines("init")),
        cpus: sections.first("cpus").and_then(|text| text.parse().ok()),
        memory_kib: memory("MemTotal"),
        memory_available_kib: memory("MemAvailable"),
        swap_kib: memory("SwapTotal"),
        memory_cgroup: sections.first("cgroup").map(|text| text == "memory"),
        disks: sections
            .lines("disks")
            .iter()
            .filter_map(|l| disk(l))
            .collect(),
        addresses: sections
            .lines("addresses")
            .iter()
            .filter_map(|l| address(l))
            .collect(),
        listening: listening(sections.lines("sockets")),
        unix_ms: sections.first("clock").and_then(|text| text.parse().ok()),
        ntp_synchronized: sections
            .lines("clock")
            .iter()
            .find_map(|line| line.strip_prefix("NTPSynchronized="))
            .map(|value| value == "yes"),
        firewall: sections.first("firewall").and_then(firewall),
        datastore: datastore(sections.lines("datastore")),
        reset_flag: sections.lines("datastore").contains(&"reset-flag"),
        k3s_version: sections
            .first("k3s-version")
            .and_then(|line| K3sVersion::from_version_output(line).ok()),
        k3s_unit: unit_state(K3S_UNIT),
        agent_unit: unit_state(AGENT_UNIT),
        named_units: units
            .iter()
            .filter(|u| u.unit != K3S_UNIT && u.unit != AGENT_UNIT)
            .cloned()
            .collect(),
        mounts: owned(sections.lines("mounts")),
        leftovers: sections
            .lines("leftovers")
            .iter()
            .filter_map(|line| leftovers::parse_line(line))
            .collect(),
        config_files: config_files(&sections),
        tools: owned(sections.lines("tools")),
        haproxy_confined: sections
            .first("selinux")
            .is_some_and(|line| line.ends_with("off")),
        jobs: owned(sections.lines("jobs")),
        job_units: sections
            .lines("job-units")
            .iter()
            .filter_map(|l| unit(l))
            .collect(),
    })
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn os_release(lines: &[&str]) -> Option<OsRelease> {
    let value = |key: &str| {
        lines
            .iter()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .unwrap_or_default()
    };
    let id = value("ID");
    (!id.is_empty()).then(|| OsRelease {
        version_id: value("VERSION_ID"),
        pretty_name: value("PRETTY_NAME"),
        id_like: value("ID_LIKE")
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        id,
    })
}

fn systemd(lines: &[&str]) -> SystemdState {
    match lines {
        // The second line is there only where systemd runs; process 1 may be called init then.
        [_, state, ..] => SystemdState::Present((*state).to_owned()),
        [init, ..] => SystemdState::Absent {
            init: (*init).to_owned(),
        },
        [] => SystemdState::Absent {
            init: "unknown".to_owned(),
        },
    }
}

/// `/var/lib/rancher /dev/sda1 102400 2048 100352 2% /`; a mount point may contain blanks.
fn disk(line: &str) -> Option<DiskSpace> {
    let mut words = line.split_whitespace();
    let path = words.next()?.to_owned();
    let _device = words.next()?;
    let size_kib = words.next()?.parse().ok()?;
    let _used = words.next()?;
    let free_kib = words.next()?.parse().ok()?;
    let _percent = words.next()?;
    Some(DiskSpace {
        path,
        mounted_on: words.collect::<Vec<_>>().join(" "),
        size_kib,
        free_kib,
    })
}

/// `2: eth0    inet 172.30.55.10/24 brd …`
fn address(line: &str) -> Option<std::net::IpAddr> {
    let mut words = line.split_whitespace().skip(2);
    match words.next()? {
        "inet" | "inet6" => words.next()?.split('/').next()?.parse().ok(),
        _ => None,
    }
}

fn listening(lines: &[&str]) -> Option<Vec<ports::ListeningPort>> {
    let (source, lines) = lines.split_first()?;
    let read: fn(&str) -> Option<ports::ListeningPort> = match *source {
        "ss" => ports::from_ss,
        "proc" => ports::from_proc,
        _ => return None,
    };
    Some(lines.iter().filter_map(|line| read(line)).collect())
}

fn firewall(line: &str) -> Option<Firewall> {
    match line.split_once(' ')? {
        ("active", name) => Some(Firewall::Active(name.to_owned())),
        ("rules", "0") => Some(Firewall::None),
        ("rules", count) => count.parse().ok().map(Firewall::Rules),
        _ => None,
    }
}

fn datastore(names: &[&str]) -> DatastoreKind {
    if names.contains(&"etcd") {
        DatastoreKind::Etcd
    } else if names.contains(&"state.db") {
        DatastoreKind::Sqlite
    } else if names.is_empty() {
        DatastoreKind::None
    } else {
        DatastoreKind::Remains
    }
}

fn unit(line: &str) -> Option<UnitState> {
    let (unit, state) = line.split_once(' ')?;
    Some(UnitState {
        unit: unit.to_owned(),
        state: state.to_owned(),
    })
}

/// `config.yaml` first, then its drop-ins in byte order of their names, as k3s reads them.
fn config_files(sections: &Sections<'_>) -> Vec<ConfigFile> {
    let mut files: Vec<ConfigFile> = sections
        .0
        .iter()
        .filter_map(|(name, lines)| {
            let path = name.strip_prefix("config-file ")?;
            let mut text = lines.join("\n");
            if !text.is_empty() {
                text.push('\n');
            }
            Some(ConfigFile {
                path: path.to_owned(),
                text,
            })
        })
        .collect();
    files.sort_by(|a, b| {
        let key = |f: &ConfigFile| (f.path.contains("/config.yaml.d/"), f.path.clone());
        key(a).cmp(&key(b))
    });
    files
}

#[cfg(test)]
mod tests;
