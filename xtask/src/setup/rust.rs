//! What the Rust toolchain needs on top: the wasm target, clippy, rustfmt, cargo-deny.

use std::path::Path;

use anyhow::{Result, bail};

use crate::cmd::{cmd, on_path};
use crate::paths;

/// The browser's part is compiled for it.
const WASM: &str = "wasm32-unknown-unknown";
/// Builds with the toolchain of `rust-toolchain.toml`.
const CARGO_DENY: &str = "0.20.2";

pub(super) fn has_wasm_target() -> bool {
    cmd("rustc")
        .args(["--print", "sysroot"])
        .dir(paths::root())
        .read()
        .is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(WASM).is_dir())
}

pub(super) fn add_wasm_target() -> Result<()> {
    add("target", WASM)
}

pub(super) fn add_component(name: &str) -> Result<()> {
    add("component", name)
}

fn add(what: &str, name: &str) -> Result<()> {
    if !on_path("rustup") {
        bail!(
            "this cargo was not installed by rustup, which alone can add the {what} {name} and the release that rust-toolchain.toml names: install rustup, and take its cargo"
        );
    }
    cmd("rustup")
        .args([what, "add", name])
        .dir(paths::root())
        .timeout(600)
        .quiet()
}

pub(super) fn has_cargo_deny() -> bool {
    cmd("cargo").args(["deny", "--version"]).succeeds()
}

pub(super) fn install_cargo_deny() -> Result<()> {
    cmd("cargo")
        .words("install --quiet --locked cargo-deny --version")
        .arg(CARGO_DENY)
        .timeout(1800)
        .quiet()
}
