//! Licences, bans and sources of all dependencies; known vulnerabilities where their database can be had.

use anyhow::Result;

use crate::cmd::{Cmd, cmd};
use crate::paths;

/// Runs cargo-deny as `deny.toml` says.
///
/// # Errors
/// A dependency that the file does not allow, or one with a known vulnerability.
pub(super) fn check() -> Result<()> {
    deny(&["bans", "licenses", "sources"]).run()?;
    // The database comes from the Internet.
    if let Err(error) = cmd("cargo")
        .args(["deny", "fetch", "db"])
        .dir(paths::root())
        .timeout(60)
        .quiet()
    {
        let reason = format!("{error:#}");
        println!(
            "advisories not checked: {}",
            reason.lines().last().unwrap_or("no database")
        );
        return Ok(());
    }
    deny(&["--disable-fetch", "advisories"]).run()
}

fn deny(what: &[&str]) -> Cmd {
    cmd("cargo")
        .words("deny --log-level error check --hide-inclusion-graph")
        .args(what)
        .dir(paths::root())
        .timeout(600)
}
