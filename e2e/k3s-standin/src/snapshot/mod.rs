//! `k3s etcd-snapshot save|ls|delete|prune` (transcript 02), and the scheduled snapshots of a server.

mod manage;
mod save;
mod schedule;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::flags::Flags;
use crate::cli::{self, finish, table};
use crate::output;
use crate::settings::Settings;
use crate::system;

pub(crate) use schedule::{Plan, run as run_schedule};

/// What every subcommand needs.
struct Job {
    settings: Settings,
    directory: PathBuf,
    node: String,
    /// Base of the names of snapshots.
    name: String,
    /// How many of this name `prune` and the schedule keep.
    retention: usize,
    /// Names given to `delete`.
    words: Vec<String>,
}

/// How many snapshots are kept if nothing else was said.
const RETENTION: usize = 5;

/// Runs `k3s etcd-snapshot`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let (verb, rest) = match arguments.split_first() {
        Some((word, rest)) if !word.starts_with('-') => (word.as_str(), rest),
        _ => ("save", arguments),
    };
    let run: fn(&Job) -> anyhow::Result<()> = match verb {
        "save" => save::run,
        "ls" | "list" | "l" => manage::list,
        "delete" => manage::delete,
        "prune" => manage::prune,
        other => return cli::no_help_topic(other),
    };
    let table = table::snapshot();
    let outcome = job(rest);
    match outcome {
        Ok(None) => {
            output::text(cli::help::command(
                "etcd-snapshot",
                "Trigger an immediate etcd snapshot",
                &table,
            ));
            ExitCode::SUCCESS
        }
        Ok(Some(job)) => finish(run(&job)),
        Err(error) => {
            if error.is::<cli::Usage>() {
                output::line(format!("Incorrect Usage: {error}\n"));
            }
            finish(Err(error))
        }
    }
}

/// The job of a command line; none if it asks for help.
fn job(arguments: &[String]) -> anyhow::Result<Option<Job>> {
    let settings = Settings::from_env()?;
    let flags = cli::parse_quietly(&settings, &table::snapshot(), arguments)?;
    if flags.help {
        return Ok(None);
    }
    let directory = match flags
        .value("dir")
        .or_else(|| flags.value("etcd-snapshot-dir"))
    {
        Some(path) => settings.paths.at(path),
        None => settings.paths.snapshots(),
    };
    let node = match flags.value("node-name") {
        Some(name) => name.to_lowercase(),
        None => system::hostname()?,
    };
    Ok(Some(Job {
        settings,
        directory,
        node,
        name: flags.value("name").unwrap_or("on-demand").to_owned(),
        retention: retention(&flags, "snapshot-retention")?,
        words: flags.words,
    }))
}

fn retention(flags: &Flags, name: &str) -> anyhow::Result<usize> {
    match flags.value(name) {
        None => Ok(RETENTION),
        Some(text) => text.parse().with_context(|| name.to_owned()),
    }
}
