//! `cargo xtask`: set-up, lab, demo, tests and benchmarks. Start with `cargo xtask --help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool that talks to a person"
)]

mod bench;
mod build;
mod cmd;
mod demo;
mod hash;
mod image;
mod interrupt;
mod lab;
mod paths;
mod setup;
mod test;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Set-up, lab, demo and tests of this repository"
)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what is missing on this machine and starts the container engine
    Setup,
    /// Builds everything, starts a lab and the panel; Ctrl-C takes all of it down
    Demo {
        /// A real k3s binary to serve in place of the stand-in
        #[arg(long, value_name = "FILE")]
        k3s: Option<PathBuf>,
    },
    /// Runs every check, installing what they need
    Test {
        /// Formatting, lints and unit tests only
        #[arg(long, conflicts_with = "full")]
        fast: bool,
        /// Also the long tests, which are marked as ignored; known vulnerabilities fail it, too
        #[arg(long)]
        full: bool,
        /// Everything but what needs a lab: the story in the browser and the day-2 procedures
        #[arg(long)]
        skip_lab: bool,
        /// Only the checks whose name contains this word
        #[arg(long, value_name = "WORD")]
        only: Option<String>,
        /// Only the tests whose path contains this, e.g. `--only day-2 --matching join::`; may be given again
        #[arg(long, value_name = "PATH")]
        matching: Vec<String>,
    },
    /// Measures the panel against its goals, a shell loop, pyinfra and Ansible; writes BENCHMARKS.md
    Bench,
    /// Builds the page into `dist/`
    Web {
        /// Quick, and with names for the debugger
        #[arg(long)]
        dev: bool,
    },
    /// Builds the panel's container image, which `docker compose up` starts
    Image,
    /// Containers that behave as machines: four nodes, a load balancer, a file server
    Lab {
        #[command(subcommand)]
        task: LabTask,
    },
}

#[derive(Subcommand)]
enum LabTask {
    /// Builds the lab's images (`up` does so by itself)
    Build,
    /// Starts a lab and waits until every host can be logged in to
    Up {
        /// A real k3s binary to serve in place of the stand-in
        #[arg(long, value_name = "FILE")]
        k3s: Option<PathBuf>,
        /// Factor for the stand-in's timers, such as 0.1; a real k3s knows no such thing
        #[arg(
            long,
            value_name = "FACTOR",
            default_value = "1",
            conflicts_with = "k3s"
        )]
        time_scale: lab::TimeScale,
        #[command(flatten)]
        name: LabName,
    },
    /// Powers the hosts of a lab off and keeps their disks
    Save {
        #[command(flatten)]
        name: LabName,
    },
    /// Sets the hosts of a lab back to what `save` kept, and powers them on
    Restore {
        /// Factor for the stand-in's timers
        #[arg(long, value_name = "FACTOR", default_value = "1")]
        time_scale: lab::TimeScale,
        #[command(flatten)]
        name: LabName,
    },
    /// Removes a lab with all its containers and volumes
    Down {
        #[command(flatten)]
        name: LabName,
    },
    /// Lets an SSH public key log in to every host of a lab as its user
    Authorize {
        /// The key's one line, as in a `.pub` file
        public_key: String,
        /// The lab's name; without it, every lab that is up on this machine
        #[arg(long)]
        project: Option<String>,
    },
}

#[derive(clap::Args)]
struct LabName {
    /// The lab's name
    #[arg(long, default_value = "coxswain-lab")]
    project: String,
    /// The first three numbers of its network
    #[arg(long, default_value = lab::DEFAULT_NET)]
    net: String,
}

impl LabName {
    fn lab(&self) -> Result<lab::Lab> {
        lab::Lab::new(&self.project, &self.net)
    }
}

fn main() -> ExitCode {
    match interrupt::watch().and_then(|()| run(Args::parse().task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup => setup::all(),
        Task::Demo { k3s } => demo::run(k3s.as_deref()),
        Task::Test {
            fast,
            full,
            skip_lab,
            only,
            matching,
        } => test::run(&test::Scope {
            fast,
            full,
            skip_lab,
            only,
            matching,
        }),
        Task::Bench => bench::run(),
        Task::Web { dev } => web::build(if dev {
            web::Mode::Dev
        } else {
            web::Mode::Release
        })
        .map(drop),
        Task::Image => image::panel(),
        Task::Lab { task } => match task {
            LabTask::Build => lab::image::build_all(),
            LabTask::Up {
                k3s,
                time_scale,
                name,
            } => {
                let spec = name.lab()?.up(k3s.as_deref(), time_scale)?;
                spec.print();
                Ok(())
            }
            LabTask::Save { name } => name.lab()?.save(),
            LabTask::Restore { time_scale, name } => {
                let spec = name.lab()?.restore(time_scale)?;
                spec.print();
                Ok(())
            }
            LabTask::Down { name } => name.lab()?.down(),
            LabTask::Authorize {
                public_key,
                project,
            } => {
                let labs = match project {
                    Some(project) => vec![lab::Lab::new(&project, lab::DEFAULT_NET)?],
                    None => lab::Lab::all_up()?,
                };
                anyhow::ensure!(
                    !labs.is_empty(),
                    "no lab is up: start one by `cargo xtask lab up`"
                );
                labs.iter().try_for_each(|lab| lab.authorize(&public_key))
            }
        },
    }
}
