//! The panel's own ssh-agent: private keys go from memory to memory, never into a file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::{HostConnection, Result, Secret, WorldError, keys};

/// For starting it, and for adding a key.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Started with the first key.
pub(super) struct Agent {
    dir: PathBuf,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// Another one for each agent: an old one removes its socket when it ends, which may be after a new one started.
    socket: PathBuf,
    /// The agent lives as long as this child, its command, does; and that as long as its standard input is
    /// open: also a panel that is killed leaves no agent behind (it looks every 10 s).
    child: Child,
    /// Public keys it holds.
    added: HashSet<String>,
}

fn failed(detail: impl ToString) -> WorldError {
    WorldError::Local {
        what: "ssh-agent".to_owned(),
        detail: detail.to_string(),
    }
}

impl Agent {
    /// Sockets are made in `dir`.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            running: Mutex::new(None),
        }
    }

    /// Makes sure that an agent runs and holds the host's key; returns its socket.
    pub(super) async fn hold_key_of(&self, host: &HostConnection) -> Result<PathBuf> {
        let public_key = keys::public_of(&host.private_key)?;
        let mut guard = self.running.lock().await;
        let alive = match guard.as_mut() {
            Some(running) => {
                running.child.try_wait().map_err(failed)?.is_none()
                    && tokio::fs::try_exists(&running.socket)
                        .await
                        .map_err(failed)?
            }
            None => false,
        };
        if !alive {
            *guard = None;
        }
        let running = match guard.as_mut() {
            Some(running) => running,
            None => {
                let socket = self.dir.join(format!("{:016x}", rand::random::<u64>()));
                let child = timeout(TIMEOUT, start(&socket))
                    .await
                    .map_err(|_| failed("did not start in time"))??;
                guard.insert(Running {
                    socket,
                    child,
                    added: HashSet::new(),
                })
            }
        };
        if !running.added.contains(&public_key) {
            let add = add(&running.socket, &host.private_key);
            timeout(TIMEOUT, add)
                .await
                .map_err(|_| failed("did not answer in time"))??;
            running.added.insert(public_key);
        }
        Ok(running.socket.clone())
    }

    /// Ends it.
    pub(super) async fn stop(&self) {
        if let Some(mut running) = self.running.lock().await.take() {
            // Without its command the agent ends by itself.
            if let Err(error) = running.child.kill().await {
                tracing::warn!(%error, "the ssh-agent's command could not be ended");
            }
        }
    }
}

async fn start(socket: &Path) -> Result<Child> {
    let mut child = Command::new("ssh-agent")
        .arg("-a")
        .arg(socket)
        // The socket is there before the command starts: its line is the sign that the agent is ready.
        .args(["sh", "-c", "echo ready; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let stdout = child.stdout.take().ok_or_else(|| failed("has no output"))?;
    let mut line = String::new();
    BufReader::new(stdout)
        .read_line(&mut line)
        .await
        .map_err(failed)?;
    if line.trim() == "ready" {
        Ok(child)
    } else {
        Err(failed("could not start"))
    }
}

async fn add(socket: &Path, private_key: &Secret) -> Result<()> {
    let mut child = Command::new("ssh-add")
        .args(["-q", "-"])
        .env("SSH_AUTH_SOCK", socket)
        .env_remove("SSH_ASKPASS")
        .env_remove("DISPLAY")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut stdin = child
        .stdin
        .take()
        .ok_or_else(|| failed("ssh-add has no input"))?;
    stdin
        .write_all(private_key.expose())
        .await
        .map_err(failed)?;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(format!(
        "ssh-add: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
