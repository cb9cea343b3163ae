//! A stand-in for k3s where no real one can be had: one program that is installed as `/usr/local/bin/k3s` on lab nodes
//! and behaves as a recorded k3s v1.22.4+k3s1 does, over a real etcd.

mod agent;
mod api;
mod certificate;
mod cli;
mod controllers;
mod etcd;
mod fsutil;
mod kubectl;
mod logging;
mod net;
mod notify;
mod output;
mod paths;
mod pki;
mod server;
mod settings;
mod snapshot;
mod system;
mod token;
mod token_command;
mod version;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(std::env::args().collect())
}
