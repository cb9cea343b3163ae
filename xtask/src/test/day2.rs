//! The procedures of day 2, on labs of their own that are taken down whatever happens. Their saved state stays for the
//! next time.

use anyhow::Result;

use super::tally::Tally;
use super::{Scope, cargo, panel};
use crate::lab::Lab;
use crate::paths;

/// Side by side, a test in each: they wait for timers most of the time. Beside any lab that somebody works with, the
/// browser's, and those of other work trees.
const LABS: [(&str, &str); 2] = [("day2-a", "172.30.90"), ("day2-b", "172.30.110")];

/// Runs the tests; they start and set back the machines by `cargo xtask lab`.
///
/// # Errors
/// The panel or the lab's images do not build, a test fails, or a lab does not go away.
pub(super) fn run(scope: &Scope, tally: &mut Tally) -> Result<()> {
    let panel = panel()?;
    let mut labs = Vec::new();
    for (project, net) in LABS {
        let lab = Lab::on_free_net(&paths::project(project), net)?;
        // An earlier run may have been killed.
        lab.down()?;
        lab.prepare(None)?;
        lab.drop_if_stale()?;
        labs.push(lab);
    }
    let places: Vec<String> = labs.iter().map(Lab::place).collect();
    let result = cargo("test --package coxswain-e2e --test day2 --no-fail-fast")
        .args(scope.test_options())
        .env("COXSWAIN_LABS", places.join(" "))
        .env("COXSWAIN_XTASK", std::env::current_exe()?)
        .env("COXSWAIN_BIN", panel)
        .env("COXSWAIN_WEB", paths::root().join("dist"))
        .run_and_see(|line| tally.see(line));
    labs.iter()
        .fold(result, |result, lab| result.and(lab.down()))
}
