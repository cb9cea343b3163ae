//! Labs that a test has for itself, set back to a saved state by `cargo xtask lab`, which alone knows the engine.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment::{given, target};
use crate::lab::Lab;

/// Time that making or setting back a lab may take; images are there already.
const LIMIT: Duration = Duration::from_secs(300);

/// The labs that no test has now.
static FREE: LazyLock<Mutex<Vec<Machines>>> = LazyLock::new(|| Mutex::new(named()));
static RETURNED: Condvar = Condvar::new();
/// Somebody wants to stop: no test begins any more.
static ENDED: AtomicBool = AtomicBool::new(false);

/// The machines of one lab by their compose project and network.
#[derive(Clone, Debug)]
pub struct Machines {
    project: String,
    net: String,
    /// Held while the engine is at work.
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// A lab that nobody else has until this is dropped.
#[derive(Debug)]
pub struct Taken(Machines);

/// Reads `COXSWAIN_LABS`: projects and networks, such as `coxswain-day2@172.30.80`.
fn named() -> Vec<Machines> {
    let labs = std::env::var("COXSWAIN_LABS").unwrap_or_default();
    labs.split_whitespace()
        .filter_map(|lab| lab.split_once('@'))
        .map(|(project, net)| Machines {
            project: project.to_owned(),
            net: net.to_owned(),
            busy: Arc::default(),
        })
        .collect()
}

/// Waits, without a runtime, until a lab is free.
///
/// # Errors
/// `COXSWAIN_LABS` names none, or the tests are about to end.
pub fn take() -> Result<Taken> {
    ensure!(
        !named().is_empty(),
        "COXSWAIN_LABS is not set: these tests need labs, run them by cargo xtask test"
    );
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        ensure!(!ENDED.load(Ordering::SeqCst), "interrupted");
        if let Some(machines) = free.pop() {
            return Ok(Taken(machines));
        }
        free = RETURNED.wait(free).unwrap_or_else(PoisonError::into_inner);
    }
}

/// From now on nobody gets a lab.
pub fn end() {
    ENDED.store(true, Ordering::SeqCst);
    RETURNED.notify_all();
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.0.clone());
        RETURNED.notify_one();
    }
}

impl std::ops::Deref for Taken {
    type Target = Machines;

    fn deref(&self) -> &Machines {
        &self.0
    }
}

impl Machines {
    /// Whether there is a state to set back to.
    #[must_use]
    pub fn are_saved(&self) -> bool {
        self.folder().join("inputs").exists()
    }

    /// Where data of the panel is kept that belongs to the saved machines.
    #[must_use]
    pub fn panel(&self) -> PathBuf {
        self.folder().join("panel")
    }

    /// Starts bare machines.
    ///
    /// # Errors
    /// They do not come up.
    pub async fn up(&self, time_scale: &str) -> Result<Lab> {
        self.xtask(&["up", "--time-scale", time_scale]).await?;
        self.lab()
    }

    /// Powers the machines off and keeps their disks.
    ///
    /// # Errors
    /// The engine refuses.
    pub async fn save(&self) -> Result<()> {
        self.xtask(&["save"]).await
    }

    /// Replaces the machines, whatever became of them, by the saved ones, and powers these on.
    ///
    /// # Errors
    /// They do not come up.
    pub async fn restore(&self, time_scale: &str) -> Result<Lab> {
        self.xtask(&["restore", "--time-scale", time_scale]).await?;
        self.lab()
    }

    /// Waits until the engine is not at work any more for a caller that is gone.
    pub async fn at_rest(&self) {
        drop(self.busy.lock().await);
    }

    fn folder(&self) -> PathBuf {
        target().join("lab-saved").join(&self.project)
    }

    fn lab(&self) -> Result<Lab> {
        Lab::read(&target().join("lab").join(&self.project).join("lab.json"))
    }

    /// Goes on when the caller gives up: the same signal that ends the tests tells xtask to stop, and it clears up.
    async fn xtask(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(given("COXSWAIN_XTASK")?);
        command.arg("lab").args(words);
        command.args(["--project", &self.project, "--net", &self.net]);
        command.stdin(Stdio::null());
        let what = format!("lab {}", words.join(" "));
        let busy = self.busy.clone().lock_owned().await;
        let work = tokio::spawn(async move {
            let output = command.output().await;
            drop(busy);
            output
        });
        let output = timeout(LIMIT, work)
            .await
            .with_context(|| what.clone())???;
        if !output.status.success() {
            bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
