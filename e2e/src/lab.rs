//! The lab's hosts, looked at over the lab's own SSH key: what a test asserts about a host it reads there,
//! never through the panel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use crate::exec::{self, Output};

/// Time one command on a host may take.
const LIMIT: Duration = Duration::from_secs(60);

/// `lab.json` as `cargo xtask lab up` writes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Lab {
    /// Login user of every host, with sudo.
    pub user: String,
    /// The lab's own key.
    pub private_key: PathBuf,
    /// Host keys, read inside the containers.
    pub known_hosts: PathBuf,
    /// Where the installer is served.
    pub installer_url: String,
    /// All hosts.
    pub hosts: Vec<Host>,
}

/// A host that is up.
#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    /// Its host name.
    pub name: String,
    /// Address on the lab's network.
    pub address: String,
    /// sshd's port.
    pub ssh_port: u16,
}

impl Lab {
    /// Reads `lab.json`.
    ///
    /// # Errors
    /// The file cannot be read or is not as expected.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read(file).with_context(|| file.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| file.display().to_string())
    }

    /// A host by name.
    ///
    /// # Errors
    /// The lab has none of that name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|h| h.name == name)
            .with_context(|| format!("the lab has no host {name}"))
    }

    /// Runs a shell script as root on a host; it goes over standard input, so secrets in it show nowhere.
    ///
    /// # Errors
    /// SSH fails or the script does not end in time. Its own exit status is no error.
    pub async fn try_ssh(&self, name: &str, script: &str) -> Result<Output> {
        let output = exec::run(self.command(name, "sudo -n bash -s")?, script, LIMIT).await?;
        // ssh's own failures; the scripts here never use this status.
        if output.code == Some(255) {
            bail!("ssh to {name}: {}", output.stderr.trim());
        }
        Ok(output)
    }

    /// Like [`Lab::try_ssh`], but the script must succeed; gives its standard output.
    ///
    /// # Errors
    /// Also when the script fails.
    pub async fn ssh(&self, name: &str, script: &str) -> Result<String> {
        let output = self
            .try_ssh(name, &format!("set -euo pipefail\n{script}"))
            .await?;
        if output.code != Some(0) {
            bail!(
                "on {name}: status {:?}: {}",
                output.code,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }

    /// Like [`Lab::ssh`], for a script that waits for something.
    ///
    /// # Errors
    /// Also when it takes longer than `limit`.
    pub async fn ssh_within(&self, name: &str, script: &str, limit: Duration) -> Result<String> {
        let output = exec::run(self.command(name, "sudo -n bash -s")?, script, limit).await?;
        if output.code != Some(0) {
            bail!(
                "on {name}: status {:?}: {}{}",
                output.code,
                output.stdout,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }

    /// Runs a command line as the login user, as a person would type it there.
    ///
    /// # Errors
    /// SSH or the command fails.
    pub async fn as_user(&self, name: &str, command_line: &str) -> Result<String> {
        let output = exec::run(self.command(name, "bash -s")?, command_line, LIMIT).await?;
        if output.code != Some(0) {
            bail!(
                "on {name} as {}: status {:?}: {}",
                self.user,
                output.code,
                output.stderr.trim()
            );
        }
        Ok(output.stdout)
    }

    fn command(&self, name: &str, remote: &str) -> Result<Command> {
        let host = self.host(name)?;
        let mut command = Command::new("ssh");
        command
            .args(["-F", "/dev/null", "-T", "-i"])
            .arg(&self.private_key)
            .args([
                "-o",
                &format!("UserKnownHostsFile={}", self.known_hosts.display()),
            ])
            .args([
                "-o",
                "GlobalKnownHostsFile=/dev/null",
                "-o",
                "StrictHostKeyChecking=yes",
            ])
            .args([
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "BatchMode=yes",
            ])
            .args(["-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR"])
            .args([
                "-p",
                &host.ssh_port.to_string(),
                "-l",
                &self.user,
                &host.address,
                remote,
            ]);
        Ok(command)
    }
}
