//! The lab's images, rebuilt only when their folder or their base changed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::base;
use crate::cmd::cmd;
use crate::hash::hex;
use crate::{paths, setup};

/// The label that holds the hash over an image's folder and base.
const LABEL: &str = "coxswain.lab.inputs";

/// Folder under `e2e/lab`, and the image that it is built on.
const IMAGES: [(&str, &str); 5] = [
    ("host", "base"),
    ("node", "host"),
    ("lb", "host"),
    ("files", "base"),
    ("power", "base"),
];

/// Makes what is missing or outdated.
///
/// # Errors
/// No engine, or a build that fails.
pub(crate) fn build_all() -> Result<()> {
    setup::engine()?;
    base::ensure()?;
    for (name, base) in IMAGES {
        build(name, base)?;
    }
    Ok(())
}

/// Makes the Debian that all images stand on, and returns its name.
///
/// # Errors
/// It can be had neither from a registry nor by debootstrap.
pub(crate) fn ensure_base() -> Result<String> {
    base::ensure()?;
    Ok(tag("base"))
}

/// The full name of one of the lab's images.
pub(super) fn tag(name: &str) -> String {
    format!("coxswain-lab-{name}")
}

fn build(name: &str, base: &str) -> Result<()> {
    let folder = paths::root().join("e2e/lab").join(name);
    let inputs = inputs(&folder, &tag(base))?;
    if label(&tag(name)).is_some_and(|found| found == inputs) {
        return Ok(());
    }
    println!("building image {}", tag(name));
    cmd("docker")
        .words("build --quiet --tag")
        .arg(tag(name))
        .arg("--label")
        .arg(format!("{LABEL}={inputs}"))
        .arg("--build-arg")
        .arg(format!("BASE={}", tag(base)))
        .arg(&folder)
        // Debian's engine brings the classic builder only.
        .env("DOCKER_BUILDKIT", "0")
        .timeout(900)
        .quiet()
}

/// The hash over an image's folder and base, if the image is there.
pub(super) fn inputs_of(name: &str) -> Option<String> {
    label(&tag(name))
}

fn label(tag: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
    cmd("docker")
        .args(["image", "inspect", "--format", &format, tag])
        .read()
        .ok()
}

fn inputs(folder: &Path, base: &str) -> Result<String> {
    let mut sum = Sha256::new();
    sum.update(
        cmd("docker")
            .args(["image", "inspect", "--format", "{{.Id}}", base])
            .read()?,
    );
    let mut files = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<std::io::Result<Vec<_>>>()
        })
        .with_context(|| folder.display().to_string())?;
    files.sort();
    for file in files {
        let content = fs::read(&file).with_context(|| file.display().to_string())?;
        sum.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        sum.update(content.len().to_le_bytes());
        sum.update(content);
    }
    Ok(hex(&sum.finalize()))
}
