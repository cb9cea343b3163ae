//! The container engine's daemon: found, or started and waited for.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Result, bail};

use super::{For, install_missing, need_root};
use crate::cmd::{Running, cmd, on_path, wait_for};
use crate::paths;

/// Whose daemon it is.
pub(crate) enum Daemon {
    /// It was there, or the system's service manager has it
    Found,
    /// We started it; it goes on without us unless [`Daemon::end`] is called
    Started(Running),
}

impl Daemon {
    /// Ends a daemon that we started, and waits until it is gone.
    ///
    /// # Errors
    /// The system does not know the process.
    pub(crate) fn end(self) -> Result<()> {
        match self {
            Self::Found => Ok(()),
            Self::Started(mut daemon) => {
                println!(
                    "ending dockerd (process {}), which was started for this",
                    daemon.id()
                );
                daemon.end()
            }
        }
    }
}

/// Makes sure that the engine answers.
///
/// # Errors
/// Not installed and cannot be, not root, or it does not answer within a minute.
pub(crate) fn engine() -> Result<Daemon> {
    if answers() {
        return Ok(Daemon::Found);
    }
    if !on_path("dockerd") {
        install_missing(For::Demo)?;
    }
    need_root("starting the container engine")?;
    if Path::new("/run/systemd/system").exists()
        && cmd("systemctl").args(["cat", "docker.service"]).succeeds()
    {
        println!("starting docker.service");
        cmd("systemctl").args(["start", "docker.service"]).quiet()?;
        wait_until_it_answers()?;
        return Ok(Daemon::Found);
    }
    let log = paths::target().join("dockerd.log");
    fs::create_dir_all(paths::target())?;
    println!("starting dockerd, log in {}", log.display());
    let output = File::create(&log)?;
    let mut daemon = cmd("dockerd").spawn(output.try_clone()?.into(), output.into())?;
    wait_for("an answer from dockerd", 60, || {
        if let Some(status) = daemon.ended()? {
            bail!("dockerd ended at once ({status}); see {}", log.display());
        }
        Ok(answers().then_some(()))
    })?;
    Ok(Daemon::Started(daemon))
}

fn wait_until_it_answers() -> Result<()> {
    wait_for("an answer from the container engine", 60, || {
        Ok(answers().then_some(()))
    })
}

fn answers() -> bool {
    cmd("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .timeout(10)
        .succeeds()
}
