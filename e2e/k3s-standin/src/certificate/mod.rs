//! `k3s certificate rotate|check` (transcripts 08 and 15; `check` and the newer texts by the documentation).

mod check;
mod rotate;
mod services;

use std::process::ExitCode;

use crate::cli::flags::Flags;
use crate::cli::{self, finish, help, table};
use crate::output;
use crate::settings::Settings;
use crate::version::release;
pub(crate) use rotate::take_trigger;

/// Runs `k3s certificate`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some((verb, rest)) = arguments.split_first() else {
        output::text(help::certificate());
        return ExitCode::SUCCESS;
    };
    let run: fn(&Settings, &Flags) -> anyhow::Result<()> = match verb.as_str() {
        "rotate" => rotate::run,
        "check" if release().checks_certificates() => check::run,
        "--help" | "-h" | "help" | "h" => {
            output::text(help::certificate());
            return ExitCode::SUCCESS;
        }
        other => return cli::no_help_topic(other),
    };
    let table = table::certificate(verb);
    let name = format!("certificate {verb}");
    let outcome = Settings::from_env().and_then(|settings| {
        let flags = cli::parse_quietly(&settings, &table, rest)?;
        Ok((settings, flags))
    });
    match outcome {
        Ok((_, flags)) if flags.help => {
            output::text(help::command(&name, help::certificate_usage(verb), &table));
            ExitCode::SUCCESS
        }
        Ok((settings, flags)) => finish(run(&settings, &flags)),
        Err(error) => {
            if error.is::<cli::Usage>() {
                output::line(format!("Incorrect Usage: {error}\n"));
                output::text(help::command(&name, help::certificate_usage(verb), &table));
            }
            finish(Err(error))
        }
    }
}
