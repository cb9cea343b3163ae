//! The program of the page: compiled to wasm, split into what the first load needs and what is fetched later, then
//! given its JavaScript glue by wasm-bindgen. Both are libraries (the glue's of the same version as the frontend's), so
//! that nothing has to be installed and nothing can differ.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use wasm_bindgen_cli_support::Bindgen;
use wasm_split_cli_support as split;

use super::Mode;
use super::dist::{self, Asset};
use super::names;
use crate::cmd::cmd;
use crate::paths;

/// The module that the page's boot script imports.
pub(super) const GLUE: &str = "app.js";
/// The part of the program that is fetched first.
pub(super) const FIRST: &str = "app_bg.wasm";
/// The module that fetches the other parts.
pub(super) const LOADER: &str = "parts.js";

/// Compiles the frontend; returns the compiler's wasm file.
///
/// # Errors
/// It does not compile.
pub(super) fn compile(mode: Mode) -> Result<PathBuf> {
    let (profile, folder) = match mode {
        Mode::Release => ("wasm", "wasm"),
        Mode::Dev => ("dev", "debug"),
    };
    // Whoever splits the program must find every reference in it.
    let mut flags = "-C link-arg=--emit-relocs".to_owned();
    if mode == Mode::Release {
        // Panic messages carry source paths.
        flags = format!("{flags} {}", remap()?);
    }
    cmd("cargo")
        .words("build --package coxswain-ui --target wasm32-unknown-unknown --profile")
        .arg(profile)
        .dir(paths::root())
        .timeout(1800)
        // Set for this target alone, so that native builds stay as they are.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags)
        .run()?;
    Ok(paths::target()
        .join("wasm32-unknown-unknown")
        .join(folder)
        .join("coxswain-ui.wasm"))
}

/// Splits the compiler's wasm file and makes the glue. The files refer to each other by relative paths, so they must
/// keep their names and stay in one folder.
///
/// # Errors
/// The file cannot be split, or wasm-bindgen cannot read it: most often another version than the frontend's.
pub(super) fn bind(mode: Mode, program: &Path) -> Result<Vec<Asset>> {
    let folder = tempfile::tempdir()?;
    let whole = fs::read(program).with_context(|| program.display().to_string())?;
    let out = folder.path().join("out");
    let main = folder.path().join("main.wasm");
    let (glue, loader) = (format!("./{GLUE}"), format!("./{LOADER}"));
    let mut options = split::Options::new(&whole);
    options.output_dir = &out;
    options.main_out_path = &main;
    options.main_module = &glue;
    options.link_name = &loader;
    let parts = split::transform(options)
        .map_err(|error| anyhow!("{error:#}"))
        .context("splitting the program")?;
    if mode == Mode::Release {
        for part in parts.split_modules {
            fs::write(&part, names::strip(&fs::read(&part)?)?)?;
        }
    }
    Bindgen::new()
        .input_path(&main)
        .out_name("app")
        .web(true)?
        .typescript(false)
        .omit_default_module_path(true)
        // The other parts link against the first one by what it exports.
        .keep_lld_exports(true)
        .debug(mode == Mode::Dev)
        .keep_debug(mode == Mode::Dev)
        .remove_name_section(mode == Mode::Release)
        .remove_producers_section(mode == Mode::Release)
        .generate(&out)
        .context("wasm-bindgen")?;
    dist::read_folder(&out)
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
