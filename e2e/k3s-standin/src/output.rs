//! Writing to stdout, where a closed pipe is the reader's wish and no error.

use std::fmt::Display;
use std::io::Write as _;

/// Writes a line.
pub(crate) fn line(text: impl Display) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// Writes text as it is.
pub(crate) fn text(text: impl Display) {
    drop(write!(std::io::stdout().lock(), "{text}"));
}

/// Writes a line to stderr.
pub(crate) fn error_line(text: impl Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}
