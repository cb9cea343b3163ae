//! Where things lie in the work tree.

use std::path::{Path, PathBuf};

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
