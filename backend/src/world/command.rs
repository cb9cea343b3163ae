//! Commands as values: a program with arguments, or a constant script with positional parameters.

use std::time::Duration;

/// Default for [`RemoteCommand::timeout`].
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Default for [`RemoteCommand::max_output`], for each of standard output and standard error.
const DEFAULT_MAX_OUTPUT: usize = 1024 * 1024;

/// A constant POSIX sh script. Values reach it as positional parameters (`"$1"`), never as text of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    /// Identifies it in logs, errors and to a world in memory, which simulates it by name.
    pub name: &'static str,
    /// The script.
    pub text: &'static str,
}

impl Script {
    /// Of these parts, one behind the other. Never freed: made once, from constants alone.
    #[must_use]
    pub(crate) fn joined(name: &'static str, parts: &[&'static str]) -> Self {
        let text = Box::leak(parts.concat().into_boxed_str());
        Self { name, text }
    }
}

/// What is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// A program found through the host's `PATH`, with arguments.
    Program {
        /// Name or absolute path.
        program: String,
        /// Passed as they are, whatever bytes but NUL they hold.
        args: Vec<String>,
    },
    /// A script under the host's `sh`, with `LC_ALL=C`.
    Script {
        /// The script.
        script: Script,
        /// Positional parameters from `$1` on.
        args: Vec<String>,
    },
}

/// A short command for [`super::World::run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCommand {
    /// What is executed.
    pub invocation: Invocation,
    /// Standard input; end of file at once when none. Never seen in any process's arguments.
    pub stdin: Option<Vec<u8>>,
    /// Run as root: by `sudo -n`, or directly if the login user is root.
    pub sudo: bool,
    /// Given up after this time; the host then ends the process by itself a little later.
    pub timeout: Duration,
    /// Bytes kept of standard output, and as many of standard error; the rest is counted.
    pub max_output: usize,
}

impl RemoteCommand {
    /// A program without arguments, as the login user, 30 s, 1 MiB.
    pub fn program(program: impl Into<String>) -> Self {
        Self::new(Invocation::Program {
            program: program.into(),
            args: Vec::new(),
        })
    }

    /// A script without parameters, as the login user, 30 s, 1 MiB.
    #[must_use]
    pub fn script(script: Script) -> Self {
        Self::new(Invocation::Script {
            script,
            args: Vec::new(),
        })
    }

    fn new(invocation: Invocation) -> Self {
        Self {
            invocation,
            stdin: None,
            sudo: false,
            timeout: DEFAULT_TIMEOUT,
            max_output: DEFAULT_MAX_OUTPUT,
        }
    }

    /// Appends an argument or positional parameter.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        match &mut self.invocation {
            Invocation::Program { args, .. } | Invocation::Script { args, .. } => {
                args.push(arg.into())
            }
        }
        self
    }

    /// Appends several.
    #[must_use]
    pub fn args<I, A>(self, args: I) -> Self
    where
        I: IntoIterator<Item = A>,
        A: Into<String>,
    {
        args.into_iter().fold(self, Self::arg)
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it as root.
    #[must_use]
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// Another time limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another output limit, in bytes.
    #[must_use]
    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// Program or script name, for logs and errors; no arguments, no input.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.invocation {
            Invocation::Program { program, .. } => program,
            Invocation::Script { script, .. } => script.name,
        }
    }

    /// Arguments or positional parameters.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        match &self.invocation {
            Invocation::Program { args, .. } | Invocation::Script { args, .. } => args,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status.
    pub status: i32,
    /// At most [`RemoteCommand::max_output`] bytes.
    pub stdout: Vec<u8>,
    /// Likewise.
    pub stderr: Vec<u8>,
    /// Bytes of both that were dropped; 0 when nothing is missing.
    pub truncated: u64,
}

impl Output {
    /// Ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// Standard output as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Itself if the status is 0.
    ///
    /// # Errors
    /// [`super::WorldError::Command`] with the last of standard error otherwise.
    pub fn ok(self, name: &str) -> super::Result<Self> {
        if self.success() {
            return Ok(self);
        }
        Err(super::WorldError::command(name, self.status, &self.stderr))
    }
}
