//! `cargo xtask test`: every check in order, each with its time; all failures named at the end.

mod browser;
mod day2;
mod deny;
mod tally;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cmd::{Cmd, cmd};
use crate::{interrupt, paths, setup, web};
use tally::Tally;

/// How much is run.
pub(crate) struct Scope {
    /// Without dependency checks, page and lab
    pub(crate) fast: bool,
    /// With the tests that are marked as ignored, and failing for what is known against dependencies
    pub(crate) full: bool,
    /// Without what needs a lab
    pub(crate) skip_lab: bool,
    /// Only what has this word in its name
    pub(crate) only: Option<String>,
    /// Only tests that have one of these in their path; all, if there is none
    pub(crate) matching: Vec<String>,
}

/// When a check is left out.
#[derive(Clone, Copy)]
enum Part {
    Always,
    NotFast,
    Lab,
}

/// One check.
struct Check {
    name: &'static str,
    part: Part,
    run: fn(&Scope, &mut Tally) -> Result<()>,
}

/// In the order in which they are run; cargo's own result lines come last.
const CHECKS: [Check; 8] = [
    Check {
        name: "formatting",
        part: Part::Always,
        run: |_, _| cargo("fmt --all --check").run(),
    },
    Check {
        name: "dependencies",
        part: Part::NotFast,
        run: |scope, _| deny::check(scope.full),
    },
    Check {
        name: "lints",
        part: Part::Always,
        run: |_, _| cargo("clippy --workspace --all-targets -- --deny warnings").run(),
    },
    Check {
        name: "lints of the page",
        part: Part::NotFast,
        run: |_, _| {
            cargo("clippy --package coxswain-ui --target wasm32-unknown-unknown -- --deny warnings")
                .run()
        },
    },
    Check {
        name: "page",
        part: Part::NotFast,
        run: |_, _| web::build(web::Mode::Release).map(drop),
    },
    Check {
        name: "tests",
        part: Part::Always,
        run: tests,
    },
    Check {
        name: "browser on the lab",
        part: Part::Lab,
        run: |scope, tally| on_the_engine(|| browser::run(scope, tally)),
    },
    Check {
        name: "day-2 on the lab",
        part: Part::Lab,
        run: |scope, tally| on_the_engine(|| day2::run(scope, tally)),
    },
];

/// Sets up and runs everything in scope.
///
/// # Errors
/// The set-up failed, or at least one check, named in the error.
pub(crate) fn run(scope: &Scope) -> Result<()> {
    let mut checks = Checks::default();
    checks.set_up()?;
    for check in CHECKS.iter().filter(|check| scope.wants(check)) {
        checks.run(check, scope);
    }
    checks.report()
}

impl Scope {
    fn wants(&self, check: &Check) -> bool {
        let part = match check.part {
            Part::Always => true,
            Part::NotFast => !self.fast,
            Part::Lab => !self.fast && !self.skip_lab,
        };
        part && self
            .only
            .as_ref()
            .is_none_or(|word| check.name.contains(word.as_str()))
    }

    /// What cargo's test programs are told.
    fn test_options(&self) -> Vec<&str> {
        let mut options = vec!["--"];
        options.extend(self.matching.iter().map(String::as_str));
        options.extend(self.full.then_some("--include-ignored"));
        options
    }
}

/// Those of the stand-in wait for etcd most of their time: more of them than cores run side by side.
fn tests(scope: &Scope, tally: &mut Tally) -> Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    cargo("test --workspace --exclude coxswain-e2e --no-fail-fast")
        .env("RUST_TEST_THREADS", (4 * cores).to_string())
        .args(scope.test_options())
        .run_and_see(|line| tally.see(line))
}

/// With the container engine, which is ended again if it did not run before.
fn on_the_engine(check: impl FnOnce() -> Result<()>) -> Result<()> {
    let engine = setup::engine()?;
    let result = check();
    result.and(engine.end())
}

/// The panel's program as the check `tests` builds it, with the same features, so that nothing is built twice.
fn panel() -> Result<PathBuf> {
    cargo("test --workspace --exclude coxswain-e2e --test it --no-run").run()?;
    Ok(paths::target().join("debug/coxswain"))
}

/// Cargo in the work tree, with an hour's patience.
fn cargo(arguments: &str) -> Cmd {
    cmd("cargo")
        .words(arguments)
        .dir(paths::root())
        .timeout(3600)
}

/// What was run, how long it took and what failed.
#[derive(Default)]
struct Checks {
    done: Vec<(&'static str, f64, Result<()>)>,
    tally: Tally,
}

impl Checks {
    /// Installs what is missing; without it nothing is checked.
    fn set_up(&mut self) -> Result<()> {
        let start = Instant::now();
        setup::install_missing(setup::For::Tests)?;
        self.done
            .push(("set-up", start.elapsed().as_secs_f64(), Ok(())));
        Ok(())
    }

    /// Runs one check with a headline; its failure does not stop the others.
    fn run(&mut self, check: &Check, scope: &Scope) {
        if interrupt::pending() {
            return;
        }
        let name = check.name;
        println!("\n=== {name}");
        let start = Instant::now();
        let result = (check.run)(scope, &mut self.tally);
        let seconds = start.elapsed().as_secs_f64();
        match &result {
            Ok(()) => println!("=== {name}: passed in {seconds:.1} s"),
            Err(error) => println!("=== {name}: FAILED after {seconds:.1} s\n{error:#}"),
        }
        self.done.push((name, seconds, result));
    }

    fn report(&self) -> Result<()> {
        println!("\n=== summary");
        for (name, seconds, result) in &self.done {
            println!(
                "{:20} {seconds:7.1} s  {}",
                name,
                if result.is_ok() { "passed" } else { "FAILED" }
            );
        }
        let whole: f64 = self.done.iter().map(|(_, seconds, _)| seconds).sum();
        println!("{:20} {whole:7.1} s", "all of it");
        println!("{}", self.tally);
        if interrupt::pending() {
            bail!("interrupted");
        }
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|(_, _, result)| result.is_err())
            .map(|(name, ..)| *name)
            .collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}
