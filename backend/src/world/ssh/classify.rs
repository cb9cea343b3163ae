//! What ssh says when it cannot connect, as one of our errors. The words are OpenSSH's own, in English whatever
//! the locale.

use super::super::{HostConnection, UnreachableKind, WorldError};
use super::known_hosts;

/// Longest text of ssh's that is shown.
const SHOWN: usize = 300;
/// The C library's words for EHOSTUNREACH, ENETUNREACH, ENETDOWN and EHOSTDOWN.
const NO_ROUTE: [&str; 4] = [
    "No route to host",
    "Network is unreachable",
    "Network is down",
    "Host is down",
];

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
    } else if NO_ROUTE.iter().any(|words| has(words)) {
        UnreachableKind::NoRoute
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

#[cfg(test)]
mod tests {
    use coxswain_wire::HostId;

    use super::*;

    fn kind(text: &str) -> UnreachableKind {
        let host = HostConnection {
            id: HostId(1),
            name: "node1".to_owned(),
            address: "10.0.0.1".to_owned(),
            port: 22,
            user: "root".to_owned(),
            pinned: Vec::new(),
            private_key: crate::world::Secret::new(""),
            generation: 1,
        };
        let error = connect_failure(&host, text);
        let WorldError::Unreachable { kind, .. } = error else {
            panic!("{error:?}")
        };
        kind
    }

    #[test]
    fn a_machine_that_does_not_answer_is_told_from_one_that_hangs_up() {
        for (text, expected) in [
            (
                "ssh: connect to host 10.0.0.1 port 22: No route to host",
                UnreachableKind::NoRoute,
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: Network is unreachable",
                UnreachableKind::NoRoute,
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: Connection timed out",
                UnreachableKind::TimedOut,
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22",
                UnreachableKind::Closed,
            ),
            (
                "kex_exchange_identification: read: Connection reset by peer",
                UnreachableKind::Closed,
            ),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
