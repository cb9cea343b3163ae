//! Programs on this machine, each with a time limit.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end with `input` on standard input.
///
/// # Errors
/// It cannot be started, or does not end within `limit` (it is killed then).
pub async fn run(mut command: Command, input: &str, limit: Duration) -> Result<Output> {
    let name = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            // A program that ends without reading closes the pipe: its status says why.
            if stdin.write_all(input.as_bytes()).await.is_ok() {
                stdin.shutdown().await.ok();
            }
        }
    };
    let whole = async { tokio::join!(talk, child.wait_with_output()).1 };
    let Ok(output) = tokio::time::timeout(limit, whole).await else {
        bail!("{name} did not end within {} s", limit.as_secs());
    };
    let output = output.with_context(|| name.clone())?;
    Ok(Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
