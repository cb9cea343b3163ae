//! How fast the stand-in's timers run in a lab: its one explicit setting, given to everything that a host's
//! systemd starts. It lies beside the hosts' disks, not on them: what `lab save` keeps runs at any scale.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// Factor for the stand-in's timers; 1 is the real k3s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TimeScale(f64);

impl TimeScale {
    /// As a real k3s.
    pub(crate) const REAL: Self = Self(1.0);

    /// Writes the drop-in that the compose file mounts into every host.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(super) fn write(self, dir: &Path) -> Result<()> {
        let setting = if self == Self::REAL {
            String::new()
        } else {
            format!("DefaultEnvironment=K3S_STANDIN_TIME_SCALE={}\n", self.0)
        };
        fs::create_dir_all(dir)?;
        let file = dir.join("systemd.conf");
        fs::write(&file, format!("[Manager]\n{setting}"))
            .with_context(|| file.display().to_string())
    }
}

impl FromStr for TimeScale {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let factor: f64 = text.parse().context("not a number")?;
        if !(0.001..=100.0).contains(&factor) {
            bail!("it must lie between 0.001 and 100");
        }
        Ok(Self(factor))
    }
}
