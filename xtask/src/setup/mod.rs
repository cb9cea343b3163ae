//! `cargo xtask setup`: one table of what this repository needs of a Debian machine, installed where it is missing.

pub(crate) mod apt;
mod compose;
mod daemon;
mod rust;

use std::fs;

use anyhow::{Context, Result, bail};

pub(crate) use daemon::engine;

use crate::cmd::{cmd, on_path};

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Building the panel, starting it and a lab
    Demo,
    /// All of it
    Tests,
}

/// One thing that has to be there.
struct Need {
    name: &'static str,
    /// The least that needs it
    of: For,
    /// Whether it is there; quick, and changes nothing
    check: fn() -> bool,
    install: Install,
}

/// How it gets there.
enum Install {
    /// Packages of this Debian release; all that are missing go into one run of apt
    Apt(&'static [&'static str]),
    /// Something of its own, after the packages
    Own(fn() -> Result<()>),
}

const NEEDS: [Need; 15] = [
    Need {
        name: "C compiler",
        of: For::Demo,
        check: || on_path("cc"),
        install: Install::Apt(&["gcc", "libc6-dev"]),
    },
    Need {
        name: "SSH client",
        of: For::Demo,
        check: || on_path("ssh") && on_path("ssh-agent"),
        install: Install::Apt(&["openssh-client"]),
    },
    // The panel's tests of SSH run a server of their own.
    Need {
        name: "SSH server's program",
        of: For::Tests,
        check: || fs::metadata("/usr/sbin/sshd").is_ok(),
        install: Install::Apt(&["openssh-server"]),
    },
    // docker-cli is part of docker.io up to Debian 12 and a package of its own since.
    Need {
        name: "container engine",
        of: For::Demo,
        check: || on_path("dockerd") && on_path("docker"),
        install: Install::Apt(&["docker.io", "docker-cli?"]),
    },
    Need {
        name: "AppArmor's parser",
        of: For::Demo,
        check: || !apparmor() || on_path("apparmor_parser"),
        install: Install::Apt(&["apparmor"]),
    },
    Need {
        name: "debootstrap",
        of: For::Demo,
        check: || on_path("debootstrap"),
        install: Install::Apt(&["debootstrap"]),
    },
    Need {
        name: "Chromium",
        of: For::Tests,
        check: || on_path("chromium"),
        install: Install::Apt(&["chromium"]),
    },
    Need {
        name: "ChromeDriver",
        of: For::Tests,
        check: || on_path("chromedriver"),
        install: Install::Apt(&["chromium-driver"]),
    },
    Need {
        name: "a font",
        of: For::Tests,
        check: || {
            fs::read_dir("/usr/share/fonts/truetype").is_ok_and(|mut fonts| fonts.next().is_some())
        },
        install: Install::Apt(&["fonts-liberation"]),
    },
    Need {
        name: "etcd",
        of: For::Tests,
        check: || on_path("etcd") && on_path("etcdctl"),
        install: Install::Apt(&["etcd-server", "etcd-client"]),
    },
    Need {
        name: "compose plugin",
        of: For::Demo,
        check: compose::works,
        install: Install::Own(compose::install),
    },
    Need {
        name: "wasm target",
        of: For::Demo,
        check: rust::has_wasm_target,
        install: Install::Own(rust::add_wasm_target),
    },
    Need {
        name: "clippy",
        of: For::Tests,
        check: || cmd("cargo").args(["clippy", "--version"]).succeeds(),
        install: Install::Own(|| rust::add_component("clippy")),
    },
    Need {
        name: "rustfmt",
        of: For::Tests,
        check: || cmd("cargo").args(["fmt", "--version"]).succeeds(),
        install: Install::Own(|| rust::add_component("rustfmt")),
    },
    Need {
        name: "cargo-deny",
        of: For::Tests,
        check: rust::has_cargo_deny,
        install: Install::Own(rust::install_cargo_deny),
    },
];

/// Installs what is missing and starts the container engine if none answers.
///
/// # Errors
/// Not root where something must be installed, an installation that fails, or something still missing after it.
pub(crate) fn all() -> Result<()> {
    install_missing(For::Tests)?;
    engine()?;
    println!("set-up: everything is there");
    Ok(())
}

/// What is needed for something, without the engine.
///
/// # Errors
/// As [`all`].
pub(crate) fn install_missing(for_what: For) -> Result<()> {
    install(
        NEEDS
            .iter()
            .filter(|need| need.of == For::Demo || for_what == For::Tests),
    )
}

/// Python with what makes environments of its own; the benchmarks alone want it.
///
/// # Errors
/// As [`all`].
pub(crate) fn python() -> Result<()> {
    install(&[Need {
        name: "Python",
        of: For::Tests,
        check: || {
            cmd("python3")
                .args(["-c", "import ensurepip, venv"])
                .succeeds()
        },
        install: Install::Apt(&["python3", "python3-venv"]),
    }])
}

fn install<'n>(needs: impl IntoIterator<Item = &'n Need>) -> Result<()> {
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !(need.check)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!(
        "set-up: missing {}",
        missing
            .iter()
            .map(|need| need.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| match need.install {
            Install::Apt(packages) => packages,
            Install::Own(_) => &[],
        })
        .copied()
        .collect();
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    for need in &missing {
        if let Install::Own(install) = need.install {
            println!("set-up: {}", need.name);
            install().with_context(|| format!("installing {}", need.name))?;
        }
    }
    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !(need.check)())
        .map(|need| need.name)
        .collect();
    if !still.is_empty() {
        bail!("still missing after installation: {}", still.join(", "));
    }
    Ok(())
}

/// A field of `/etc/os-release`.
///
/// # Errors
/// No such file or field.
pub(crate) fn os_release(field: &str) -> Result<String> {
    let text = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix('='))
        .map(|value| value.trim_matches('"').to_owned())
        .with_context(|| format!("/etc/os-release has no {field}"))
}

/// Refuses, with the reason, where only root can go on.
///
/// # Errors
/// Another user than root.
fn need_root(what: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{what} needs root: run `cargo xtask setup` as root once, the rest then works for members of the group docker"
        );
    }
    Ok(())
}

/// With AppArmor in the kernel the engine starts no container without its parser.
fn apparmor() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.trim() == "Y")
}
