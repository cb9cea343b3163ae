//! The procedures of day 2, on a lab of their own that is taken down whatever happens. Its saved state stays for the
//! next time.

use anyhow::Result;

use super::tally::Tally;
use super::{Scope, cargo};
use crate::lab::Lab;
use crate::paths;

/// Beside any lab that somebody works with, and the browser's.
const PROJECT: &str = "coxswain-day2";
const NET: &str = "172.30.90";

/// Runs the tests; they start and set back the machines by `cargo xtask lab`.
///
/// # Errors
/// The panel or the lab's images do not build, a test fails, or the lab does not go away.
pub(super) fn run(scope: &Scope, tally: &mut Tally) -> Result<()> {
    cargo("build --package coxswain").run()?;
    let lab = Lab::on_free_net(PROJECT, NET)?;
    // An earlier run may have been killed.
    lab.down()?;
    lab.prepare(None)?;
    lab.drop_if_stale()?;
    let result = cargo("test --package coxswain-e2e --test day2 --no-fail-fast")
        .words(scope.test_options())
        .env("COXSWAIN_LABS", lab.place())
        .env("COXSWAIN_XTASK", std::env::current_exe()?)
        .env("COXSWAIN_BIN", paths::target().join("debug/coxswain"))
        .env("COXSWAIN_WEB", paths::root().join("dist"))
        .run_and_see(|line| tally.see(line));
    result.and(lab.down())
}
