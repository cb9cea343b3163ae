//! The panel as a process of its own: started on a folder of its own, killed, and started again there.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::environment::Programs;
use crate::exec;
use crate::wait::until;

/// Time from start to the first answer; a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The data's place in the folder.
const DATA: &str = "data";

/// A panel with its data. The process ends when this is dropped.
#[derive(Debug)]
pub struct Panel {
    programs: Programs,
    /// Holds the data folder and the log.
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl Panel {
    /// Starts one on an empty folder and a free port, and waits until it listens.
    ///
    /// # Errors
    /// It ends or does not listen in time; its log is in the error.
    pub async fn start(programs: &Programs) -> Result<Self> {
        Self::in_folder(programs, folder()?).await
    }

    /// Starts one on a copy of what [`Panel::keep`] kept.
    ///
    /// # Errors
    /// The copy cannot be made; else as [`Panel::start`].
    pub async fn start_from(programs: &Programs, kept: &Path) -> Result<Self> {
        let folder = folder()?;
        copy(kept, &folder.path().join(DATA)).await?;
        Self::in_folder(programs, folder).await
    }

    async fn in_folder(programs: &Programs, folder: TempDir) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut panel = Self {
            programs: programs.clone(),
            folder,
            port,
            child: None,
        };
        panel.launch().await?;
        Ok(panel)
    }

    /// Starts it again on the same data and port.
    ///
    /// # Errors
    /// It still runs, or does not come up.
    pub async fn launch(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the panel runs already");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        let child = Command::new(&self.programs.panel)
            .arg("serve")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--web-dir")
            .arg(&self.programs.web)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| self.programs.panel.display().to_string())?;
        self.child = Some(child);
        let port = self.port;
        let ended = until("the panel listens", START, async || {
            if let Some(status) = self.child.as_mut().and_then(|c| c.try_wait().transpose()) {
                return Ok(Some(Some(status?)));
            }
            let listens = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok();
            Ok(listens.then_some(None))
        })
        .await?;
        if let Some(status) = ended {
            bail!("the panel ended: {status}\n{}", self.log_tail()?);
        }
        Ok(())
    }

    /// Ends it as a power cut would: SIGKILL, nothing is told before.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the panel does not run")?;
        child.kill().await.context("kill the panel")
    }

    /// Ends it and keeps its data in a folder, which must not be there yet.
    ///
    /// # Errors
    /// It does not run, or the copy cannot be made.
    pub async fn keep(mut self, folder: &Path) -> Result<()> {
        self.kill().await?;
        copy(&self.data(), folder).await
    }

    /// The one-time link that it printed at its first start.
    ///
    /// # Errors
    /// It printed none in time.
    pub async fn setup_link(&self) -> Result<String> {
        let start = format!("http://127.0.0.1:{}/setup#", self.port);
        until("the set-up link in the panel's output", START, async || {
            let log = self.log()?;
            let Some(at) = log.find(&start) else {
                return Ok(None);
            };
            Ok(log[at..].split_whitespace().next().map(str::to_owned))
        })
        .await
    }

    /// An address on the panel.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its process number while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// The folder with its database.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("panel.log")
    }

    /// All it has printed, over all starts.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(self.log_file())?).into_owned())
    }

    /// Sees that a secret is in none of its files, nor in what it has printed.
    ///
    /// # Errors
    /// Where it is; or a file cannot be read.
    pub fn keeps_secret(&self, secret: &str) -> Result<()> {
        ensure!(
            !self.log()?.contains(secret),
            "a secret shows in the panel's log"
        );
        for file in files(&self.data())? {
            let content = std::fs::read(&file)?;
            let mut parts = content.windows(secret.len());
            let found = parts.any(|part| part == secret.as_bytes());
            ensure!(!found, "a secret shows in {}", file.display());
        }
        Ok(())
    }

    /// Runs the program on the same data, e.g. `audit verify`.
    ///
    /// # Errors
    /// It cannot be started or does not end.
    pub async fn command(&self, words: &[&str]) -> Result<exec::Output> {
        let mut command = Command::new(&self.programs.panel);
        command.args(words).arg("--data-dir").arg(self.data());
        exec::run(command, "", START).await
    }

    fn log_tail(&self) -> Result<String> {
        let log = self.log()?;
        let lines: Vec<_> = log.lines().collect();
        Ok(lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("coxswain-e2e-").tempdir()?)
}

/// Copies a folder with owners and modes: the panel refuses a key file that others may read.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut command = Command::new("cp");
    command.arg("--archive").arg("--no-target-directory");
    command.arg(from).arg(to);
    let output = exec::run(command, "", START).await?;
    ensure!(
        output.code == Some(0),
        "copy {}: {}",
        from.display(),
        output.stderr.trim()
    );
    Ok(())
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}
