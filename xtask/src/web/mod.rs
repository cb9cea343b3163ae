//! `cargo xtask web`: the page. `frontend/` in, `dist/` out, rebuilt only when something changed.

mod css;
mod dist;
mod names;
mod wasm;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::{hash, paths};

/// For whom the page is built.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// To be delivered: small, precompressed, without source paths
    Release,
    /// To work on it: quick, with names for the debugger
    Dev,
}

/// Builds the page into `dist/` and returns that folder.
///
/// # Errors
/// The wasm does not build, a style sheet does not parse, or a placeholder of the page names nothing.
pub(crate) fn build(mode: Mode) -> Result<PathBuf> {
    // One build at a time: they share the folder.
    let lock = File::create(paths::target().join("web.lock"))?;
    lock.lock()?;
    let out = paths::root().join("dist");
    let frontend = paths::root().join("frontend");
    let program = wasm::compile(mode)?;
    let stamp = stamp(mode, &program, &frontend)?;
    let stamp_file = paths::target().join("web.stamp");
    if out.join("index.html").exists()
        && fs::read_to_string(&stamp_file).is_ok_and(|last| last == stamp)
    {
        println!("web: {} is up to date", out.display());
        return Ok(out);
    }
    let program = wasm::bind(mode, &program)?;
    let css = css::bundle(&frontend.join("style"), mode)?;
    let files = dist::Files {
        page: fs::read_to_string(frontend.join("index.html")).context("frontend/index.html")?,
        css,
        program,
        assets: dist::read_folder(&frontend.join("assets"))?,
    };
    dist::write(files, &out, mode)?;
    fs::write(stamp_file, stamp)?;
    Ok(out)
}

/// A hash over everything that goes into `dist/`: the compiled program, the frontend's other files, and these tools.
fn stamp(mode: Mode, program: &Path, frontend: &Path) -> Result<String> {
    let mut sum = Sha256::new();
    sum.update([u8::from(mode == Mode::Dev)]);
    let mut add = |file: &Path| -> Result<()> {
        let content = fs::read(file).with_context(|| file.display().to_string())?;
        sum.update(file.as_os_str().as_encoded_bytes());
        sum.update(content.len().to_le_bytes());
        sum.update(content);
        Ok(())
    };
    add(program)?;
    // Ourselves; by this name also when cargo has put a newer build in our place.
    add(Path::new("/proc/self/exe"))?;
    add(&frontend.join("index.html"))?;
    for folder in ["style", "assets"] {
        for file in dist::list(&frontend.join(folder))? {
            add(&file)?;
        }
    }
    Ok(hash::hex(&sum.finalize()))
}
