//! Whether one host reaches others. "Refused" proves the way as well as "open" does: the packet came
//! through and the other host answered. Silence is a filter in between, or no host.

use serde::{Deserialize, Serialize};

/// Tries each argument, `address:port` (IPv6 in brackets), side by side, at most 3 s each; prints a line
/// for each for [`parse_reach`]. Uses bash, else python3, else nc; without any of them it says `unknown`.
/// Only TCP: whether UDP 8472 passes cannot be proven this way.
pub const REACH_SCRIPT: &str = r##"#!/bin/sh
# Arguments: address:port … . Opens a connection to each and closes it again.
set -u
LC_ALL=C
export LC_ALL
has() { command -v "$1" >/dev/null 2>&1; }
attempt() {
    if has bash && has timeout; then
        timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1
    elif has python3; then
        python3 -c 'import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
except socket.timeout:
    sys.exit(124)
except OSError as e:
    print(e)
    sys.exit(1)' "$1" "$2" 2>&1
    elif has nc; then
        nc -z -v -w 3 "$1" "$2" 2>&1
    else
        return 99
    fi
}
try() {
    port=${1##*:}
    host=${1%:*}
    host=${host#\[}
    host=${host%\]}
    said=$(attempt "$host" "$port")
    status=$?
    case "$status $said" in
    0\ *) result=open ;;
    99\ *) result=unknown ;;
    *[Rr]efused*) result=refused ;;
    124\ * | *[Tt]imed\ out*) result=timeout ;;
    *[Nn]o\ route* | *unreachable*) result=unreachable ;;
    *[Nn]ot\ known* | *resol* | *[Nn]ame\ or\ service*) result=unresolved ;;
    *) result=unknown ;;
    esac
    printf '@reach %s %s\n' "$1" "$result"
}
for target; do try "$target" & done
wait
printf '@done\n'
"##;

/// What came of trying to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Somebody listens.
    Open,
    /// The host answers, nobody listens.
    Refused,
    /// Silence: filtered, or no such host.
    TimedOut,
    /// The network says no: no route, or a firewall that rejects.
    Unreachable,
    /// The name is not known there.
    Unresolved,
    /// No tool to try with, or an answer not understood.
    Unknown,
}

impl Reach {
    /// The way is free. `None`: not known.
    #[must_use]
    pub fn passes(self) -> Option<bool> {
        match self {
            Reach::Open | Reach::Refused => Some(true),
            Reach::TimedOut | Reach::Unreachable | Reach::Unresolved => Some(false),
            Reach::Unknown => None,
        }
    }
}

/// One target and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachability {
    /// As given: `address:port`.
    pub target: String,
    /// Result.
    pub reach: Reach,
}

/// Why the output is not the script's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer of the connection test ends early")]
pub struct ReachError;

/// Reads the script's output, in the order of completion.
///
/// # Errors
/// When the last line is missing.
pub fn parse_reach(output: &str) -> Result<Vec<Reachability>, ReachError> {
    let mut all = Vec::new();
    for line in output.lines() {
        if line == "@done" {
            return Ok(all);
        }
        let Some((target, result)) = line
            .strip_prefix("@reach ")
            .and_then(|rest| rest.rsplit_once(' '))
        else {
            continue;
        };
        let reach = match result {
            "open" => Reach::Open,
            "refused" => Reach::Refused,
            "timeout" => Reach::TimedOut,
            "unreachable" => Reach::Unreachable,
            "unresolved" => Reach::Unresolved,
            _ => Reach::Unknown,
        };
        all.push(Reachability {
            target: target.to_owned(),
            reach,
        });
    }
    Err(ReachError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::process::Command;

    #[test]
    fn tells_open_from_refused() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let open_at = target(&open);
        let refused_at = target(&TcpListener::bind("127.0.0.1:0").unwrap());
        for shell in ["sh", "bash"] {
            let output = Command::new(shell)
                .args([
                    "-c",
                    REACH_SCRIPT,
                    "reach",
                    &open_at,
                    &refused_at,
                    "no-such-name.invalid:1",
                ])
                .output()
                .unwrap();
            let found = parse_reach(&String::from_utf8(output.stdout).unwrap()).unwrap();
            let reach = |at: &str| found.iter().find(|r| r.target == at).unwrap().reach;
            assert_eq!(reach(&open_at), Reach::Open);
            assert_eq!(reach(&refused_at), Reach::Refused);
            assert_eq!(reach("no-such-name.invalid:1").passes(), Some(false));
        }
    }

    #[test]
    fn reads_results() {
        let text = "@reach [fd00::1]:2380 timeout\n@reach a:1 odd\nnoise\n@done\n";
        let found = parse_reach(text).unwrap();
        assert_eq!(found[0].target, "[fd00::1]:2380");
        assert_eq!(
            (found[0].reach, found[1].reach),
            (Reach::TimedOut, Reach::Unknown)
        );
        assert_eq!(parse_reach("@reach a:1 open\n"), Err(ReachError));
    }
}
