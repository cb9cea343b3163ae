//! Builds of the workspace's programs.

use std::path::PathBuf;

use anyhow::Result;

use crate::cmd::cmd;
use crate::paths;

/// Builds a package in the release profile; returns its program of the same name.
///
/// # Errors
/// It does not build within an hour.
pub(crate) fn release(package: &str) -> Result<PathBuf> {
    println!("building {package} (release)");
    cmd("cargo")
        .args(["build", "--release", "--package", package])
        .dir(paths::root())
        .timeout(3600)
        .run()?;
    Ok(paths::target().join("release").join(package))
}
