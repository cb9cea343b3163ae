//! The whole story in a browser, on a lab of its own that is taken down whatever happens.

use anyhow::Result;

use super::tally::Tally;
use super::{Scope, cargo, panel};
use crate::lab::{Lab, TimeScale};
use crate::paths;

/// Beside any lab that somebody works with.
const PROJECT: &str = "test";
const NET: &str = "172.30.78";

/// Starts the lab, runs the tests with a browser, removes the lab.
///
/// # Errors
/// The lab does not come up, a test fails, or the lab does not go away.
pub(super) fn run(scope: &Scope, tally: &mut Tally) -> Result<()> {
    let panel = panel()?;
    let project = paths::project(PROJECT);
    let lab = Lab::on_free_net(&project, NET)?;
    // An earlier run may have been killed.
    lab.down()?;
    let result = lab.up(None, TimeScale::REAL).and_then(|_| {
        cargo("test --package coxswain-e2e --lib --test browser --test story --no-fail-fast")
            .args(scope.test_options())
            .env("COXSWAIN_LAB", paths::lab(&project).join("lab.json"))
            .env("COXSWAIN_BIN", &panel)
            .env("COXSWAIN_WEB", paths::root().join("dist"))
            .run_and_see(|line| tally.see(line))
    });
    if result.is_err() {
        lab.keep_journals(&paths::target().join("e2e"))?;
    }
    result.and(lab.down())
}
