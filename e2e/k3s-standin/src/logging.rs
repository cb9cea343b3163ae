//! Log lines on stderr in the two formats k3s mixes: logrus' text format and klog's.

use std::fmt::Display;
use std::io::Write as _;

/// logrus levels that appear in the transcripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
    Fatal,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}

/// One logrus line: `time="…" level=info msg="…"`.
pub(crate) fn logrus_line(time: &str, level: Level, message: &str) -> String {
    format!(
        "time=\"{time}\" level={} msg={}",
        level.word(),
        quoted(message)
    )
}

/// logrus leaves a value bare when it consists of harmless characters only.
fn quoted(message: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if !message.is_empty() && message.chars().all(harmless) {
        return message.to_owned();
    }
    let mut out = String::with_capacity(message.len() + 2);
    out.push('"');
    for c in message.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Now, as RFC 3339 with whole seconds in UTC.
pub(crate) fn rfc3339_now() -> String {
    rfc3339(jiff::Timestamp::now())
}

/// RFC 3339 with whole seconds in UTC, the form of Kubernetes' `Time`.
pub(crate) fn rfc3339(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn write_line(line: &str) {
    // A log that cannot be written has nowhere to be reported.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

fn emit(level: Level, message: &dyn Display) {
    write_line(&logrus_line(&rfc3339_now(), level, &message.to_string()));
}

/// Logs at level info.
pub(crate) fn info(message: impl Display) {
    emit(Level::Info, &message);
}

/// Logs at level warning.
pub(crate) fn warn(message: impl Display) {
    emit(Level::Warning, &message);
}

/// Logs at level error.
pub(crate) fn error(message: impl Display) {
    emit(Level::Error, &message);
}

/// Logs at level fatal; the caller ends the process with status 1.
pub(crate) fn fatal(message: impl Display) {
    emit(Level::Fatal, &message);
}

/// A klog line; `severity` is `I`, `W` or `E`, `place` the file and line klog would name.
pub(crate) fn klog(severity: char, place: &str, message: impl Display) {
    let time = jiff::Timestamp::now().strftime("%m%d %H:%M:%S%.6f");
    write_line(&format!(
        "{severity}{time} {:>7} {place}] {message}",
        std::process::id()
    ));
}

/// A line that is already formatted, as the database writes its own.
pub(crate) fn raw(line: &str) {
    write_line(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_logrus_does() {
        let line = logrus_line("T", Level::Fatal, "Get \"https://a:6443/cacerts\": x");
        assert_eq!(
            line,
            r#"time="T" level=fatal msg="Get \"https://a:6443/cacerts\": x""#
        );
        assert_eq!(
            logrus_line("T", Level::Info, "plain"),
            "time=\"T\" level=info msg=plain"
        );
    }
}
