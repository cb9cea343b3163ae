//! The etcd child process. k3s embeds etcd, so the child must never outlive us, not even after SIGKILL:
//! it is started through ourselves as a launcher that asks the kernel for that and then becomes etcd.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};
use tokio::sync::watch;

use crate::logging;

/// First argument by which this program knows it is the launcher.
pub(crate) const LAUNCHER: &str = "etcd-launcher";

/// The launcher: ties its life to the parent's, then becomes etcd. Returns only on failure.
///
/// # Errors
/// When the parent is already gone or etcd cannot be executed.
pub(crate) fn launch(arguments: &[String]) -> anyhow::Result<()> {
    let [parent, program, rest @ ..] = arguments else {
        bail!("etcd launcher: arguments")
    };
    let parent: i32 = parent.parse().context("etcd launcher: parent")?;
    set_pdeathsig(Signal::SIGKILL).context("etcd launcher: prctl")?;
    // The parent may have died before the request took effect.
    if getppid() != Pid::from_raw(parent) {
        bail!("etcd launcher: parent is gone");
    }
    let error = Command::new(program).args(rest).exec();
    Err(error).with_context(|| {
        format!("cannot run {program} (the program of Debian's package etcd-server)")
    })
}

/// How the child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Because the cluster removed this member.
    Removed,
    /// Any other way.
    Stopped,
}

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// etcd's program.
    pub(crate) program: PathBuf,
    /// Its arguments; they hold no secret.
    pub(crate) arguments: Vec<String>,
}

/// A running etcd.
pub(crate) struct Process {
    pid: Pid,
    ended: watch::Receiver<Option<Ended>>,
}

impl Process {
    /// Starts etcd; its log lines go to our stderr.
    ///
    /// # Errors
    /// When the launcher cannot be started.
    pub(crate) fn start(spec: &Spec) -> anyhow::Result<Self> {
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (sender, ended) = watch::channel(None);
        let spec = spec.clone();
        // The death signal follows the thread that spawned the child, so that thread must live on: it waits.
        std::thread::Builder::new()
            .name("etcd".to_owned())
            .spawn(move || {
                let spawned = spawn(&spec);
                match spawned {
                    Err(error) => drop(ready.send(Err(error))),
                    Ok(mut child) => {
                        drop(ready.send(Ok(child.id())));
                        let removed = child.stderr.take().is_some_and(copy_log);
                        // Whatever wait says, the child is over once its stderr is closed and it is reaped.
                        drop(child.wait());
                        let how = if removed {
                            Ended::Removed
                        } else {
                            Ended::Stopped
                        };
                        sender.send_replace(Some(how));
                    }
                }
            })
            .context("thread for etcd")?;
        let id = started.recv().context("thread for etcd")??;
        Ok(Self {
            pid: Pid::from_raw(i32::try_from(id).context("pid")?),
            ended,
        })
    }

    /// Waits for the end of the child.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(how) => how.clone().unwrap_or(Ended::Stopped),
            Err(_) => Ended::Stopped,
        }
    }

    /// Asks the child to stop, and kills it after `patience`.
    pub(crate) async fn stop(&self, patience: Duration) {
        if self.ended.borrow().is_some() {
            return;
        }
        self.signal(Signal::SIGTERM);
        if tokio::time::timeout(patience, self.ended()).await.is_err() {
            self.signal(Signal::SIGKILL);
            self.ended().await;
        }
    }

    fn signal(&self, signal: Signal) {
        // ESRCH: it is gone already, which is what we want.
        if let Err(error) = kill(self.pid, signal)
            && error != nix::errno::Errno::ESRCH
        {
            logging::error(format!("signal etcd: {error}"));
        }
    }
}

fn spawn(spec: &Spec) -> anyhow::Result<std::process::Child> {
    let own = std::env::current_exe().context("own program")?;
    Command::new(own)
        .arg(LAUNCHER)
        .arg(std::process::id().to_string())
        .arg(&spec.program)
        .args(&spec.arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Signals of a terminal are for us; we stop the child ourselves.
        .process_group(0)
        .spawn()
        .context("start etcd")
}

/// Copies etcd's log to ours until it ends; true when it says that this member was removed.
fn copy_log(stderr: std::process::ChildStderr) -> bool {
    let mut removed = false;
    for line in BufReader::new(stderr).lines() {
        let Ok(line) = line else { break };
        removed |= line.contains("the member has been permanently removed from the cluster");
        logging::raw(&line);
    }
    removed
}
