//! Running other programs: each with a deadline, in a process group of its own, ended when a person presses Ctrl-C.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// What a program gets between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);
/// The last bytes of a failed program's output that an error quotes.
const QUOTED: usize = 6000;

/// One program to run: arguments, environment, input and deadline.
pub(crate) struct Cmd {
    command: Command,
    shown: OsString,
    input: Vec<u8>,
    timeout: Duration,
    interruptible: bool,
}

/// A program, to be found in [`folders`]; the deadline is two minutes unless [`Cmd::timeout`] says otherwise.
pub(crate) fn cmd(program: impl AsRef<OsStr>) -> Cmd {
    let shown = program.as_ref().to_owned();
    let mut command = Command::new(program);
    // Should no folder have a colon in its name, which the variable cannot hold, it is set.
    if let Ok(path) = std::env::join_paths(folders()) {
        command.env("PATH", path);
    }
    Cmd {
        shown,
        command,
        input: Vec::new(),
        timeout: Duration::from_secs(120),
        interruptible: true,
    }
}

impl Cmd {
    /// Adds one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(" ");
        self.shown.push(arg.as_ref());
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    /// Adds the words of a fixed text as arguments.
    pub(crate) fn words(self, text: &str) -> Self {
        self.args(text.split_whitespace())
    }

    /// Sets a variable of the program's environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working directory.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What the program reads from its standard input (nothing unless called).
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// The deadline in seconds.
    pub(crate) fn timeout(mut self, seconds: u64) -> Self {
        self.timeout = Duration::from_secs(seconds);
        self
    }

    /// For clearing up: goes on although Ctrl-C was pressed.
    pub(crate) fn even_if_interrupted(mut self) -> Self {
        self.interruptible = false;
        self
    }

    /// Runs with output on the terminal.
    ///
    /// # Errors
    /// The program cannot be started, ends with another status than 0, or overruns its deadline.
    pub(crate) fn run(mut self) -> Result<()> {
        let child = self.start(Stdio::inherit(), Stdio::inherit())?;
        let status = self.finish(child)?;
        self.judge(status)
    }

    /// Runs with output on the terminal, and also hands each line of standard output to `see`.
    ///
    /// # Errors
    /// As [`Cmd::run`].
    pub(crate) fn run_and_see(mut self, mut see: impl FnMut(&str) + Send) -> Result<()> {
        let (reader, writer) = std::io::pipe()?;
        let child = self.start(writer.into(), Stdio::inherit())?;
        // The command keeps its end of the pipe open otherwise, and the reader would wait for ever.
        self.command.stdout(Stdio::null());
        let status = std::thread::scope(|scope| {
            scope.spawn(|| {
                for line in BufReader::new(reader).lines().map_while(Result::ok) {
                    println!("{line}");
                    see(&line);
                }
            });
            self.finish(child)
        })?;
        self.judge(status)
    }

    /// Runs in silence; a failure's error quotes the end of the output.
    ///
    /// # Errors
    /// As [`Cmd::run`].
    pub(crate) fn quiet(self) -> Result<()> {
        self.read().map(drop)
    }

    /// Runs in silence and returns standard output without its last line break.
    ///
    /// # Errors
    /// As [`Cmd::run`]; also output that is not UTF-8.
    pub(crate) fn read(mut self) -> Result<String> {
        let mut stdout = tempfile::tempfile()?;
        let mut stderr = tempfile::tempfile()?;
        let child = self.start(stdout.try_clone()?.into(), stderr.try_clone()?.into())?;
        let status = self.finish(child)?;
        let out = content(&mut stdout)?;
        if !status.success() {
            bail!(
                "`{}` failed: {status}\n{}{}",
                self.shown.display(),
                end(&String::from_utf8_lossy(&out)),
                end(&String::from_utf8_lossy(&content(&mut stderr)?)),
            );
        }
        let out = String::from_utf8(out)
            .with_context(|| format!("output of `{}`", self.shown.display()))?;
        Ok(out.trim_end_matches('\n').to_owned())
    }

    /// Runs in silence; tells whether it ended with status 0. A program that is not there did not.
    pub(crate) fn succeeds(self) -> bool {
        self.read().is_ok()
    }

    /// Starts the program and leaves it running; the caller ends it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn spawn(mut self, stdout: Stdio, stderr: Stdio) -> Result<Running> {
        Ok(Running(self.start(stdout, stderr)?))
    }

    fn start(&mut self, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        use std::os::unix::process::CommandExt;

        let stdin = if self.input.is_empty() {
            Stdio::null()
        } else {
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.input)?;
            file.seek(SeekFrom::Start(0))?;
            file.into()
        };
        self.command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", self.shown.display()))
    }

    fn judge(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!("`{}` failed: {status}", self.shown.display())
    }

    fn finish(&self, child: Child) -> Result<ExitStatus> {
        let mut running = Running(child);
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(status) = running.0.try_wait()? {
                return Ok(status);
            }
            if self.interruptible && interrupt::pending() {
                running.end()?;
                bail!("interrupted in `{}`", self.shown.display());
            }
            if Instant::now() > deadline {
                running.end()?;
                bail!(
                    "`{}` did not end within {} s",
                    self.shown.display(),
                    self.timeout.as_secs()
                );
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A program that runs beside us, leader of its own process group. Dropping the value leaves it alone.
pub(crate) struct Running(Child);

impl Running {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// The system does not know the process.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Ends it and its group: SIGTERM, and SIGKILL when ten seconds were not enough.
    ///
    /// # Errors
    /// The system does not know the process.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.0.try_wait()?.is_some() {
            return Ok(());
        }
        let group = Pid::from_child(&self.0);
        kill_process_group(group, Signal::TERM)?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if self.0.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        kill_process_group(group, Signal::KILL)?;
        self.0.wait()?;
        Ok(())
    }
}

/// The PATH, then the system's own folders, which a plain user's lacks, and root's after `su`.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for system in ["/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !folders.contains(&system) {
            folders.push(system);
        }
    }
    folders
}

/// Whether a program of this name lies in [`folders`].
pub(crate) fn on_path(program: &str) -> bool {
    folders()
        .iter()
        .any(|folder| folder.join(program).is_file())
}

/// Looks again and again until `look` returns a value, or the deadline passes.
///
/// # Errors
/// Whatever `look` returns as an error, Ctrl-C, or the deadline, which names `what`.
pub(crate) fn wait_for<T>(
    what: &str,
    seconds: u64,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if interrupt::pending() {
            bail!("interrupted while waiting for {what}");
        }
        if Instant::now() > deadline {
            bail!("{what}: not so within {seconds} s");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn content(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn end(text: &str) -> &str {
    let mut from = text.len().saturating_sub(QUOTED);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
