//! `k3s etcd-snapshot save|ls|delete|prune` (transcript 02).

mod manage;
mod save;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::flags::Flags;
use crate::cli::{self, finish, table};
use crate::output;
use crate::settings::Settings;
use crate::system;

/// What every subcommand needs.
struct Job {
    settings: Settings,
    flags: Flags,
    directory: PathBuf,
    node: String,
}

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
        Ok(job) if job.flags.help => {
            output::text(cli::help::command(
                "etcd-snapshot",
                "Trigger an immediate etcd snapshot",
                &table,
            ));
            ExitCode::SUCCESS
        }
        Ok(job) => finish(run(&job)),
        Err(error) => {
            if error.is::<cli::Usage>() {
                output::line(format!("Incorrect Usage: {error}\n"));
            }
            finish(Err(error))
        }
    }
}

fn job(arguments: &[String]) -> anyhow::Result<Job> {
    let settings = Settings::from_env()?;
    let flags = cli::parse_quietly(&settings, &table::snapshot(), arguments)?;
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
    Ok(Job {
        settings,
        flags,
        directory,
        node,
    })
}
