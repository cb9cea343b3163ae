//! `cargo xtask bench`: the panel against its goals and its peers, on a lab of its own that is taken down whatever
//! happens. What is measured and how stands in `e2e/benches`.

mod peers;

use anyhow::Result;

use crate::cmd::{Cmd, cmd};
use crate::lab::{Lab, TimeScale};
use crate::{build, paths, setup, web};

/// Beside any lab that somebody works with.
const PROJECT: &str = "coxswain-bench";
const NET: &str = "172.30.80";
/// Ansible's modules are Python programs.
const ON_NODES: &str = "python3";

/// Installs, builds, measures and writes `BENCHMARKS.md`.
///
/// # Errors
/// Anything on the way; also then the lab is taken down.
pub(crate) fn run() -> Result<()> {
    setup::install_missing(setup::For::Tests)?;
    let engine = setup::engine()?;
    let result = measure();
    result.and(engine.end())
}

fn measure() -> Result<()> {
    let peers = peers::install()?;
    let page = web::build(web::Mode::Release)?;
    let panel = build::release("coxswain")?;
    // Nothing is compiled once the lab is up.
    bench().arg("--no-run").run()?;
    let lab = Lab::on_free_net(PROJECT, NET)?;
    // An earlier run may have been killed.
    lab.down()?;
    let result = lab
        .up(None, TimeScale::REAL)
        .and_then(|_| lab.install_on_nodes(ON_NODES))
        .and_then(|()| {
            bench()
                .env("COXSWAIN_LAB", paths::lab(PROJECT).join("lab.json"))
                .env("COXSWAIN_BIN", &panel)
                .env("COXSWAIN_WEB", &page)
                .env("COXSWAIN_PEERS", &peers)
                .env("COXSWAIN_REPORT", paths::root().join("BENCHMARKS.md"))
                .run()
        });
    if result.is_err() {
        lab.keep_journals(&paths::target().join("e2e"))?;
    }
    result.and(lab.down())
}

fn bench() -> Cmd {
    cmd("cargo")
        .words("bench")
        .words(build::PACKAGES)
        .words("--bench panel")
        .dir(paths::root())
        .timeout(3600)
}
