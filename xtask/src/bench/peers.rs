//! The programs that the panel is measured against, in a Python environment below the target folder.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cmd::cmd;
use crate::{paths, setup};

/// Which versions.
const REQUIREMENTS: &str = "e2e/benches/peers/requirements.txt";

/// Makes the environment anew when the list of versions has changed; returns its folder of programs.
///
/// # Errors
/// No Python, or no package index answers.
pub(super) fn install() -> Result<PathBuf> {
    setup::python()?;
    let list = paths::root().join(REQUIREMENTS);
    let wanted = fs::read_to_string(&list).context(REQUIREMENTS)?;
    let folder = paths::target().join("peers");
    let programs = folder.join("bin");
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    println!("installing pyinfra and Ansible into {}", folder.display());
    cmd("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder)
        .quiet()?;
    cmd(programs.join("pip"))
        .words("install --quiet --disable-pip-version-check --requirement")
        .arg(&list)
        .timeout(900)
        .quiet()?;
    fs::write(stamp, wanted)?;
    Ok(programs)
}
