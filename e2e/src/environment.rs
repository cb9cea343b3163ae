//! What `cargo xtask test` gives: the lab, the panel's program, the page, and where pictures go.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::lab::Lab;

/// The panel as it was built.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The panel's program.
    pub panel: PathBuf,
    /// The folder with the built page.
    pub web: PathBuf,
}

impl Programs {
    /// Reads `COXSWAIN_BIN` and, if it is set, `COXSWAIN_WEB` (else `dist`). There may be no page.
    ///
    /// # Errors
    /// There is no such program.
    pub fn read() -> Result<Self> {
        let web = match std::env::var_os("COXSWAIN_WEB") {
            Some(folder) => root().join(folder),
            None => root().join("dist"),
        };
        Ok(Self {
            panel: given("COXSWAIN_BIN")?,
            web,
        })
    }
}

/// Everything that a test in a browser needs to begin.
#[derive(Debug)]
pub struct Environment {
    /// The lab that is up.
    pub lab: Lab,
    /// The panel.
    pub programs: Programs,
    /// Where screenshots and logs of failures go.
    pub shots: PathBuf,
}

impl Environment {
    /// Reads `COXSWAIN_LAB` and what [`Programs::read`] reads.
    ///
    /// # Errors
    /// One is not set or names nothing.
    pub fn read() -> Result<Self> {
        let lab = Lab::read(&given("COXSWAIN_LAB")?)?;
        let programs = Programs::read()?;
        if !programs.web.join("index.html").is_file() {
            bail!(
                "no page in {}: run these tests by cargo xtask test",
                programs.web.display()
            );
        }
        let shots = shots()?;
        // Pictures of an earlier run would be taken for this one's.
        for entry in std::fs::read_dir(&shots)? {
            let file = entry?.path();
            if file.extension().is_some_and(|end| end == "png") {
                std::fs::remove_file(&file).with_context(|| file.display().to_string())?;
            }
        }
        Ok(Self {
            lab,
            programs,
            shots,
        })
    }
}

/// The folder for pictures, made if it is not there.
///
/// # Errors
/// It cannot be made.
pub fn shots() -> Result<PathBuf> {
    let folder = target().join("e2e");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

pub(crate) fn given(name: &str) -> Result<PathBuf> {
    let Some(value) = std::env::var_os(name) else {
        bail!("{name} is not set: these tests need the lab, run them by cargo xtask test");
    };
    // Tests run in their package's folder; a relative path is meant from the root.
    let path = root().join(value);
    if !path.exists() {
        bail!("{name}: there is no {}", path.display());
    }
    Ok(path)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a package of the workspace lies in a folder of its root")
}

pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |dir| root().join(dir))
}
