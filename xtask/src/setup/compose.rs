//! The engine's compose plugin, version 2. Debian 12 has 1.x only: there it is taken out of Debian 13's package.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{apt, need_root, os_release};
use crate::cmd::cmd;

/// The first release whose package `docker-compose` is the plugin. Its program is static enough to run on Debian 12.
const SUITE: &str = "trixie";
/// Where the engine's client looks for plugins that an administrator put there.
const PLUGINS: &str = "/usr/local/lib/docker/cli-plugins";

/// Whether `docker compose` is there, in version 2 or later.
pub(super) fn works() -> bool {
    cmd("docker")
        .args(["compose", "version", "--short"])
        .read()
        .is_ok_and(|version| !version.starts_with("1."))
}

/// Installs the package, or unpacks the plugin out of a later release's.
///
/// # Errors
/// Not root, no Debian source, or the package cannot be had.
pub(super) fn install() -> Result<()> {
    need_root("installing the compose plugin")?;
    if apt::candidate("docker-compose")?.is_some_and(|version| !version.starts_with("1.")) {
        return apt::install(&["docker-compose"]);
    }
    let mirrors = apt::mirrors(&os_release("VERSION_CODENAME")?)?;
    let work = tempfile::tempdir()?;
    // apt's own unprivileged user must get through to its lists.
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
    let package = download(work.path(), &mirrors.main)?;
    let unpacked = work.path().join("unpacked");
    cmd("dpkg-deb")
        .arg("--extract")
        .arg(&package)
        .arg(&unpacked)
        .quiet()?;
    let plugin = unpacked.join("usr/libexec/docker/cli-plugins/docker-compose");
    fs::create_dir_all(PLUGINS)?;
    let place = Path::new(PLUGINS).join("docker-compose");
    fs::copy(&plugin, &place)
        .with_context(|| format!("{} to {}", plugin.display(), place.display()))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Downloads the later release's package with lists and cache of its own, so that the machine's apt never sees that release.
fn download(work: &Path, mirror: &str) -> Result<std::path::PathBuf> {
    let source = work.join("sources.list");
    fs::write(&source, format!("deb {mirror} {SUITE} main\n"))?;
    for folder in ["lists/partial", "cache/archives/partial", "parts"] {
        fs::create_dir_all(work.join(folder))?;
    }
    let apt = || {
        apt::apt_get()
            .arg("--option")
            .arg(format!("Dir::Etc::SourceList={}", source.display()))
            .arg("--option")
            .arg(format!(
                "Dir::Etc::SourceParts={}",
                work.join("parts").display()
            ))
            .arg("--option")
            .arg(format!(
                "Dir::State::Lists={}",
                work.join("lists").display()
            ))
            .arg("--option")
            .arg(format!("Dir::Cache={}", work.join("cache").display()))
            .dir(work)
    };
    apt().arg("update").timeout(300).quiet()?;
    apt()
        .args(["download", "docker-compose"])
        .timeout(300)
        .quiet()?;
    for entry in fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    bail!("apt-get download left no package")
}
