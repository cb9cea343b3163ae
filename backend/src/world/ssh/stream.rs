//! A large file over an open connection, piece by piece, as fast as it is taken.

use std::time::Duration;

use coxswain_wire::HostId;
use futures::StreamExt as _;
use futures::stream::unfold;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::{FileStream, RemoteCommand, Result, Script, WorldError};
use super::files::absolute;
use super::pool::Lease;
use super::{Ssh, exec, loader, start};

const STREAM_FILE: Script = Script {
    name: "stream_file",
    text: include_str!("scripts/stream_file.sh"),
};
/// Status of [`STREAM_FILE`] when there is no such file.
const NO_SUCH_FILE: i32 = 44;

/// The whole file; the host itself ends the reading then.
const WHOLE: Duration = Duration::from_secs(3600);
/// Without a byte from the host.
const SILENT: Duration = Duration::from_secs(30);
/// Without a piece being taken.
const UNTAKEN: Duration = Duration::from_secs(60);
/// For a free session and a connection.
const OPEN: Duration = Duration::from_secs(30);

const PIECE: usize = 64 * 1024;
/// Pieces that wait to be taken.
const WAITING: usize = 4;
/// What the host may say when it cannot.
const WORDS: usize = 4096;

type Pieces = mpsc::Sender<Result<Vec<u8>>>;

impl Ssh {
    pub(in super::super) async fn stream_file(
        &self,
        host: HostId,
        path: &str,
        max: u64,
    ) -> Result<Option<FileStream>> {
        absolute(path)?;
        let lease = self.pool.lease(host, OPEN).await?;
        let command = RemoteCommand::script(STREAM_FILE)
            .arg(path)
            .sudo()
            .timeout(WHOLE);
        let what = exec::what(&lease.link, &command);
        let (opened, answer) = oneshot::channel();
        let (pieces, taken) = mpsc::channel(WAITING);
        let path = path.to_owned();
        tokio::spawn(async move { pump(&lease, &command, (path, max), opened, &pieces).await });
        let size = answer.await.map_err(|_| WorldError::Unconfirmed {
            what,
            detail: "the reading ended at once".to_owned(),
        })??;
        Ok(size.map(|size| FileStream {
            size,
            pieces: unfold(taken, |mut taken| async move {
                let piece = taken.recv().await?;
                Some((piece, taken))
            })
            .boxed(),
        }))
    }
}

/// Reads the file and hands it on until its end, an error, or until nobody takes it any more.
async fn pump(
    lease: &Lease,
    command: &RemoteCommand,
    (path, max): (String, u64),
    opened: oneshot::Sender<Result<Option<u64>>>,
    pieces: &Pieces,
) {
    let (child, mut stdout, size) = match open(lease, command).await {
        Ok(Opened::File {
            child,
            stdout,
            size,
        }) => (child, stdout, size),
        Ok(Opened::Nothing) => {
            opened.send(Ok(None)).ok();
            return;
        }
        Err(error) => {
            opened.send(Err(error)).ok();
            return;
        }
    };
    if size > max {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        opened
            .send(Err(WorldError::TooLarge { what: path, max }))
            .ok();
        return;
    }
    if opened.send(Ok(Some(size))).is_err() {
        return;
    }
    let ended = copy(&mut stdout, size, pieces).await;
    let broken = match ended {
        Ok(true) => None,
        // Nobody listens: dropping the session ends the other side.
        Ok(false) => return,
        Err(detail) => Some(detail),
    };
    if let Some(detail) = broken {
        let error = WorldError::Unconfirmed {
            what: exec::what(&lease.link, command),
            detail,
        };
        pieces.send_timeout(Err(error), UNTAKEN).await.ok();
        return;
    }
    if let Err(error) = child.wait().await {
        tracing::debug!(%error, "a file was streamed, but the end of its reading was not seen");
    }
}

enum Opened<'l> {
    File {
        child: Box<openssh::Child<&'l openssh::Session>>,
        stdout: BufReader<openssh::ChildStdout>,
        size: u64,
    },
    Nothing,
}

async fn open<'l>(lease: &'l Lease, command: &RemoteCommand) -> Result<Opened<'l>> {
    let link = &lease.link;
    let broken = |detail: String| WorldError::Unconfirmed {
        what: exec::what(link, command),
        detail,
    };
    let header = loader::header(STREAM_FILE.text, command.arguments())?;
    let root = link.root().await?;
    let mut child = exec::spawn(link, command, Some(root)).await?;
    let (Some(mut stdin), Some(stdout), stderr) = (
        child.stdin().take(),
        child.stdout().take(),
        child.stderr().take(),
    ) else {
        return Err(broken("no way to talk to it".to_owned()));
    };
    stdin
        .write_all(&header)
        .await
        .map_err(|e| broken(e.to_string()))?;
    drop(stdin);
    let mut stdout = BufReader::with_capacity(PIECE, stdout);
    let line = timeout(SILENT, first_line(&mut stdout))
        .await
        .map_err(|_| WorldError::TimedOut {
            what: exec::what(link, command),
            after: SILENT,
        })?
        .map_err(|e| broken(e.to_string()))?;
    if let Ok(size) = line.trim().parse() {
        return Ok(Opened::File {
            child: Box::new(child),
            stdout,
            size,
        });
    }
    let (said, _) = exec::capped(stderr, WORDS)
        .await
        .map_err(|e| broken(e.to_string()))?;
    let status = child.wait().await.map_err(|e| broken(e.to_string()))?;
    match status.code() {
        Some(NO_SUCH_FILE) => Ok(Opened::Nothing),
        Some(status) => Err(WorldError::command(STREAM_FILE.name, status, &said)),
        None => Err(broken("ended by a signal".to_owned())),
    }
}

/// The first line that is the command's own; empty if it ended without one.
async fn first_line<R: AsyncBufRead + Unpin>(from: &mut R) -> std::io::Result<String> {
    let mut noise = Vec::new();
    let mut before = from.take(start::NOISE as u64);
    while before.read_until(b'\n', &mut noise).await? > 0 {
        if noise.ends_with(format!("{}\n", start::MARK).as_bytes()) {
            let mut line = String::new();
            from.take(32).read_line(&mut line).await?;
            return Ok(line);
        }
    }
    Ok(String::new())
}

/// True: all `size` bytes were taken. False: nobody takes them. `Err`: the host did not send them all.
async fn copy<R: AsyncRead + Unpin>(
    from: &mut R,
    size: u64,
    pieces: &Pieces,
) -> std::result::Result<bool, String> {
    let mut left = size;
    while left > 0 {
        let mut piece = vec![0; PIECE];
        let read = match timeout(SILENT, from.read(&mut piece)).await {
            Ok(Ok(0)) => return Err(format!("it ended {left} bytes too early")),
            Ok(Ok(read)) => read,
            Ok(Err(e)) => return Err(e.to_string()),
            Err(_) => return Err(format!("nothing came for {} s", SILENT.as_secs())),
        };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        piece.truncate(wanted);
        left -= wanted as u64;
        if pieces.send_timeout(Ok(piece), UNTAKEN).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
