//! What the lab's file server offers: `/install.sh`, `/k3s` and `/k3s.sha256`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::hash::sha256;
use crate::{build, paths};

/// Fills the served folder: with a real k3s if one is given, else with the stand-in, built for this machine
/// (the hosts run the same Debian release). The installer is told where it comes from.
///
/// # Errors
/// The stand-in does not build, or a file cannot be read or written.
pub(super) fn prepare(folder: &Path, base_url: &str, k3s: Option<&Path>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let program = match k3s {
        Some(real) => real.to_owned(),
        None => build::release("k3s-standin")?,
    };
    let program = fs::read(&program).with_context(|| program.display().to_string())?;
    let installer = fs::read_to_string(paths::root().join("e2e/k3s-standin/install.sh"))
        .context("e2e/k3s-standin/install.sh")?
        .replace("@BASE_URL@", base_url);
    put(&folder.join("k3s"), &program, 0o755)?;
    put(
        &folder.join("k3s.sha256"),
        format!("{}  k3s\n", sha256(&program)).as_bytes(),
        0o644,
    )?;
    put(&folder.join("install.sh"), installer.as_bytes(), 0o644)
}

fn put(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    fs::write(file, content).with_context(|| file.display().to_string())?;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))?;
    Ok(())
}
