//! Licences, bans and sources of all dependencies; known vulnerabilities where their database can be had. What became
//! known after a revision was made is told, but fails it only when asked for: it is no fault of the revision.

use anyhow::Result;

use crate::cmd::{Cmd, cmd};
use crate::paths;

/// Runs cargo-deny as `deny.toml` says.
///
/// # Errors
/// A dependency that the file does not allow, or, with `full`, one with a known vulnerability.
pub(super) fn check(full: bool) -> Result<()> {
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
            reason
                .lines()
                .rfind(|line| !line.trim().is_empty())
                .unwrap_or("no database")
        );
        return Ok(());
    }
    let known = deny(&["--disable-fetch", "advisories"]).run();
    match known {
        Err(error) if !full => {
            println!("advisories against dependencies, see above: {error:#}");
            Ok(())
        }
        other => other,
    }
}

fn deny(what: &[&str]) -> Cmd {
    cmd("cargo")
        .words("deny --log-level error check --hide-inclusion-graph")
        .args(what)
        .dir(paths::root())
        .timeout(600)
}
