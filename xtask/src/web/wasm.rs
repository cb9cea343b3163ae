//! The program of the page: compiled to wasm, then given its JavaScript glue by wasm-bindgen as a library
//! (the same version as the frontend's, so that nothing has to be installed and nothing can differ).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use super::Mode;
use super::dist::{self, Asset};
use crate::cmd::cmd;
use crate::paths;

/// What wasm-bindgen made of the program.
pub(super) struct Glue {
    /// The module that the page's boot script imports
    pub(super) js: Vec<u8>,
    /// The program itself
    pub(super) wasm: Vec<u8>,
    /// Modules that the glue imports by relative paths, which must keep their names
    pub(super) snippets: Vec<Asset>,
}

/// Compiles the frontend; returns the compiler's wasm file.
///
/// # Errors
/// It does not compile.
pub(super) fn compile(mode: Mode) -> Result<PathBuf> {
    let (profile, folder) = match mode {
        Mode::Release => ("wasm", "wasm"),
        Mode::Dev => ("dev", "debug"),
    };
    let mut cargo = cmd("cargo")
        .words("build --package coxswain-ui --target wasm32-unknown-unknown --profile")
        .arg(profile)
        .dir(paths::root())
        .timeout(1800);
    if mode == Mode::Release {
        // Panic messages carry source paths. Set for this target alone, so that native builds stay as they are.
        cargo = cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", remap()?);
    }
    cargo.run()?;
    Ok(paths::target()
        .join("wasm32-unknown-unknown")
        .join(folder)
        .join("coxswain-ui.wasm"))
}

/// Makes glue and final wasm out of the compiler's wasm file.
///
/// # Errors
/// wasm-bindgen cannot read it: most often another version than the frontend's.
pub(super) fn bind(mode: Mode, program: &Path) -> Result<Glue> {
    let out = tempfile::tempdir()?;
    Bindgen::new()
        .input_path(program)
        .out_name("app")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        .debug(mode == Mode::Dev)
        .keep_debug(mode == Mode::Dev)
        .remove_name_section(mode == Mode::Release)
        .remove_producers_section(mode == Mode::Release)
        .generate(out.path())
        .context("wasm-bindgen")?;
    let mut snippets = Vec::new();
    let folder = out.path().join("snippets");
    if folder.exists() {
        for file in dist::list(&folder)? {
            let name = file
                .strip_prefix(out.path())?
                .to_str()
                .context("a file name that is not UTF-8")?;
            snippets.push(Asset {
                name: name.to_owned(),
                content: std::fs::read(&file)?,
            });
        }
    }
    Ok(Glue {
        js: std::fs::read(out.path().join("app.js"))?,
        wasm: std::fs::read(out.path().join("app_bg.wasm"))?,
        snippets,
    })
}

fn remap() -> Result<String> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    Ok(format!(
        "--cfg erase_components --remap-path-prefix={}=/cargo --remap-path-prefix={}=/coxswain",
        home.display(),
        paths::root().display()
    ))
}
