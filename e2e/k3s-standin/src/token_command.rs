//! `k3s token rotate` of the releases that have it (facts B.5): a running server takes the new token, the database with it;
//! every other server and agent needs it at its next start.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use crate::cli::flags::Flags;
use crate::cli::{self, finish, help, runtime, table};
use crate::fsutil::read;
use crate::output;
use crate::server::join::Access;
use crate::settings::Settings;
use crate::token::Token;

/// What a subcommand is for.
const USAGE: &str = "Rotate original server token with a new server token";
/// The database is given this long to tell all members.
const SPREAD: Duration = Duration::from_secs(1);

/// Runs `k3s token`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some((verb, rest)) = arguments.split_first() else {
        output::text(help::token(USAGE));
        return ExitCode::SUCCESS;
    };
    match verb.as_str() {
        "rotate" => {}
        "--help" | "-h" | "help" | "h" => {
            output::text(help::token(USAGE));
            return ExitCode::SUCCESS;
        }
        "create" | "delete" | "generate" | "list" => {
            return finish(Err(anyhow::anyhow!(
                "the stand-in has no bootstrap tokens: token {verb}"
            )));
        }
        other => return cli::no_help_topic(other),
    }
    let table = table::token();
    let outcome = Settings::from_env().and_then(|settings| {
        let flags = cli::parse_quietly(&settings, &table, rest)?;
        Ok((settings, flags))
    });
    match outcome {
        Ok((_, flags)) if flags.help => {
            output::text(help::command("token rotate", USAGE, &table));
            ExitCode::SUCCESS
        }
        Ok((settings, flags)) => finish(run(&settings, &flags)),
        Err(error) => {
            if error.is::<cli::Usage>() {
                output::line(format!("Incorrect Usage: {error}\n"));
                output::text(help::command("token rotate", USAGE, &table));
            }
            finish(Err(error))
        }
    }
}

fn run(settings: &Settings, flags: &Flags) -> anyhow::Result<()> {
    output::line(
        "\u{1b}[33mWARNING\u{1b}[0m: Recommended to keep a record of the old token. If restoring from a snapshot, you must use the token associated with that snapshot.",
    );
    let token = match flags.value("token") {
        Some(text) => text.to_owned(),
        None => read(&settings.paths.server("token"))?,
    };
    let token = Token::parse(&token).map_err(anyhow::Error::msg)?;
    let url = match flags.value("server") {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!(
            "https://{}",
            std::net::SocketAddr::new(settings.loopback, 6443)
        ),
    };
    let new = flags.value("new-token").unwrap_or_default();
    if new.contains(char::is_whitespace) {
        bail!("invalid token format");
    }
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let access = Access::open(&url, &token, "server").await?;
        let body = json!({"newToken": new}).to_string().into_bytes();
        access.put("/v1-k3s/token", body).await?;
        tokio::time::sleep(SPREAD).await;
        anyhow::Ok(())
    });
    runtime.shutdown_background();
    outcome?;
    output::line("Token rotated, restart k3s nodes with new token");
    Ok(())
}
