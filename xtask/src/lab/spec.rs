//! `lab.json`: what the demo and the end-to-end tests know about a lab that is up.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::cmd::wait_for;

/// The user on every lab host, with sudo without a password.
pub(super) const USER: &str = "ops";

/// What a host is there for.
#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// k3s is to be installed on it
    Node,
    /// HAProxy is installed on it
    LoadBalancer,
}

/// A host as the compose file has it.
pub(super) struct Declared {
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// The last number of its address
    pub(super) last: u8,
}

/// What a lab has besides its hosts: files to install from, and the hosts' power switches.
pub(super) const SERVICES: [&str; 2] = ["files", "power"];

/// The hosts of every lab; names and numbers as in `docker-compose.yml`.
pub(super) const HOSTS: [Declared; 5] = [
    Declared {
        name: "node1",
        role: Role::Node,
        last: 11,
    },
    Declared {
        name: "node2",
        role: Role::Node,
        last: 12,
    },
    Declared {
        name: "node3",
        role: Role::Node,
        last: 13,
    },
    Declared {
        name: "node4",
        role: Role::Node,
        last: 14,
    },
    Declared {
        name: "lb",
        role: Role::LoadBalancer,
        last: 20,
    },
];

/// Which k3s the lab serves.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum K3s {
    /// The program in `e2e/k3s-standin`
    Standin,
    /// A binary given with `--k3s`
    Real,
}

/// A host that is up.
#[derive(Serialize)]
pub(crate) struct Host {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) address: String,
    pub(super) ssh_port: u16,
    /// For `docker kill` (power off) and `docker start` (power on)
    pub(super) container: String,
    /// Type and key of its Ed25519 host key, read inside the container
    pub(super) host_key: String,
}

/// A lab that is up.
#[derive(Serialize)]
pub(crate) struct Spec {
    pub(super) project: String,
    pub(super) network: String,
    pub(super) user: String,
    pub(super) private_key: PathBuf,
    pub(super) known_hosts: PathBuf,
    pub(super) k3s: K3s,
    pub(super) installer_url: String,
    pub(super) k3s_url: String,
    pub(super) hosts: Vec<Host>,
}

impl Spec {
    /// Waits until sshd of every host sends its greeting.
    ///
    /// # Errors
    /// One does not within a minute.
    pub(super) fn wait_for_ssh(&self) -> Result<()> {
        for host in &self.hosts {
            let address: SocketAddr = format!("{}:{}", host.address, host.ssh_port).parse()?;
            wait_for(&format!("sshd of {} at {address}", host.name), 60, || {
                Ok(greets(address).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Writes `lab.json` and `known_hosts` into the lab's folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let known: String = self
            .hosts
            .iter()
            .map(|host| format!("{} {}\n", host.address, host.host_key))
            .collect();
        std::fs::write(&self.known_hosts, known)?;
        let file = dir.join("lab.json");
        std::fs::write(&file, serde_json::to_vec_pretty(self)?)
            .with_context(|| file.display().to_string())
    }

    /// The private key that opens every host.
    pub(crate) fn private_key(&self) -> &Path {
        &self.private_key
    }

    /// Where the hosts get the installer script from.
    pub(crate) fn installer_url(&self) -> &str {
        &self.installer_url
    }

    /// Tells a person what there is.
    pub(crate) fn print(&self) {
        println!("lab {} is up ({})", self.project, self.network);
        for host in &self.hosts {
            println!(
                "  {:6} {:14} ssh port {}, user {}",
                host.name, host.address, host.ssh_port, self.user
            );
        }
        println!("  installer {}", self.installer_url);
        println!(
            "  look at a host: ssh -i {} -o UserKnownHostsFile={} {}@{}",
            self.private_key.display(),
            self.known_hosts.display(),
            self.user,
            self.hosts[0].address
        );
    }
}

fn greets(address: SocketAddr) -> bool {
    let patience = Duration::from_secs(2);
    let mut greeting = [0; 4];
    TcpStream::connect_timeout(&address, patience)
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(patience))?;
            stream.read_exact(&mut greeting)
        })
        .is_ok_and(|()| &greeting == b"SSH-")
}
