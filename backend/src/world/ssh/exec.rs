//! One command over an open connection: standard input fed, output read up to the cap, all of it in time.

use std::time::{Duration, Instant};

use openssh::{Child, Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::error::chain;
use super::super::{Invocation, Output, RemoteCommand, Result, UnreachableKind, WorldError};
use super::link::{Link, Root};
use super::{loader, start};

/// The host ends the command by itself this much after we gave it up.
const REMOTE_GRACE: Duration = Duration::from_secs(5);
/// How the master says that sshd opens no further session.
const REFUSALS: [&str; 3] = [
    "open failed",
    "Session open refused",
    "Failed to open session",
];
/// Between two tries to open a session, and for all of them.
const REFUSAL_PAUSE: Duration = Duration::from_millis(10);
const REFUSED_FOR: Duration = Duration::from_secs(3);

/// Runs a command, as root if `root` says how.
pub(super) async fn execute(
    link: &Link,
    command: &RemoteCommand,
    root: Option<Root>,
) -> Result<Output> {
    let mut input = match &command.invocation {
        Invocation::Script { script, args } => loader::header(script.text, args)?,
        Invocation::Program { program, args } => {
            let mut words = Vec::with_capacity(args.len() + 1);
            words.push(program.as_str());
            words.extend(args.iter().map(String::as_str));
            loader::header(loader::EXEC, &words)?
        }
    };
    if let Some(stdin) = &command.stdin {
        input.extend_from_slice(stdin);
    }
    match timeout(command.timeout, talk(link, command, root, &input)).await {
        Ok(result) => result,
        Err(_) => Err(WorldError::TimedOut {
            what: what(link, command),
            after: command.timeout,
        }),
    }
}

async fn talk(
    link: &Link,
    command: &RemoteCommand,
    root: Option<Root>,
    input: &[u8],
) -> Result<Output> {
    let mut child = spawn(link, command, root).await?;
    let (stdin, stdout, stderr) = (
        child.stdin().take(),
        child.stdout().take(),
        child.stderr().take(),
    );
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command may end without having read everything; its status says what that means.
            if let Err(error) = stdin.write_all(input).await {
                tracing::debug!(%error, command = command.name(), "standard input not taken in full");
            }
        }
    };
    let ((), out, err) = tokio::join!(
        feed,
        capped(stdout, command.max_output),
        capped(stderr, command.max_output)
    );
    let broken = |detail: String| WorldError::Unconfirmed {
        what: what(link, command),
        detail,
    };
    let (stdout, out_dropped) = out.map_err(|e| broken(e.to_string()))?;
    let (stderr, err_dropped) = err.map_err(|e| broken(e.to_string()))?;
    let status = match child.wait().await {
        Ok(status) => status
            .code()
            .ok_or_else(|| broken("ended by a signal".to_owned()))?,
        // The crate turns status 127 into an error of its own.
        Err(openssh::Error::Remote(e)) if e.kind() == std::io::ErrorKind::NotFound => 127,
        Err(e) => return Err(broken(chain(&e))),
    };
    if status == loader::INCOMPLETE && stdout.is_empty() && stderr.is_empty() {
        return Err(broken(
            "the command arrived incomplete and was not run".to_owned(),
        ));
    }
    Ok(Output {
        status,
        stdout,
        stderr,
        truncated: out_dropped + err_dropped,
    })
}

/// Reads to the end, keeps the first `max` bytes that are the command's own, and counts the rest of them.
pub(super) async fn capped<R: AsyncRead + Unpin>(
    stream: Option<R>,
    max: usize,
) -> std::io::Result<(Vec<u8>, u64)> {
    let (mut kept, mut dropped) = (Vec::new(), 0u64);
    let Some(mut stream) = stream else {
        return Ok((kept, dropped));
    };
    let most = max.saturating_add(start::NOISE + start::MARK.len() + 1);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            start::own(&mut kept);
            dropped += kept.len().saturating_sub(max) as u64;
            kept.truncate(max);
            return Ok((kept, dropped));
        }
        let take = n.min(most - kept.len());
        kept.extend_from_slice(&buffer[..take]);
        dropped += (n - take) as u64;
    }
}

/// Starts the loader under a time limit of the host's own. We learn that a command has ended a moment before sshd has closed its session, so a refusal
/// (nothing was run) is tried again for a short while.
pub(super) async fn spawn<'l>(
    link: &'l Link,
    command: &RemoteCommand,
    root: Option<Root>,
) -> Result<Child<&'l Session>> {
    let seconds = (command.timeout + REMOTE_GRACE).as_secs().to_string();
    let mut words = vec![
        "timeout",
        "-k",
        "5",
        seconds.as_str(),
        "sh",
        "-c",
        loader::LOADER,
    ];
    if root == Some(Root::Sudo) {
        words.splice(0..0, ["sudo", "-n", "--"]);
    }
    let start = Instant::now();
    loop {
        let mut remote = link.session().command(words[0]);
        remote
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let error = match remote.spawn().await {
            Ok(child) => return Ok(child),
            Err(error) => chain(&error),
        };
        if !REFUSALS.iter().any(|words| error.contains(words)) {
            // The master was alive a moment ago: the request may have reached the host.
            return Err(WorldError::Unconfirmed {
                what: what(link, command),
                detail: error,
            });
        }
        if start.elapsed() > REFUSED_FOR {
            return Err(WorldError::Unreachable {
                target: link.name.clone(),
                kind: UnreachableKind::Closed,
                detail: "sshd refuses another session on this connection (MaxSessions)".to_owned(),
            });
        }
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
}

pub(super) fn what(link: &Link, command: &RemoteCommand) -> String {
    format!("{} on {}", command.name(), link.name)
}
