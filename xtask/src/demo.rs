//! `cargo xtask demo`: everything, started; Ctrl-C takes all of it down.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::cmd::cmd;
use crate::lab::{Lab, Spec, TimeScale};
use crate::{build, interrupt, paths, setup, web};

/// A lab of its own: one that somebody works with stays as it is.
const PROJECT: &str = "coxswain-demo";
const NET: &str = "172.30.79";
const LISTEN: &str = "127.0.0.1:7300";

/// Sets up, builds, starts lab and panel, and waits for Ctrl-C.
///
/// # Errors
/// Anything on the way; also then everything that was started is taken down.
pub(crate) fn run(k3s: Option<&Path>) -> Result<()> {
    setup::install_missing(setup::For::Demo)?;
    port_is_free()?;
    let engine = setup::engine()?;
    let result = on_the_engine(k3s);
    result.and(engine.end())
}

/// Before the long build, not after it.
fn port_is_free() -> Result<()> {
    TcpListener::bind(LISTEN)
        .map(drop)
        .with_context(|| format!("{LISTEN}, where the panel would listen: end what uses it"))
}

fn on_the_engine(k3s: Option<&Path>) -> Result<()> {
    let lab = Lab::on_free_net(PROJECT, NET)?;
    // What a demo that was killed has left would be no bare machines.
    lab.down()?;
    let result = serve(&lab, k3s);
    println!("\ntaking the demo down");
    result.and(lab.down())
}

fn serve(lab: &Lab, k3s: Option<&Path>) -> Result<()> {
    let page = web::build(web::Mode::Release)?;
    let panel = build::release("coxswain")?;
    let spec = lab.up(k3s, TimeScale::REAL)?;
    // The last demo's data knows hosts that are gone.
    let data = paths::target().join("demo");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    explain(&spec);
    let mut panel = cmd(panel)
        .args(["serve", "--listen", LISTEN, "--data-dir"])
        .arg(&data)
        .arg("--web-dir")
        .arg(&page)
        .dir(paths::root())
        .spawn(Stdio::inherit(), Stdio::inherit())?;
    loop {
        if let Some(status) = panel.ended()? {
            bail!("the panel ended: {status}");
        }
        if interrupt::pending() {
            return panel.end();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn explain(spec: &Spec) {
    println!();
    spec.print();
    println!();
    println!(
        "  The panel makes an SSH key pair when the hosts are enrolled. Let its public half in on all of them:"
    );
    println!("      cargo xtask lab authorize '<public key>'");
    println!(
        "  or paste the lab's own private key: {}",
        spec.private_key().display()
    );
    println!(
        "  In the form of a bootstrap, the installer's address is {}",
        spec.installer_url()
    );
    println!("  Power off and on: docker kill {PROJECT}-node1-1, docker start {PROJECT}-node1-1");
    println!(
        "  Ctrl-C takes everything down. Open the panel's link, printed next, in a browser on this machine."
    );
    println!();
}
