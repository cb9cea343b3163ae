//! `cargo xtask image`: the panel as a container image, out of the release build.

use std::fs;

use anyhow::{Context, Result};

use crate::cmd::cmd;
use crate::{build, lab, paths, setup, web};

/// Builds page and program and puts them into the image `coxswain`.
///
/// # Errors
/// Something does not build, or no engine answers.
pub(crate) fn panel() -> Result<()> {
    setup::install_missing(setup::For::Demo)?;
    setup::engine()?;
    let page = web::build(web::Mode::Release)?;
    let program = build::release("coxswain")?;
    // A small folder of its own: the whole work tree would be sent to the engine otherwise.
    let staging = paths::target().join("image");
    if staging.exists() {
        fs::remove_dir_all(&staging)?;
    }
    fs::create_dir_all(&staging)?;
    fs::copy(&program, staging.join("coxswain")).with_context(|| program.display().to_string())?;
    fs::copy(
        paths::root().join("backend/Dockerfile"),
        staging.join("Dockerfile"),
    )
    .context("backend/Dockerfile")?;
    cmd("cp")
        .arg("--recursive")
        .arg(page)
        .arg(staging.join("dist"))
        .quiet()?;
    let base = lab::image::ensure_base()?;
    cmd("docker")
        .words("build --quiet --tag coxswain --build-arg")
        .arg(format!("BASE={base}"))
        .arg(&staging)
        .env("DOCKER_BUILDKIT", "0")
        .timeout(900)
        .quiet()?;
    println!("image coxswain is built: `docker compose up --detach panel`");
    Ok(())
}
