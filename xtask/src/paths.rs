//! Where things lie in the work tree.

use std::path::{Path, PathBuf};

use crate::hash::sha256;

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a package of the workspace lies in a folder of its root")
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// What a lab keeps on this machine: `lab.json`, key pair, served files.
pub(crate) fn lab(project: &str) -> PathBuf {
    target().join("lab").join(project)
}

/// Name of a lab that tests of this work tree use; another work tree on the machine has labs of its own.
pub(crate) fn project(name: &str) -> String {
    let place = sha256(root().as_os_str().as_encoded_bytes());
    format!("coxswain-{name}-{}", &place[..6])
}
