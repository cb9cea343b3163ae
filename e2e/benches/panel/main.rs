//! The panel against its goals and its peers, all in one run. `cargo xtask bench` brings up the lab, builds, and
//! starts this; the result goes to `BENCHMARKS.md`.
//!
//! Alone of this package it uses the panel's own crates: the engine is driven by a step kind of its own
//! ([`durable`]), because no workflow is made of plain read-only commands.
#![allow(clippy::print_stdout, reason = "tells a person how far it is")]

mod api;
mod bootstrap;
mod durable;
mod enrol;
mod machine;
mod memory;
mod page;
mod peers;
mod report;
mod rounds;
mod start;

use std::path::PathBuf;

use anyhow::{Context, Result};
use coxswain_e2e::environment::Environment;
use coxswain_e2e::panel::Panel;

use api::Api;

/// The looks of one round, and the hosts they go to in turn.
const LOOKS: usize = 40;
const SERVERS: [&str; 3] = ["node1", "node2", "node3"];
/// The host with HAProxy.
const BALANCER: &str = "lb";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        tokio::select! {
            measured = measure() => measured,
            // Whoever ends it must not leave the panel and the peers' connections behind.
            interrupted = interrupted() => interrupted,
        }
    })
}

async fn measure() -> Result<()> {
    let environment = Environment::read()?;
    let report = PathBuf::from(given("COXSWAIN_REPORT")?);
    let peers = PathBuf::from(given("COXSWAIN_PEERS")?);

    println!("bench: the first page");
    let mut panel = Panel::start(&environment.programs).await?;
    let api = Api::set_up(&panel).await?;
    let page = page::measure(&environment, &panel, &api).await?;
    let hosts = enrol::hosts(&api, &environment.lab).await?;
    panel.kill().await?;

    println!("bench: cold starts");
    let starts = start::measure(&environment, &panel).await?;

    println!("bench: {LOOKS} steps on {} hosts", SERVERS.len());
    let idle = machine::idle().await?;
    let contest = rounds::measure(&environment.lab, &panel.data(), &hosts, &peers).await?;

    println!("bench: memory while watching a cluster");
    panel.launch().await?;
    bootstrap::cluster(&api, &environment.lab, &hosts).await?;
    let memory = memory::measure(&mut panel, &api).await?;
    panel.kill().await?;

    report::write(
        &report,
        &report::Results {
            idle,
            contest,
            memory,
            starts,
            page,
        },
    )
}

fn given(name: &str) -> Result<std::ffi::OsString> {
    std::env::var_os(name)
        .with_context(|| format!("{name} is not set: run this by cargo xtask bench"))
}

/// Waits for Ctrl-C or SIGTERM; the answer is always an error.
async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminate.recv() => {}
    }
    anyhow::bail!("interrupted")
}
