//! Debian packages: installed without starting their services, from the mirror that the machine is configured for.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::need_root;
use crate::cmd::{Cmd, cmd};

/// Asks a package's scripts not to start anything.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Packages that are here for their program, with their services: masked before they are installed, these never
/// run.
const MASKED: [(&str, &str); 2] = [
    ("etcd-server", "etcd.service"),
    ("openssh-server", "ssh.service"),
];

/// Installs packages; one that ends in `?` only where this release has it.
///
/// # Errors
/// Not root, or apt fails.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    need_root(&format!("installing {}", packages.join(" ")))?;
    update()?;
    let mut wanted = Vec::new();
    for package in packages {
        match package.strip_suffix('?') {
            Some(optional) if candidate(optional)?.is_none() => {}
            Some(optional) => wanted.push(optional),
            None => wanted.push(package),
        }
    }
    println!("set-up: apt-get install {}", wanted.join(" "));
    for (_, unit) in MASKED
        .iter()
        .filter(|(package, _)| wanted.contains(package))
    {
        mask(unit)?;
    }
    let _policy = Policy::set()?;
    apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(wanted)
        .timeout(1800)
        .quiet()
}

/// Keeps a service from ever being started, and says how to have it; unless somebody has made a unit of that name
/// already.
fn mask(unit: &str) -> Result<()> {
    let folder = Path::new("/etc/systemd/system");
    let file = folder.join(unit);
    if fs::symlink_metadata(&file).is_err() {
        fs::create_dir_all(folder)?;
        symlink("/dev/null", file)?;
        println!(
            "set-up: {unit} is masked, only the package's program is wanted (for the service: systemctl unmask {unit})"
        );
    }
    Ok(())
}

/// The version that apt would install, if it knows the package.
///
/// # Errors
/// `apt-cache` fails.
pub(super) fn candidate(package: &str) -> Result<Option<String>> {
    let policy = cmd("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .read()?;
    Ok(policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)")
        .map(str::to_owned))
}

/// Brings the package lists up to date. One source out of several that does not answer is no failure.
fn update() -> Result<()> {
    println!("set-up: apt-get update");
    if let Err(error) = apt_get().arg("update").timeout(300).quiet() {
        println!("set-up: going on with the package lists there are ({error:#})");
    }
    Ok(())
}

/// `apt-get`, quiet and without questions.
pub(super) fn apt_get() -> Cmd {
    cmd("apt-get")
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=120"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("NEEDRESTART_SUSPEND", "1")
}

/// Where this machine gets Debian itself from.
pub(crate) struct Mirrors {
    /// The archive of the release
    pub(crate) main: String,
    /// Address and suite of all sources, also updates and security
    all: Vec<(String, String)>,
}

impl Mirrors {
    /// As lines for a `sources.list`.
    pub(crate) fn lines(&self) -> String {
        self.all
            .iter()
            .map(|(address, suite)| format!("deb {address} {suite} main\n"))
            .collect()
    }
}

/// Reads Debian's own sources out of the machine's apt configuration; others (a vendor's repository) are left out.
///
/// # Errors
/// There is no source for the release.
pub(crate) fn mirrors(codename: &str) -> Result<Mirrors> {
    let mut targets = index_targets()?;
    if targets.is_empty() {
        // apt tells its sources only once their lists are there.
        need_root("the first `apt-get update`")?;
        update()?;
        targets = index_targets()?;
    }
    let suites = [
        codename.to_owned(),
        format!("{codename}-updates"),
        format!("{codename}-security"),
    ];
    let mut all: Vec<(String, String)> = Vec::new();
    for line in targets.lines() {
        let [address, suite, component, origin] = line.split('|').collect::<Vec<_>>()[..] else {
            bail!("apt-get indextargets: unexpected line `{line}`");
        };
        let source = (address.to_owned(), suite.to_owned());
        if component == "main"
            && origin == "Debian"
            && suites.contains(&source.1)
            && !all.contains(&source)
        {
            all.push(source);
        }
    }
    let main = all
        .iter()
        .find(|(_, suite)| suite == codename)
        .map(|(address, _)| address.clone())
        .with_context(|| format!("apt has no source for Debian {codename}"))?;
    Ok(Mirrors { main, all })
}

fn index_targets() -> Result<String> {
    cmd("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)",
            "Created-By: Packages",
        ])
        .read()
}

/// This machine's settings for reaching its mirror (proxies, stale dates), as apt configuration.
///
/// # Errors
/// `apt-config` fails.
pub(crate) fn transport_settings() -> Result<String> {
    let all = cmd("apt-config")
        .args(["dump", "--no-empty", "--format", "%F \"%v\";%n"])
        .read()?;
    let wanted = ["Acquire::http::", "Acquire::https::", "Acquire::Check-"];
    Ok(all
        .lines()
        .filter(|line| wanted.iter().any(|prefix| line.starts_with(prefix)))
        .map(|line| format!("{line}\n"))
        .collect())
}

/// Keeps packages from starting services for as long as it lives; a policy that is there already stays.
struct Policy {
    ours: bool,
}

impl Policy {
    fn set() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("set-up: {POLICY} stays behind: {error}");
        }
    }
}
