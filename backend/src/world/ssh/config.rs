//! The private runtime folder and the files in it that ssh reads: nothing of the user's or the system's ssh
//! configuration plays a part.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::super::{HostConnection, Result, WorldError, keys};
use super::known_hosts;

/// A control socket's name in full must fit into 107 bytes: this, `/c/.ssh-connectionXXXXXX/master`, and ssh's
/// own suffix of 17 while it makes it.
const MAX_DIR: usize = 60;
/// For asking a leftover master to leave.
const LEFTOVER_TIMEOUT: Duration = Duration::from_secs(2);

/// The folder.
pub(super) struct RuntimeDir {
    path: PathBuf,
    /// Files are written by one task at a time, and appear by renaming: ssh may be reading them.
    writing: Mutex<()>,
}

fn local(what: &str, path: &Path, e: &std::io::Error) -> WorldError {
    WorldError::Local {
        what: format!("{what} {}", path.display()),
        detail: e.to_string(),
    }
}

impl RuntimeDir {
    /// Makes it, checks that it is ours alone, and removes what an earlier panel left: its connections are
    /// closed first.
    pub(super) async fn prepare(path: PathBuf) -> Result<Self> {
        let refuse = |detail: String| WorldError::Local {
            what: format!("runtime folder {}", path.display()),
            detail,
        };
        if path.as_os_str().len() > MAX_DIR {
            return Err(refuse(format!("its name is longer than {MAX_DIR} bytes")));
        }
        if !path.is_absolute()
            || path
                .to_string_lossy()
                .contains(|c: char| c.is_whitespace() || "\"'%$~\\".contains(c))
        {
            return Err(refuse(
                "must be absolute, without blanks, quotes, %, $, ~ and backslashes".to_owned(),
            ));
        }
        fs::create_dir_all(&path)
            .await
            .map_err(|e| local("making", &path, &e))?;
        let meta = fs::symlink_metadata(&path)
            .await
            .map_err(|e| local("reading", &path, &e))?;
        if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(refuse(
                "must be a folder that belongs to the panel's user".to_owned(),
            ));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .await
            .map_err(|e| local("setting the mode of", &path, &e))?;
        let dir = Self {
            path,
            writing: Mutex::new(()),
        };
        dir.clear_leftovers().await?;
        for sub in [dir.control(), dir.hosts(), dir.agents()] {
            fs::create_dir_all(&sub)
                .await
                .map_err(|e| local("making", &sub, &e))?;
        }
        Ok(dir)
    }

    /// For control sockets.
    pub(super) fn control(&self) -> PathBuf {
        self.path.join("c")
    }

    fn hosts(&self) -> PathBuf {
        self.path.join("hosts")
    }

    /// For the agent's socket.
    pub(super) fn agents(&self) -> PathBuf {
        self.path.join("a")
    }

    async fn clear_leftovers(&self) -> Result<()> {
        let control = self.control();
        if let Ok(mut entries) = fs::read_dir(&control).await {
            while let Ok(Some(entry)) = entries.next_entry().await {
                let socket = entry.path().join("master");
                let mut exit = Command::new("ssh");
                exit.args(["-F", "none", "-O", "exit", "-S"])
                    .arg(&socket)
                    .arg("leftover")
                    .kill_on_drop(true);
                exit.stdin(std::process::Stdio::null());
                // It may be gone already, which is what we want.
                let _ = tokio::time::timeout(LEFTOVER_TIMEOUT, exit.output()).await;
            }
        }
        for sub in [control, self.hosts(), self.agents()] {
            match fs::remove_dir_all(&sub).await {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(local("removing", &sub, &e)),
            }
        }
        Ok(())
    }

    /// Writes what ssh needs for one host and returns the configuration file's path.
    pub(super) async fn write_host(
        &self,
        host: &HostConnection,
        agent: &Path,
        connect_timeout: Duration,
    ) -> Result<PathBuf> {
        check(host)?;
        let dir = self.hosts().join(host.id.to_string());
        fs::create_dir_all(&dir)
            .await
            .map_err(|e| local("making", &dir, &e))?;
        let public_key = keys::public_of(&host.private_key)?;
        let _writing = self.writing.lock().await;
        let config = text(host, &dir, agent, connect_timeout)?;
        for (name, content) in [
            ("known_hosts", known_hosts::file(host)?),
            ("key.pub", public_key),
            ("config", config),
        ] {
            let path = dir.join(name);
            let new = dir.join(format!("{name}.new"));
            fs::write(&new, content)
                .await
                .map_err(|e| local("writing", &new, &e))?;
            fs::rename(&new, &path)
                .await
                .map_err(|e| local("writing", &path, &e))?;
        }
        Ok(dir.join("config"))
    }
}

/// The panel's form refuses such hosts; this is the second lock, right before they become ssh's.
pub(super) fn check(host: &HostConnection) -> Result<()> {
    let refuse = |what: &str, detail: &str| {
        Err(WorldError::InvalidInput {
            what: format!("{what} of {}", host.name),
            detail: detail.to_owned(),
        })
    };
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !plain(&host.address, ".-:_") {
        return refuse("SSH address", "not a DNS name or IP address");
    }
    if !plain(&host.user, "._-") {
        return refuse("SSH user", "not a user name");
    }
    if host.port == 0 {
        return refuse("SSH port", "0 is no port");
    }
    Ok(())
}

fn text(
    host: &HostConnection,
    dir: &Path,
    agent: &Path,
    connect_timeout: Duration,
) -> Result<String> {
    let dir = dir.display();
    Ok(format!(
        "Host *
  HostName {address}
  Port {port}
  User {user}
  HostKeyAlias {alias}
  HostKeyAlgorithms {algorithms}
  StrictHostKeyChecking yes
  UserKnownHostsFile {dir}/known_hosts
  GlobalKnownHostsFile /dev/null
  KnownHostsCommand none
  HashKnownHosts no
  UpdateHostKeys no
  VerifyHostKeyDNS no
  CheckHostIP no
  BatchMode yes
  PreferredAuthentications publickey
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  NumberOfPasswordPrompts 0
  IdentitiesOnly yes
  IdentityFile {dir}/key.pub
  IdentityAgent {agent}
  AddKeysToAgent no
  ForwardAgent no
  ForwardX11 no
  ClearAllForwardings yes
  PermitLocalCommand no
  ProxyCommand none
  CanonicalizeHostname no
  ConnectionAttempts 1
  ConnectTimeout {timeout}
  ServerAliveInterval 5
  ServerAliveCountMax 3
  TCPKeepAlive yes
  Compression no
  RequestTTY no
  LogLevel INFO
",
        address = host.address,
        port = host.port,
        user = host.user,
        alias = known_hosts::alias(host),
        algorithms = known_hosts::algorithms(host)?,
        agent = agent.display(),
        timeout = connect_timeout.as_secs().max(1),
    ))
}
