//! What ssh says when it cannot connect, as one of our errors. The words are OpenSSH's own, in English whatever
//! the locale.

use super::super::{HostConnection, UnreachableKind, WorldError};
use super::known_hosts;

/// Longest text of ssh's that is shown.
const SHOWN: usize = 300;

/// An error for the text that ssh left when no connection came about.
pub(super) fn connect_failure(host: &HostConnection, text: &str) -> WorldError {
    let has = |needle: &str| text.contains(needle);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED")
        || has("Host key verification failed")
        || has("no matching host key type found")
    {
        return WorldError::HostKeyChanged {
            host: host.name.clone(),
            pinned: known_hosts::fingerprints(host),
            shown: shown_fingerprints(text),
        };
    }
    if has("Permission denied (") || has("Too many authentication failures") {
        return WorldError::AuthenticationFailed {
            host: host.name.clone(),
            user: host.user.clone(),
        };
    }
    let kind = if has("Could not resolve hostname") {
        UnreachableKind::Dns
    } else if has("Connection refused") {
        UnreachableKind::Refused
    } else if has("timed out") {
        UnreachableKind::TimedOut
    } else {
        UnreachableKind::Closed
    };
    WorldError::Unreachable {
        target: host.name.clone(),
        kind,
        detail: last_words(text),
    }
}

/// ssh prints the fingerprint it saw on a line of its own, with a full stop.
fn shown_fingerprints(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim().trim_end_matches('.'))
        .filter(|line| line.starts_with("SHA256:"))
        .map(str::to_owned)
        .collect()
}

/// The last line that says something, without the control socket's noise.
fn last_words(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("ssh gave no reason");
    line.chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect()
}
