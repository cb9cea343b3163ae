//! Builds of the workspace's programs.

use std::path::PathBuf;

use anyhow::Result;

use crate::cmd::cmd;
use crate::paths;

/// What is built for use. Named together each time, so that what they share is compiled once, with the same features.
pub(crate) const PACKAGES: &str = "--package coxswain --package k3s-standin --package coxswain-e2e";

/// Builds a program of [`PACKAGES`] in the release profile.
///
/// # Errors
/// It does not build within an hour.
pub(crate) fn release(program: &str) -> Result<PathBuf> {
    println!("building {program} (release)");
    cmd("cargo")
        .words("build --release")
        .words(PACKAGES)
        .args(["--bin", program])
        .dir(paths::root())
        .timeout(3600)
        .run()?;
    Ok(paths::target().join("release").join(program))
}
