//! The command line: `k3s` with its commands, and the names it answers to as a link.

pub(crate) mod config_file;
pub(crate) mod flags;
pub(crate) mod help;
pub(crate) mod table;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::agent;
use crate::etcd::process as etcd_process;
use crate::logging;
use crate::output;
use crate::server::options::{NodeOptions, ServerOptions, secret};
use crate::server::reset::Panicked;
use crate::settings::Settings;
use crate::token::Token;
use crate::version::{self, GO_VERSION, release};
use flags::{Flag, Flags};

/// Word by which the lab has copies of this program made that are other releases.
const RELEASE_COPY: &str = "standin-release";
/// Exit status for a word that is no command, as urfave/cli gives it.
const NO_HELP_TOPIC: u8 = 3;

/// Exit status of a Go program that panics.
const PANIC: u8 = 2;

/// Runs the program under the name it was called by.
pub(crate) fn main(arguments: Vec<String>) -> ExitCode {
    if let Err(error) = version::find_out() {
        return finish(Err(error));
    }
    let called = arguments.first().map(Path::new).and_then(Path::file_name);
    let called = called
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let rest = arguments.get(1..).unwrap_or_default();
    match called.as_str() {
        "kubectl" => crate::kubectl::main(rest),
        "crictl" | "ctr" => no_runtime(&called),
        _ => k3s(rest),
    }
}

fn k3s(arguments: &[String]) -> ExitCode {
    let (first, rest) = match arguments.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => ("--help", &[][..]),
    };
    match first {
        "server" => command(
            "server",
            "Run management server",
            &table::server(),
            rest,
            run_server,
        ),
        "agent" => command("agent", "Run node agent", &table::agent(), rest, run_agent),
        "etcd-snapshot" => crate::snapshot::main(rest),
        "kubectl" => crate::kubectl::main(rest),
        "crictl" | "ctr" => no_runtime(first),
        "--version" | "-v" => {
            output::line(format!(
                "k3s version {} ({})\ngo version {GO_VERSION}",
                release().name,
                release().short_commit()
            ));
            ExitCode::SUCCESS
        }
        "--help" | "-h" | "help" | "h" => {
            output::text(help::root());
            ExitCode::SUCCESS
        }
        etcd_process::LAUNCHER => {
            let outcome = etcd_process::launch(rest);
            if let Err(error) = outcome {
                logging::fatal(format!("{error:#}"));
            }
            ExitCode::FAILURE
        }
        "token" if release().rotates_tokens() => crate::token_command::main(rest),
        "certificate" => crate::certificate::main(rest),
        RELEASE_COPY => finish(version::write_copy(rest)),
        other if other.starts_with('-') => {
            let message = format!("flag provided but not defined: {}", single_dash(other));
            output::line(format!("Incorrect Usage: {message}\n"));
            output::text(help::root());
            logging::fatal(message);
            ExitCode::FAILURE
        }
        other => no_help_topic(other),
    }
}

fn single_dash(flag: &str) -> String {
    let name = flag
        .trim_start_matches('-')
        .split('=')
        .next()
        .unwrap_or_default();
    format!("-{name}")
}

/// urfave/cli's answer to a word that is no command.
pub(crate) fn no_help_topic(word: &str) -> ExitCode {
    output::line(format!("No help topic for '{word}'"));
    ExitCode::from(NO_HELP_TOPIC)
}

fn no_runtime(name: &str) -> ExitCode {
    logging::fatal(format!("{name}: the stand-in runs no containers"));
    ExitCode::FAILURE
}

/// Parses flags, config files and environment of a command and runs it.
fn command(
    name: &str,
    usage: &str,
    table: &[Flag],
    arguments: &[String],
    run: fn(Settings, Flags, Vec<String>) -> anyhow::Result<()>,
) -> ExitCode {
    let outcome = Settings::from_env().and_then(|settings| {
        let flags = parse(&settings, table, arguments)?;
        let mut given = vec![name.to_owned()];
        given.extend(arguments.iter().cloned());
        Ok((settings, flags, given))
    });
    match outcome {
        Ok((_, flags, _)) if flags.help => {
            output::text(help::command(name, usage, table));
            ExitCode::SUCCESS
        }
        Ok((settings, flags, given)) => finish(run(settings, flags, given)),
        Err(error) => {
            if error.is::<Usage>() {
                output::line(format!("Incorrect Usage: {error}\n"));
                output::text(help::command(name, usage, table));
            }
            finish(Err(error))
        }
    }
}

/// Exit status of a command; its error is k3s's fatal line.
pub(crate) fn finish(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Panicked>() => {
            logging::raw(&error.to_string());
            ExitCode::from(PANIC)
        }
        Err(error) => {
            logging::fatal(format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A command line that does not parse.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Flags from the command line, config files and environment, in this order of strength; keys of the config file that
/// are no flags are reported.
///
/// # Errors
/// [`Usage`], or a config file that cannot be read.
fn parse(settings: &Settings, table: &[Flag], arguments: &[String]) -> anyhow::Result<Flags> {
    let (flags, unknown) = read_all(settings, table, arguments)?;
    for key in unknown {
        logging::warn(format!(
            "Unknown flag --{key} found in config.yaml, skipping\n"
        ));
    }
    Ok(flags)
}

/// As [`parse`], for commands that share the server's config file but not its flags.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_quietly(
    settings: &Settings,
    table: &[Flag],
    arguments: &[String],
) -> anyhow::Result<Flags> {
    read_all(settings, table, arguments).map(|(flags, _)| flags)
}

fn read_all(
    settings: &Settings,
    table: &[Flag],
    arguments: &[String],
) -> anyhow::Result<(Flags, Vec<String>)> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut flags = Flags::parse(table, arguments).map_err(Usage)?;
    if flags.help {
        return Ok((flags, Vec::new()));
    }
    let named = flags
        .value("config")
        .map(str::to_owned)
        .or_else(|| variable("K3S_CONFIG_FILE"));
    let file = settings
        .paths
        .at(named.as_deref().unwrap_or("/etc/rancher/k3s/config.yaml"));
    let config = config_file::read(&file, named.is_some())?;
    let unknown = flags.add_config(table, &config);
    flags.add_environment(table, variable);
    Ok((flags, unknown))
}

/// A runtime for the long-running commands.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("runtime")
}

fn run_server(settings: Settings, flags: Flags, given: Vec<String>) -> anyhow::Result<()> {
    let options = ServerOptions::new(settings, &flags, given)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(crate::server::run::run(options));
    runtime.shutdown_background();
    outcome
}

fn run_agent(settings: Settings, flags: Flags, given: Vec<String>) -> anyhow::Result<()> {
    let token = secret(&flags, "token", "token-file")?.context("--token is required")?;
    let url = flags
        .value("server")
        .context("--server is required")?
        .trim_end_matches('/')
        .to_owned();
    let token = Token::parse(&token).map_err(anyhow::Error::msg)?;
    let node = NodeOptions::new(&settings, &flags, given)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(agent::run_command(&settings, node, token, url));
    runtime.shutdown_background();
    outcome
}
