//! What the lab's file server offers: `/install.sh`, releases below `/download`, channels that name one, and the default
//! release as `/k3s` with `/k3s.sha256`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd::cmd;
use crate::hash::sha256;
use crate::{build, paths};

/// Releases the stand-in is offered as; the first one is the recorded one, which is installed if nothing is said.
const RELEASES: [&str; 6] = [
    "v1.22.4+k3s1",
    "v1.22.17+k3s1",
    "v1.23.17+k3s1",
    "v1.24.17+k3s1",
    "v1.28.15+k3s1",
    "v1.33.5+k3s1",
];

/// Fills the served folder: with a real k3s if one is given, else with the stand-in, built for this machine
/// (the hosts run the same Debian release). The installer is told where it comes from.
///
/// # Errors
/// The stand-in does not build, the given k3s does not tell its release, or a file cannot be read or written.
pub(super) fn prepare(folder: &Path, base_url: &str, k3s: Option<&Path>) -> Result<()> {
    fs::create_dir_all(folder)?;
    let default = match k3s {
        Some(real) => {
            let release = release_of(real)?;
            offer(folder, real, &release)?;
            channel(folder, "stable", &release)?;
            real.to_owned()
        }
        None => {
            let standin = build::release("k3s-standin")?;
            offer_all(folder, &standin)?;
            standin
        }
    };
    let program = fs::read(&default).with_context(|| default.display().to_string())?;
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

/// The stand-in as every release, with channels as the real ones are named: `stable`, `latest` and one a minor.
fn offer_all(folder: &Path, standin: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("folder for copies of the stand-in")?;
    for release in RELEASES {
        let copy = work.path().join("k3s");
        cmd(standin)
            .arg("standin-release")
            .arg(release)
            .arg(&copy)
            .quiet()?;
        offer(folder, &copy, release)?;
        let minor = release.rsplit_once('.').map_or(release, |(minor, _)| minor);
        // Later rows of the table win: a channel names the newest of its minor.
        channel(folder, minor, release)?;
        channel(folder, "latest", release)?;
    }
    channel(folder, "stable", RELEASES[0])
}

/// Lays a program down where the installer looks for this release.
fn offer(folder: &Path, program: &Path, release: &str) -> Result<()> {
    let (arch, suffix) = match std::env::consts::ARCH {
        "x86_64" => ("amd64", ""),
        "aarch64" => ("arm64", "-arm64"),
        other => bail!("k3s has no releases for {other}"),
    };
    let program = fs::read(program).with_context(|| program.display().to_string())?;
    let folder = folder.join("download").join(release);
    fs::create_dir_all(&folder)?;
    put(&folder.join(format!("k3s{suffix}")), &program, 0o755)?;
    put(
        &folder.join(format!("sha256sum-{arch}.txt")),
        format!("{}  k3s{suffix}\n", sha256(&program)).as_bytes(),
        0o644,
    )
}

fn channel(folder: &Path, name: &str, release: &str) -> Result<()> {
    let folder = folder.join("channels");
    fs::create_dir_all(&folder)?;
    put(&folder.join(name), format!("{release}\n").as_bytes(), 0o644)
}

/// What `k3s --version` says: `k3s version v1.22.4+k3s1 (00226be6)`.
fn release_of(program: &Path) -> Result<String> {
    let text = cmd(program).arg("--version").read()?;
    let release = text.split_whitespace().nth(2);
    release
        .filter(|word| word.starts_with('v'))
        .map(str::to_owned)
        .with_context(|| format!("{} --version says {text:?}", program.display()))
}

fn put(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    fs::write(file, content).with_context(|| file.display().to_string())?;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))?;
    Ok(())
}
