//! What earlier installations left on a host. An uninstall script's exit status says nothing (facts A,
//! 12): this list does.

use serde::{Deserialize, Serialize};

/// Something of k3s found on a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Leftover {
    /// Absolute path; for a network interface its name.
    pub path: String,
    /// What it is.
    pub kind: LeftoverKind,
}

/// What a leftover is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A directory with something in it.
    Directory,
    /// An empty directory.
    EmptyDirectory,
    /// A mount point with nothing on it, or a folder with nothing but such: stays where the disk stays.
    Mount,
    /// A network interface.
    Interface,
}

/// Which part of k3s a leftover belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverPlace {
    /// Data under `/var/lib/rancher`: certificates, database.
    Data,
    /// Images placed for an air-gapped installation: meant to be there.
    Images,
    /// `config.yaml` and its like, written by a person: shown and kept.
    Config,
    /// What k3s itself wrote under `/etc/rancher`: kubeconfig, node password.
    Generated,
    /// Programs and scripts in `/usr/local/bin`.
    Program,
    /// systemd units and their environment.
    Unit,
    /// What running pods and kubelet left: mounts, sockets, CNI.
    Runtime,
    /// Network interfaces.
    Network,
}

impl Leftover {
    /// Which part of k3s it belongs to.
    #[must_use]
    pub fn place(&self) -> LeftoverPlace {
        let under = |prefix: &str| {
            self.path
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.kind == LeftoverKind::Interface {
            LeftoverPlace::Network
        } else if under("/var/lib/rancher/k3s/agent/images") {
            LeftoverPlace::Images
        } else if under("/var/lib/rancher") {
            LeftoverPlace::Data
        } else if under("/etc/rancher/k3s/config.yaml")
            || under("/etc/rancher/k3s/config.yaml.d")
            || under("/etc/rancher/k3s/registries.yaml")
        {
            LeftoverPlace::Config
        } else if under("/etc/rancher") {
            LeftoverPlace::Generated
        } else if under("/usr/local/bin") {
            LeftoverPlace::Program
        } else if under("/etc/systemd/system")
            || under("/run/systemd/system")
            || under("/etc/default")
            || under("/etc/sysconfig")
        {
            LeftoverPlace::Unit
        } else {
            LeftoverPlace::Runtime
        }
    }

    /// It would make a new installation behave otherwise than on a fresh host: old data and units, what
    /// pods left. Not: empty directories, a binary or images placed beforehand, `config.yaml` (shown and
    /// kept), and the node password (a fresh cluster has none to compare it with).
    #[must_use]
    pub fn in_the_way(&self) -> bool {
        match self.kind {
            LeftoverKind::EmptyDirectory | LeftoverKind::Mount => return false,
            LeftoverKind::File
            | LeftoverKind::Link
            | LeftoverKind::Directory
            | LeftoverKind::Interface => {}
        }
        match self.place() {
            LeftoverPlace::Data | LeftoverPlace::Unit | LeftoverPlace::Network => true,
            LeftoverPlace::Runtime => true,
            LeftoverPlace::Images
            | LeftoverPlace::Config
            | LeftoverPlace::Generated
            | LeftoverPlace::Program => false,
        }
    }
}

/// A line `KIND PATH` of the probe.
pub(super) fn parse_line(line: &str) -> Option<Leftover> {
    let (kind, path) = line.split_once(' ')?;
    let kind = match kind {
        "file" => LeftoverKind::File,
        "link" => LeftoverKind::Link,
        "dir" => LeftoverKind::Directory,
        "empty" => LeftoverKind::EmptyDirectory,
        "mount" => LeftoverKind::Mount,
        "interface" => LeftoverKind::Interface,
        _ => return None,
    };
    (!path.is_empty()).then(|| Leftover {
        path: path.to_owned(),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_in_the_way() {
        let leftover = |line: &str| parse_line(line).unwrap();
        let unit = leftover("dir /run/systemd/system/k3s.service.d");
        assert_eq!(unit.place(), LeftoverPlace::Unit);
        for line in [
            "dir /var/lib/rancher/k3s/server",
            "file /etc/systemd/system/k3s.service",
            "dir /run/systemd/system/k3s.service.d",
            "file /etc/default/k3s",
            "dir /var/lib/kubelet",
            "interface cni0",
            "dir /var/lib/cni",
        ] {
            assert!(leftover(line).in_the_way(), "{line}");
        }
        // What the recorded uninstall left (transcript 12), and what people put there on purpose.
        for line in [
            "empty /var/lib/rancher",
            "empty /etc/rancher",
            "mount /var/lib/kubelet",
            "mount /var/lib/rancher/k3s/server",
            "file /etc/rancher/k3s/config.yaml",
            "dir /var/lib/rancher/k3s/agent/images",
            "file /usr/local/bin/k3s",
            "file /etc/rancher/node/password",
        ] {
            assert!(!leftover(line).in_the_way(), "{line}");
        }
        assert_eq!(parse_line("socket /x"), None);
        assert_eq!(parse_line(""), None);
    }
}
