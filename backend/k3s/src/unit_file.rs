//! systemd unit files of k3s: the command line in `ExecStart=`, read by systemd's rules. A change
//! touches the words that differ and nothing else: only systemd knows what `%H` or `${NAME}` in another stands for.

mod change;
mod environment;
mod words;

use std::fmt;
use std::ops::Range;

use crate::flags::{self, Flag};
pub use environment::UnitEnvironment;
use words::Word;
pub use words::WordError;

/// A unit file or drop-in. `Debug` hides secret values.
#[derive(Clone, PartialEq, Eq)]
pub struct UnitFile {
    text: String,
    /// The `ExecStart=` lines of the section `[Service]`, in order.
    commands: Vec<Command>,
}

/// One `ExecStart=`.
#[derive(Clone, PartialEq, Eq)]
struct Command {
    /// Bytes of the value: after `=`, up to and with the last line end.
    span: Range<usize>,
    /// The words; none: an empty value, which takes back the ones before.
    words: Vec<Word>,
}

/// Why a unit file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A command line systemd would refuse too.
    #[error("ExecStart in line {line}: {error}")]
    Command {
        /// Line number, from 1.
        line: usize,
        /// What is wrong.
        error: WordError,
    },
    /// No command line in force.
    #[error("the unit has no ExecStart")]
    NoCommand,
    /// The command is not `k3s server` or `k3s agent`.
    #[error("ExecStart does not start k3s but {0:?}")]
    NotK3s(String),
}

/// The command line that systemd runs: program, subcommand, arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Path of the k3s program.
    pub program: String,
    /// `server` or `agent`.
    pub subcommand: String,
    /// The words after the subcommand.
    pub args: Vec<String>,
    /// Which of them systemd perhaps fills in, by their numbers.
    filled: Vec<usize>,
}

impl CommandLine {
    fn from_words(words: &[Word]) -> Result<Self, UnitError> {
        // Behind program and subcommand.
        let behind = words.iter().skip(2).enumerate();
        let filled = behind.filter(|(_, word)| word.filled).map(|(at, _)| at);
        let filled = filled.collect();
        let words: Vec<&String> = words.iter().map(|word| &word.text).collect();
        let (program, rest) = words.split_first().ok_or(UnitError::NoCommand)?;
        // Prefixes change how systemd runs the program, not which.
        let path = program.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        match rest.split_first() {
            Some((sub, args))
                if path.rsplit('/').next() == Some("k3s")
                    && matches!(sub.as_str(), "server" | "agent") =>
            {
                Ok(CommandLine {
                    program: (*program).clone(),
                    subcommand: (*sub).clone(),
                    args: args.iter().map(|word| (*word).clone()).collect(),
                    filled,
                })
            }
            _ => Err(UnitError::NotK3s((*program).clone())),
        }
    }

    /// The flags among the arguments.
    #[must_use]
    pub fn flags(&self) -> Vec<Flag> {
        flags::parse_args(&self.args)
    }

    /// systemd perhaps fills something in for this flag (`%n`, `${NAME}`): what k3s is told is not known.
    #[must_use]
    pub fn fills(&self, flag: &Flag) -> bool {
        let words = flag.at..flag.at + flag.words;
        self.filled.iter().any(|at| words.contains(at))
    }

    /// Secret values that stand on the command line, for all to see (facts A: a token passed as
    /// `--token` lands in the world-readable unit file).
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        self.flags()
            .into_iter()
            .filter(|flag| flags::is_secret(&flag.name))
            .filter_map(|flag| flag.value.map(String::into_bytes))
            .collect()
    }

    /// A token stands on the command line.
    #[must_use]
    pub fn has_token(&self) -> bool {
        let names = ["token", "agent-token", "cluster-secret"];
        self.flags()
            .iter()
            .any(|f| names.contains(&f.name.as_str()) && f.value.is_some())
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLine")
            .field("subcommand", &self.subcommand)
            .field("flags", &self.flags())
            .finish_non_exhaustive()
    }
}

impl UnitFile {
    /// Reads a unit file or drop-in.
    ///
    /// # Errors
    /// When a command line is malformed.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let mut commands = Vec::new();
        for line in service_lines(text) {
            if line.key != "ExecStart" {
                continue;
            }
            let span = line.value;
            let words = words::split(&text[span.clone()]).map_err(|error| UnitError::Command {
                line: line.number,
                error,
            })?;
            commands.push(Command { span, words });
        }
        Ok(UnitFile {
            text: text.to_owned(),
            commands,
        })
    }

    /// The text, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The command in force as this file writes it, with its line end; None if there is none.
    #[must_use]
    pub fn command_text(&self) -> Option<&str> {
        let command = self.commands.last()?;
        Some(&self.text[command.span.clone()])
    }

    /// The command line of this file alone; see [`effective_command`] where there are drop-ins.
    ///
    /// # Errors
    /// When there is none, or it does not start k3s.
    pub fn command(&self) -> Result<CommandLine, UnitError> {
        effective_command(&[self])
    }

    /// The same file with other arguments after the subcommand. Arguments that stay keep their bytes, and so does
    /// everything around them; new ones are written as the installer does.
    ///
    /// # Errors
    /// When the file has no command of k3s, or it cannot be written so that the words are these.
    pub fn with_args(&self, args: &[String]) -> Result<UnitFile, UnitError> {
        let old = self.command()?;
        if old.args == args {
            return Ok(self.clone());
        }
        let in_force = self.commands.last().ok_or(UnitError::NoCommand)?;
        let value = &self.text[in_force.span.clone()];
        let line = self.text[..in_force.span.start].matches('\n').count() + 1;
        let value = change::arguments(value, &in_force.words, args)
            .map_err(|error| UnitError::Command { line, error })?;
        let mut text = self.text.clone();
        text.replace_range(in_force.span.clone(), &value);
        let changed = UnitFile::parse(&text)?;
        let now = changed.command()?;
        if (now.program, now.subcommand) != (old.program, old.subcommand) || now.args != args {
            let error = WordError::Layout;
            return Err(UnitError::Command { line, error });
        }
        Ok(changed)
    }

    /// The variables in `Environment=` lines of the section `[Service]`, in order.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        UnitEnvironment::parse(&self.text, "").values
    }

    /// The same file without the assignments of these variables in its `Environment=` lines; a line of which
    /// nothing is left goes as a whole, so that it does not take back the ones before it.
    ///
    /// # Errors
    /// When a command line is malformed.
    pub fn without_variables(&self, names: &[&str]) -> Result<UnitFile, UnitError> {
        let mut text = self.text.clone();
        // From the back, so that the places in front stay where they are.
        for ServiceLine {
            key, span, value, ..
        } in service_lines(&self.text).into_iter().rev()
        {
            // systemd leaves out what it cannot split.
            let words = words::split(&self.text[value.clone()]).unwrap_or_default();
            let goes = |word: &Word| {
                let name = word.text.split_once('=').map(|(name, _)| name);
                name.is_some_and(|name| names.contains(&name))
            };
            if key != "Environment" || !words.iter().any(goes) {
                continue;
            }
            if words.iter().all(goes) {
                text.replace_range(span, "");
                continue;
            }
            for word in words.iter().rev().filter(|word| goes(word)) {
                let from = value.start + word.span.start;
                let front = text[..from].trim_end_matches([' ', '\t']).len();
                text.replace_range(front.max(value.start)..value.start + word.span.end, "");
            }
        }
        UnitFile::parse(&text)
    }
}

impl fmt::Debug for UnitFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnitFile")
            .field("command", &self.command())
            .finish_non_exhaustive()
    }
}

/// The command line in force: the unit file first, then its drop-ins in the order of their names. An
/// empty `ExecStart=` takes back what stood before; without one the first command stays, and systemd
/// refuses a second in a unit of this type.
///
/// # Errors
/// When there is none, or it does not start k3s.
pub fn effective_command(files: &[&UnitFile]) -> Result<CommandLine, UnitError> {
    let mut in_force: Option<&[Word]> = None;
    for command in files.iter().flat_map(|file| &file.commands) {
        in_force = (!command.words.is_empty()).then_some(&command.words);
    }
    CommandLine::from_words(in_force.unwrap_or_default())
}

/// An assignment in the section `[Service]`, with the lines that continue it.
struct ServiceLine<'a> {
    key: &'a str,
    /// Number of its first line, from 1.
    number: usize,
    /// Its bytes, up to and with the last line end.
    span: Range<usize>,
    /// The bytes after `=`.
    value: Range<usize>,
}

fn service_lines(text: &str) -> Vec<ServiceLine<'_>> {
    let mut found = Vec::new();
    let mut section = "";
    let (mut at, mut number) = (0, 1);
    while at < text.len() {
        let logical = logical_line(&text[at..]);
        let trimmed = logical.trim_start();
        let end = at + logical.len();
        if let Some(name) = trimmed.strip_prefix('[') {
            section = name.split(']').next().unwrap_or_default();
        } else if section == "Service"
            && !trimmed.starts_with(['#', ';'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            found.push(ServiceLine {
                key: key.trim_end(),
                number,
                span: at..end,
                value: end - value.len()..end,
            });
        }
        number += logical.matches('\n').count();
        at = end;
    }
    found
}

/// The first logical line: as long as a line ends with a backslash, the next one belongs to it.
fn logical_line(text: &str) -> &str {
    let mut end = 0;
    let mut continued = false;
    for line in text.split_inclusive('\n') {
        end += line.len();
        let body = line.trim_end_matches(['\n', '\r']);
        // A comment between the lines of a value is skipped, and does not end it.
        if !body.trim_start().starts_with(['#', ';']) {
            continued = body.ends_with('\\');
        }
        if !continued {
            break;
        }
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
