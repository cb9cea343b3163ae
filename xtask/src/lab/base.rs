//! The Debian that all images stand on: of this machine's own release, so that programs built here run there.

use std::fs;

use anyhow::{Context, Result};

use super::image::tag;
use crate::cmd::cmd;
use crate::setup::{apt, os_release};

/// Makes `coxswain-lab-base` once: pulled where a registry answers, else by debootstrap.
///
/// # Errors
/// Neither way works.
pub(super) fn ensure() -> Result<()> {
    let codename = os_release("VERSION_CODENAME")?;
    let name = format!("{}:{codename}", tag("base"));
    if !cmd("docker").args(["image", "inspect", &name]).succeeds() {
        let public = format!("debian:{codename}-slim");
        println!("looking for {public}");
        if cmd("docker")
            .args(["pull", "--quiet", &public])
            .timeout(300)
            .succeeds()
        {
            cmd("docker").args(["tag", &public, &name]).quiet()?;
        } else {
            bootstrap(&codename, &name)?;
        }
    }
    cmd("docker").args(["tag", &name, &tag("base")]).quiet()
}

/// A minimal Debian from the mirror that this machine itself installs from.
fn bootstrap(codename: &str, name: &str) -> Result<()> {
    println!("no registry answers: making Debian {codename} by debootstrap (about a minute)");
    let mirrors = apt::mirrors(codename)?;
    let work = tempfile::Builder::new()
        .prefix("coxswain-base-")
        .tempdir_in("/var/tmp")?;
    let root = work.path().join("root");
    cmd("debootstrap")
        .args(["--variant=minbase", "--include=ca-certificates", codename])
        .arg(&root)
        .arg(&mirrors.main)
        .timeout(900)
        .quiet()?;
    fs::write(root.join("etc/apt/sources.list"), mirrors.lines())
        .context("apt sources of the new image")?;
    // A proxy, or a mirror with stale dates, needs the same settings there as here.
    fs::write(
        root.join("etc/apt/apt.conf.d/90host"),
        apt::transport_settings()?,
    )?;
    let archive = work.path().join("root.tar");
    cmd("tar")
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&root)
        .words("--exclude=./var/cache/apt/archives/*.deb --exclude=./var/lib/apt/lists/*_* --exclude=./dev/* .")
        .timeout(300)
        .quiet()?;
    cmd("docker")
        .args(["import", "--change", "CMD [\"/bin/bash\"]"])
        .arg(&archive)
        .arg(name)
        .timeout(300)
        .quiet()
}
