//! Texts that are secret by their shape. Each pattern marks in group `s` what has to go.

use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;

/// What may stand between a flag and its value: blanks, `=`, `:`, a list's comma, and line ends where
/// [`open_flag`] saw that the value comes on the next line.
const GAP: &str = r#"(?:[ \t,=:]|\\?\r?\n[ \t]*(?:- )?)+"#;

/// A value: in quotes (escaped ones too), or up to a blank, a quote or the end of a list's item.
const VALUE: &str = r#"(?:\\?"(?P<s>[^"\\\n]+)|'(?P<t>[^'\n]+)|(?P<u>[^\s'",\\]+))"#;

/// Flags whose value is a secret.
const FLAGS: &str = "(?:token|agent-token|cluster-secret|datastore-endpoint|vpn-auth|etcd-s3-access-key|etcd-s3-secret-key|etcd-s3-session-token)";

/// Variables whose value is a secret.
const VARIABLES: &str = "(?:K3S_TOKEN|K3S_AGENT_TOKEN|K3S_CLUSTER_SECRET|K3S_DATASTORE_ENDPOINT|K3S_VPN_AUTH|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|GITHUB_TOKEN)";

/// Bytes, not characters: output need not be UTF-8, and `[^x]` must match any byte.
fn bytes_regex(text: &str) -> Regex {
    Regex::new(&format!("(?-u){text}")).expect("the patterns are constant and tested")
}

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // A whole private key, or one whose end has not come.
        r"(?s)(?P<s>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z))".to_owned(),
        // The end of one whose beginning is out of sight.
        r"(?P<s>[A-Za-z0-9+/=\\]*[ \t]*-----END [A-Z0-9 ]*PRIVATE KEY-----)".to_owned(),
        // k3s tokens.
        r#"(?P<s>\bK10[0-9A-Fa-f]{6,}::[^\s'"\\,]+)"#.to_owned(),
        // Flags on a command line, in a list of arguments, in a unit file.
        format!(r#"(?:^|[^A-Za-z0-9_-])--?{FLAGS}\\?['"]?{GAP}{VALUE}"#),
        // Flag and value inside one pair of quotes.
        format!(r#"'--?{FLAGS}=(?P<s>[^'\n]+)'|"--?{FLAGS}=(?P<t>[^"\n]+)""#),
        // The same names as keys of YAML and JSON.
        format!(r#"(?m)(?:^|[\s{{,])\\?["']?{FLAGS}\+?\\?["']?[ \t]*:[ \t]*(?:\\?"(?P<s>[^"\\\n]+)|'(?P<t>[^'\n]+)|(?P<u>[^\s'"\\{{\[,#][^\s,}}]*))"#),
        // Variables of environment files and shells.
        format!(r#"\b{VARIABLES}\\?["']?[ \t]*[=:][ \t]*(?:\\?"(?P<s>[^"\\\n]+)|'(?P<t>[^'\n]+)|(?P<u>[^\s'"\\,}}]+))"#),
        // Kubeconfig and Secret data.
        r#"\b(?:client-key-data|tls\.key)\\?["']?[ \t]*:[ \t]*\\?["']?(?P<s>[^\s'"\\,}]+)"#.to_owned(),
        r#"(?i)\bpassword\\?["']?[ \t]*[:=][ \t]*\\?["']?(?P<s>[^\s'"\\,}]+)"#.to_owned(),
        // JSON Web Tokens.
        r"(?P<s>\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,2})".to_owned(),
        // HTTP credentials.
        r#"(?i)\b(?:proxy-)?authorization\\?["']?[ \t]*[:=][ \t]*\\?["']?(?P<s>[^\r\n'"\\]+)"#.to_owned(),
        // Passwords inside URLs.
        r#"[A-Za-z][A-Za-z0-9+.-]*://[^\s:/@'"]*:(?P<s>[^\s@'"]+)@"#.to_owned(),
    ]
    .iter()
    .map(|text| bytes_regex(text))
    .collect()
});

/// A flag whose value comes on the next line: in a unit file (backslash), as an item of a YAML list, as
/// an item of a JSON list.
static OPEN_FLAG: LazyLock<Regex> = LazyLock::new(|| {
    bytes_regex(&format!(
        r#"(?m)(?:(?:^|[^A-Za-z0-9_-])--?{FLAGS}['"]?[ \t=]*\\\r?\n|^[ \t]*- ['"]?--?{FLAGS}['"]?[ \t]*\r?\n|["']--?{FLAGS}["'],[ \t]*\r?\n)\z"#
    ))
});

static BEGIN_KEY: LazyLock<Regex> =
    LazyLock::new(|| bytes_regex(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"));

static END_KEY: LazyLock<Regex> =
    LazyLock::new(|| bytes_regex(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"));

/// Where secrets stand; may overlap.
pub(super) fn ranges(text: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for pattern in PATTERNS.iter() {
        for found in pattern.captures_iter(text) {
            let group = found
                .name("s")
                .or_else(|| found.name("t"))
                .or_else(|| found.name("u"));
            if let Some(group) = group {
                ranges.push(group.range());
            }
        }
    }
    ranges
}

/// Where a private key begins whose end has not come.
pub(super) enum KeyBegin {
    /// Before this line.
    Before,
    /// At this place of the line.
    At(usize),
}

/// Whether a private key is open at the end of a line, given whether one is at its start.
pub(super) fn open_private_key(line: &[u8], open: bool) -> Option<KeyBegin> {
    #[cfg(test)]
    LOOKED_AT.with(|bytes| bytes.set(bytes.get() + line.len()));
    let mut begin = open.then_some(KeyBegin::Before);
    let mut at = 0;
    loop {
        if begin.is_some() {
            let Some(end) = END_KEY.find_at(line, at) else {
                return begin;
            };
            at = end.end();
        }
        let found = BEGIN_KEY.find_at(line, at)?;
        (begin, at) = (Some(KeyBegin::At(found.start())), found.end());
    }
}

#[cfg(test)]
thread_local! {
    /// Bytes that were searched for the beginning or end of a key.
    pub(super) static LOOKED_AT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The line ends with a flag whose value comes on the next line.
pub(super) fn open_flag(text: &[u8]) -> bool {
    OPEN_FLAG.is_match(text)
}
