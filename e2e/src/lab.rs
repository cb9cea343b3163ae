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
    /// What the engine calls it.
    pub container: String,
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

    /// Fingerprints of a host's keys, as it has them itself.
    ///
    /// # Errors
    /// SSH fails.
    pub async fn fingerprints(&self, name: &str) -> Result<Vec<String>> {
        let look = "for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $key; done";
        let said = self.ssh(name, look).await?;
        let words = said.split_whitespace();
        Ok(words
            .filter(|word| word.starts_with("SHA256:"))
            .map(str::to_owned)
            .collect())
    }

    /// Cuts a host's power.
    ///
    /// # Errors
    /// It is off, or the engine does not answer.
    pub async fn power_off(&self, name: &str) -> Result<()> {
        self.engine("kill", name).await
    }

    /// Gives a host its power back; it boots from the disk that it had.
    ///
    /// # Errors
    /// The engine does not start it.
    pub async fn power_on(&self, name: &str) -> Result<()> {
        self.engine("start", name).await
    }

    /// Writes every host's journal of this boot into a folder, for whoever has to find out what went wrong.
    ///
    /// # Errors
    /// The folder cannot be written. A host that cannot be asked has the reason in its file.
    pub async fn keep_journals(&self, folder: &Path) -> Result<()> {
        for host in &self.hosts {
            let look = "journalctl --boot --no-pager --lines 5000";
            let said = match self.ssh(&host.name, look).await {
                Ok(journal) => journal,
                Err(error) => format!("{error:#}"),
            };
            std::fs::write(folder.join(format!("{}.journal", host.name)), said)?;
        }
        Ok(())
    }

    async fn engine(&self, word: &str, name: &str) -> Result<()> {
        let mut command = Command::new("docker");
        command.args([word, &self.host(name)?.container]);
        let output = exec::run(command, "", LIMIT).await?;
        if output.code != Some(0) {
            bail!("docker {word} {name}: {}", output.stderr.trim());
        }
        Ok(())
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
