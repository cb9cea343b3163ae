//! k3s's log lines: logrus (`time=… level=… msg="…"`), klog (`E1122 05:53:20.249830 …] text`) and etcd's
//! JSON. And the fatal signs among them: a failed join is told by the journal, never by
//! `systemctl is-active`, because the unit restarts for ever (facts A, joining).

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Debug and trace.
    Debug,
    /// Ordinary.
    Info,
    /// Warning.
    Warning,
    /// Error; k3s goes on.
    Error,
    /// k3s exits after this line.
    Fatal,
}

/// One parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How grave.
    pub level: Level,
    /// The message, unescaped.
    pub message: String,
}

/// Why a node could not join or start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinFailure {
    /// The token is not this cluster's.
    WrongToken,
    /// The CA hash in the token belongs to another cluster.
    CaHashMismatch,
    /// The server to join does not answer.
    Unreachable,
    /// Flags that must be equal on all servers differ.
    CriticalFlags,
    /// A node of this name is already registered with another password.
    DuplicateNodeName,
    /// The data on this host was written with another token.
    OtherTokenData,
    /// The certificate of the server to join is not good for the name or address it was asked at.
    OtherNames,
    /// The certificate of the server to join does not verify for another reason: time, or another CA.
    Untrusted,
    /// Certificates or keys on this host differ from those in the database, and are younger.
    NewerOnDisk,
    /// This version of k3s does not know an argument it is given.
    UnknownFlag,
    /// k3s broke down without saying why.
    Crash,
    /// Any other fatal line.
    Other,
}

impl JoinFailure {
    /// What a person should do next.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            JoinFailure::WrongToken => {
                "The server refused the token. Read it again from the first server \
                 (/var/lib/rancher/k3s/server/token), then retry; if the token was rotated, restart every \
                 server with the new one first."
            }
            JoinFailure::CaHashMismatch => {
                "The token was made by another cluster, or something answers in the server's place. Check \
                 that the address is the cluster's own before you retry with its current token."
            }
            JoinFailure::Unreachable => {
                "The server to join does not answer on its port. Check its address, that k3s runs there, \
                 and that no firewall stands between the two hosts."
            }
            JoinFailure::CriticalFlags => {
                "Flags that must be equal on all servers differ. Compare the arguments and config.yaml of \
                 this host with those of the first server (cluster and service networks, flannel, \
                 disabled components, secrets encryption), make them equal, then retry."
            }
            JoinFailure::DuplicateNodeName => {
                "A node or an etcd member of this name is there already. Remove the old node from the cluster \
                 (its node-password Secret goes with it), or give this host another name."
            }
            JoinFailure::OtherTokenData => {
                "The database on this host was written with another token. After a restore: the snapshot \
                 needs the token of its time, and the database holds the restored data, so keep it. On a \
                 host that joins: it is a leftover of another cluster; clean the host up, then retry."
            }
            JoinFailure::OtherNames => {
                "k3s joins at a name or address that the cluster's certificate does not have. Add it with \
                 \u{201c}Change the API's names\u{201d}, then retry."
            }
            JoinFailure::Untrusted => {
                "The certificate that the server to join shows is not accepted. Compare the clocks of the two \
                 hosts, and check that the address leads to this cluster and not to another one."
            }
            JoinFailure::NewerOnDisk => {
                "k3s does not overwrite younger files. Stop k3s on this host and move the files that it names out \
                 of /var/lib/rancher/k3s/server (keep them); it makes them anew from the database when it starts."
            }
            JoinFailure::UnknownFlag => {
                "This version of k3s does not know the argument. Take it out of the arguments and of config.yaml \
                 (another version may name it differently), then retry."
            }
            JoinFailure::Crash => {
                "Read the last lines of its journal. A binary for another machine, a full disk or too little memory \
                 look like this."
            }
            JoinFailure::Other => {
                "Read the lines before this one in the journal of k3s on this host."
            }
        }
    }
}

/// A line after which k3s will not come up by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatalSign {
    /// What kind of failure.
    pub kind: JoinFailure,
    /// k3s's own message.
    pub message: String,
}

/// Reads one journal line, with or without journald's prefix. `None` if it is in none of the formats
/// (systemd's own lines, output of other programs).
#[must_use]
pub fn parse_line(line: &str) -> Option<LogLine> {
    logrus(line).or_else(|| json(line)).or_else(|| klog(line))
}

/// What a server logs when it refuses somebody else's request (k3s, `pkg/util`, `SendError`): an agent with an
/// old token, not a failure of this node.
const REFUSES_ANOTHER: [&str; 2] = ["Sending HTTP ", "Sending HTTP/"];

/// etcd lets in one learner at a time: k3s dies of it, and gets in when systemd has started it again.
const WAITS_FOR_MEMBERS: [&str; 3] = [
    "Waiting for other members to finish joining",
    "too many learner members",
    "unhealthy cluster",
];

/// What newer versions say, as an error, before they end (k3s, `pkg/signals`); the reason follows.
const GIVES_UP: &str = "Shutdown request received: ";

/// What k3s says around a failure to talk to the server it joins.
const JOINING: [&str; 4] = [
    "preparing server: ",
    "CA cert validation failed",
    "alidate connection to cluster",
    "/cacerts",
];

/// An agent without its certificates, which asks a server for them again and again.
const AGENT_ASKS: &str = "Waiting to retrieve agent configuration";

impl FatalSign {
    /// k3s asks again by itself: one such line alone is no failure yet.
    #[must_use]
    pub fn asks_again(&self) -> bool {
        self.kind == JoinFailure::WrongToken && self.message.starts_with(AGENT_ASKS)
    }
}

/// The fatal sign in a line, if it is one.
#[must_use]
pub fn fatal_sign(line: &str) -> Option<FatalSign> {
    if let Some(sign) = raw_sign(line) {
        return Some(sign);
    }
    // Only k3s's own lines tell why it does not come up: what Kubernetes and etcd log inside it is of others too.
    let (LogLine { level, message }, known) = match logrus(line) {
        Some(line) => {
            let known = known_failure(&line.message);
            (line, known)
        }
        None => (json(line).or_else(|| klog(line))?, None),
    };
    if REFUSES_ANOTHER.iter().any(|text| message.starts_with(text))
        || WAITS_FOR_MEMBERS.iter().any(|text| message.contains(text))
    {
        return None;
    }
    let kind = match (known, level) {
        // Servers die of this; agents ask again for ever at a lower level.
        (Some(JoinFailure::DuplicateNodeName), _) => JoinFailure::DuplicateNodeName,
        (Some(kind), Level::Fatal) => kind,
        (
            Some(
                kind @ (JoinFailure::WrongToken
                | JoinFailure::CaHashMismatch
                | JoinFailure::CriticalFlags
                | JoinFailure::OtherTokenData
                | JoinFailure::OtherNames),
            ),
            Level::Error,
        ) => kind,
        (None, Level::Fatal) => JoinFailure::Other,
        (Some(JoinFailure::WrongToken), Level::Info) if message.starts_with(AGENT_ASKS) => {
            JoinFailure::WrongToken
        }
        // An unreachable server may come back: only k3s giving up counts.
        (_, Level::Error | Level::Warning | Level::Info | Level::Debug) => return None,
    };
    Some(FatalSign { kind, message })
}

/// What Go and the parser of the command line say, in no format.
fn raw_sign(line: &str) -> Option<FatalSign> {
    const UNKNOWN_FLAG: &str = "flag provided but not defined";
    let (kind, message) = if ["panic: ", "fatal error: "]
        .iter()
        .any(|start| line.starts_with(start))
    {
        (JoinFailure::Crash, line)
    } else if logrus(line).is_none() {
        (JoinFailure::UnknownFlag, &line[line.find(UNKNOWN_FLAG)?..])
    } else {
        return None;
    };
    Some(FatalSign {
        kind,
        message: message.trim().to_owned(),
    })
}

/// The last fatal sign of a piece of journal: with a restarting unit the latest start counts.
#[must_use]
pub fn last_fatal_sign(journal: &str) -> Option<FatalSign> {
    journal.lines().rev().find_map(fatal_sign)
}

fn known_failure(message: &str) -> Option<JoinFailure> {
    let has = |needle: &str| message.contains(needle);
    if has("token CA hash does not match") {
        Some(JoinFailure::CaHashMismatch)
    } else if has("critical configuration value mismatch") {
        Some(JoinFailure::CriticalFlags)
    } else if has("Node password rejected")
        || has("duplicate hostname")
        || has("duplicate node name")
    {
        Some(JoinFailure::DuplicateNodeName)
    } else if has("encrypted with different token") {
        Some(JoinFailure::OtherTokenData)
    } else if has("newer than datastore and could cause a cluster outage") {
        Some(JoinFailure::NewerOnDisk)
    } else if has("flag provided but not defined") {
        Some(JoinFailure::UnknownFlag)
    } else if (has("/v1-k3s/") || has("/cacerts")) && has("401 Unauthorized")
        || has("token is not valid")
        || has("failed to validate token") && has("401")
        || (message.starts_with(AGENT_ASKS) || JOINING.iter().any(|text| has(text)))
            && message.ends_with("not authorized")
    {
        Some(JoinFailure::WrongToken)
    } else if JOINING.iter().any(|text| has(text))
        && (has("x509: certificate is valid for") || has("doesn't contain any IP SANs"))
    {
        Some(JoinFailure::OtherNames)
    } else if has("CA cert validation failed") {
        Some(JoinFailure::Untrusted)
    } else if has("failed to get CA certs") || has("failed to validate connection to cluster") {
        Some(JoinFailure::Unreachable)
    } else {
        None
    }
}

fn logrus(line: &str) -> Option<LogLine> {
    let start = line.find("level=").filter(|at| {
        *at == 0
            || line
                .as_bytes()
                .get(at - 1)
                .is_some_and(u8::is_ascii_whitespace)
    })?;
    let rest = &line[start + "level=".len()..];
    let (level, rest) = rest.split_once(' ')?;
    let level = level_name(level)?;
    let rest = &rest[rest.find("msg=")? + "msg=".len()..];
    let message = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted),
        None => rest.split(' ').next().unwrap_or_default().to_owned(),
    };
    let gives_up = message.strip_prefix(GIVES_UP);
    Some(match gives_up.filter(|_| level == Level::Error) {
        Some(why) => LogLine {
            level: Level::Fatal,
            message: why.trim_matches('"').to_owned(),
        },
        None => LogLine { level, message },
    })
}

/// Reads up to the closing quote, undoing Go's escapes.
fn unquote(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

fn level_name(name: &str) -> Option<Level> {
    match name {
        "trace" | "debug" => Some(Level::Debug),
        "info" => Some(Level::Info),
        "warning" | "warn" => Some(Level::Warning),
        "error" => Some(Level::Error),
        "fatal" | "panic" | "dpanic" => Some(Level::Fatal),
        _ => None,
    }
}

fn json(line: &str) -> Option<LogLine> {
    #[derive(serde::Deserialize)]
    struct Zap {
        level: String,
        msg: String,
        error: Option<String>,
    }
    let object = &line[line.find('{')?..];
    let zap: Zap = serde_json::from_str(object).ok()?;
    Some(LogLine {
        level: level_name(&zap.level)?,
        message: match zap.error {
            Some(error) => format!("{}: {error}", zap.msg),
            None => zap.msg,
        },
    })
}

/// `E1122 05:53:20.249830    2813 leaderelection.go:306] text`
fn klog(line: &str) -> Option<LogLine> {
    // Behind journald's prefix the header follows ": ".
    let header_at = [Some(0), line.find("]: ").map(|at| at + 3)]
        .into_iter()
        .flatten()
        .find(|at| is_klog_header(&line.as_bytes()[*at..]))?;
    let line = &line[header_at..];
    let level = match line.as_bytes().first()? {
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        b'F' => Level::Fatal,
        _ => return None,
    };
    let message = &line[line.find("] ")? + 2..];
    Some(LogLine {
        level,
        message: message.to_owned(),
    })
}

fn is_klog_header(bytes: &[u8]) -> bool {
    bytes.len() > 6
        && b"IWEF".contains(&bytes[0])
        && bytes[1..5].iter().all(u8::is_ascii_digit)
        && bytes[5] == b' '
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILURES: &str = include_str!("../tests/recorded/join-failures.txt");
    const QUORUM: &str = include_str!("../tests/recorded/quorum-loss.txt");

    #[test]
    fn tells_the_recorded_failures_apart() {
        let kinds: Vec<JoinFailure> = FAILURES
            .lines()
            .filter_map(|line| fatal_sign(line).map(|sign| sign.kind))
            .collect();
        assert_eq!(
            kinds,
            [
                JoinFailure::WrongToken,
                JoinFailure::CaHashMismatch,
                JoinFailure::Unreachable,
                JoinFailure::CriticalFlags
            ]
        );
    }

    #[test]
    fn unescapes_messages() {
        let sign = FAILURES
            .lines()
            .filter_map(fatal_sign)
            .find(|sign| sign.kind == JoinFailure::Unreachable)
            .unwrap();
        assert!(
            sign.message
                .contains("Get \"https://172.30.55.99:6443/cacerts\"")
        );
    }

    #[test]
    fn losing_the_leader_is_fatal_its_neighbours_are_not() {
        let signs: Vec<FatalSign> = QUORUM.lines().filter_map(fatal_sign).collect();
        assert_eq!(signs.len(), 2, "{signs:?}");
        assert_eq!(
            last_fatal_sign(QUORUM).unwrap().message,
            "leaderelection lost for k3s"
        );
        let levels: Vec<Level> = QUORUM
            .lines()
            .filter_map(parse_line)
            .map(|l| l.level)
            .collect();
        assert!(levels.contains(&Level::Error));
    }

    #[test]
    fn reads_behind_a_journald_prefix() {
        let line = "Nov 22 05:46:18 node13 k3s[123]: time=\"2026-11-22T05:46:18Z\" level=fatal msg=\"Service nosuch is not recognized\"";
        assert_eq!(fatal_sign(line).unwrap().kind, JoinFailure::Other);
        let line = "Nov 22 05:53:20 node10 k3s[2813]: E1122 05:53:20.249830    2813 leaderelection.go:306] Failed to release lock";
        assert_eq!(parse_line(line).unwrap().message, "Failed to release lock");
    }

    #[test]
    fn what_others_do_wrong_is_no_sign() {
        let others = [
            r#"time="x" level=error msg="Sending HTTP 401 response to 10.0.0.9:41234: not authorized""#,
            r#"time="x" level=error msg="Sending HTTP/1.1 401 response to 10.0.0.9:41234: not authorized""#,
            r#"time="x" level=error msg="Sending HTTP 403 response to 10.0.0.9:41234: Node password rejected""#,
            "E1122 05:53:20.249830    2813 claims.go:126] service account token is not valid yet",
            r#"time="x" level=fatal msg="starting kubernetes: preparing server: Waiting for other members to finish joining etcd cluster: etcdserver: too many learner members in cluster""#,
        ];
        for line in others {
            assert_eq!(fatal_sign(line), None, "{line}");
        }
    }

    #[test]
    fn signs_of_newer_versions() {
        let sign = |line: &str| fatal_sign(line).map(|s| s.kind);
        assert_eq!(
            sign(
                r#"time="x" level=fatal msg="ETCD join failed: duplicate node name found, please use a unique name for this node""#
            ),
            Some(JoinFailure::DuplicateNodeName)
        );
        assert_eq!(
            sign(
                r#"time="x" level=info msg="Waiting to retrieve agent configuration; server is not ready: Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match""#
            ),
            Some(JoinFailure::DuplicateNodeName)
        );
        assert_eq!(
            sign(
                r#"time="x" level=fatal msg="starting kubernetes: preparing server: bootstrap data already found and encrypted with different token""#
            ),
            Some(JoinFailure::OtherTokenData)
        );
        assert_eq!(
            sign(
                r#"time="x" level=error msg="Failed to validate connection to cluster at https://10.0.0.1:6443: failed to get CA certs: dial tcp""#
            ),
            None
        );
        assert_eq!(sign("k3s.service: Failed with result 'exit-code'."), None);
        assert_eq!(
            sign(r#"{"level":"fatal","msg":"discovery failed","error":"x"}"#),
            Some(JoinFailure::Other)
        );
    }

    #[test]
    fn signs_of_a_certificate_that_is_not_for_the_name() {
        let sign = |line: &str| fatal_sign(line).map(|s| s.kind);
        let names = r#"CA cert validation failed: Get \"https://10.0.0.9:6443/cacerts\": tls: failed to verify certificate: x509: certificate is valid for 10.43.0.1, 127.0.0.1, not 10.0.0.9"#;
        assert_eq!(
            sign(&format!(
                r#"time="x" level=fatal msg="starting kubernetes: preparing server: {names}""#
            )),
            Some(JoinFailure::OtherNames)
        );
        assert_eq!(
            sign(&format!(
                r#"time="x" level=error msg="Failed to validate connection to cluster at https://10.0.0.9:6443: {names}""#
            )),
            Some(JoinFailure::OtherNames)
        );
        // A server asks itself, too, before its certificate is there: only k3s giving up counts.
        assert_eq!(
            sign(
                r#"time="x" level=fatal msg="CA cert validation failed: Get \"https://10.0.0.9:6443/cacerts\": x509: certificate has expired or is not yet valid""#
            ),
            Some(JoinFailure::Untrusted)
        );
        // A tunnel of a server that runs.
        assert_eq!(
            sign(
                r#"time="x" level=error msg="Remotedialer proxy error; reconnecting: x509: certificate is valid for 10.0.0.1, not 10.0.0.2""#
            ),
            None
        );
    }

    #[test]
    fn signs_of_files_flags_and_crashes() {
        let sign = |line: &str| fatal_sign(line).map(|s| s.kind);
        assert_eq!(
            sign(
                r#"time="x" level=fatal msg="/var/lib/rancher/k3s/server/cred/passwd newer than datastore and could cause a cluster outage. Remove the file(s) from disk and restart to be recreated from datastore.""#
            ),
            Some(JoinFailure::NewerOnDisk)
        );
        assert_eq!(
            fatal_sign("Incorrect Usage: flag provided but not defined: -nosuch"),
            Some(FatalSign {
                kind: JoinFailure::UnknownFlag,
                message: "flag provided but not defined: -nosuch".to_owned()
            })
        );
        assert_eq!(
            sign(r#"time="x" level=fatal msg="flag provided but not defined: -nosuch""#),
            Some(JoinFailure::UnknownFlag)
        );
        assert_eq!(
            sign("panic: runtime error: invalid memory address or nil pointer dereference"),
            Some(JoinFailure::Crash)
        );
        let asks = r#"level=info msg="Waiting to retrieve agent configuration; server is not ready: failed to retrieve configuration from server: https://127.0.0.1:6444/v1-k3s/config: 401 Unauthorized""#;
        assert_eq!(sign(asks), Some(JoinFailure::WrongToken));
        assert_eq!(
            sign(&asks.replace("401 Unauthorized", "503 Service Unavailable")),
            None
        );
        let joining = r#"level=fatal msg="Error: preparing server: failed to bootstrap cluster data: not authorized""#;
        assert_eq!(sign(joining), Some(JoinFailure::WrongToken));
        // What a server says of a request that it refuses.
        let refusing =
            r#"time="x" level=error msg="Unable to authenticate the request: not authorized""#;
        assert_eq!(sign(refusing), None);
    }

    proptest! {
        #[test]
        fn never_panics(line in "\\PC{0,120}") {
            let _ = fatal_sign(&line);
            let _ = fatal_sign(&format!("level=fatal msg=\"{line}"));
            let _ = fatal_sign(&format!("E1122 {line}]: "));
        }
    }
}
