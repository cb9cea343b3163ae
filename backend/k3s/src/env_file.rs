//! systemd environment files: `k3s.service.env` as the installer writes it, and those of our remote
//! jobs. Read by systemd's rules (systemd.exec, `EnvironmentFile=`), written so that it reads back the
//! same values.

use std::fmt;

use crate::flags;

/// Variables in the order of the file; a later one of the same name wins. `Debug` hides secret values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnvFile {
    entries: Vec<(String, String)>,
}

/// A variable that cannot be written. Never contains the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// Not letters, digits and underscores.
    #[error("{0:?} is not a name of an environment variable")]
    Name(String),
    /// A control character in the value.
    #[error("the value of {0} contains a control character")]
    Value(String),
}

impl EnvFile {
    /// Reads a file. Lines that systemd would ignore are ignored.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut entries = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let line_start = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            if line_start.starts_with(['#', ';']) {
                rest = after_comment(line_start);
                continue;
            }
            let Some(equals) = line_start.find(['=', '\n']) else {
                break;
            };
            let (name, after) = line_start.split_at(equals);
            let Some(after) = after.strip_prefix('=') else {
                rest = after;
                continue;
            };
            let (value, after) = read_value(after);
            if is_name(name.trim_end()) {
                entries.push((name.trim_end().to_owned(), value));
            }
            rest = after;
        }
        EnvFile { entries }
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .filter(|(n, _)| *n == name)
            .last()
            .map(|(_, value)| value)
    }

    /// Names and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The values of secret variables: what a redactor has to know.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        self.iter()
            .filter(|(name, _)| is_secret_variable(name))
            .map(|(_, value)| value.as_bytes().to_vec())
            .collect()
    }
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (
                    name,
                    if is_secret_variable(name) {
                        "‹secret›"
                    } else {
                        value
                    },
                )
            }))
            .finish()
    }
}

/// Whether a variable's value is a secret.
#[must_use]
pub fn is_secret_variable(name: &str) -> bool {
    flags::FLAGS
        .iter()
        .any(|flag| flag.secret && flag.env == Some(name))
}

/// Writes an environment file, one variable a line.
///
/// # Errors
/// When a name is none, or a value holds a control character other than a line end or tab.
pub fn render<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, EnvFileError> {
    let mut text = String::new();
    for (name, value) in entries {
        if !is_name(name) {
            return Err(EnvFileError::Name(name.to_owned()));
        }
        if value.chars().any(|c| c.is_control() && !"\n\t".contains(c)) {
            return Err(EnvFileError::Value(name.to_owned()));
        }
        text.push_str(name);
        text.push('=');
        let plain = value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./:,=@+".contains(c));
        if plain {
            text.push_str(value);
        } else {
            text.push('"');
            for c in value.chars() {
                if "\"\\$`".contains(c) {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push('"');
        }
        text.push('\n');
    }
    Ok(text)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A comment ends at the line end, unless a backslash stands before it.
fn after_comment(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '\n' if !escaped => return &text[at..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

/// Reads a value and gives back what stands after it.
fn read_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    // Blanks at the end of unquoted text do not belong to the value.
    let mut keep = 0;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None, '\n' | '\r') => {
                value.truncate(keep);
                return (value, &text[at..]);
            }
            (None, ' ' | '\t') => {
                if keep > 0 {
                    value.push(c);
                }
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                keep = value.len();
            }
            (None, '\\') => match chars.next() {
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => {
                    value.push(escaped);
                    keep = value.len();
                }
            },
            (Some('"'), '\\') => match chars.next() {
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => {
                    if !"\"\\$`".contains(escaped) {
                        value.push('\\');
                    }
                    value.push(escaped);
                }
            },
            (Some(open), c) if open == c => {
                quote = None;
                keep = value.len();
            }
            (Some(_) | None, c) => {
                value.push(c);
                keep = value.len();
            }
        }
    }
    value.truncate(keep.max(if quote.is_some() { value.len() } else { 0 }));
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_installer_writes() {
        // dash and bash print exported variables differently.
        let env = EnvFile::parse(
            "K3S_TOKEN='abc def'\nK3S_URL=\"https://a:6443\"\nHTTP_PROXY=http://p \n",
        );
        assert_eq!(env.get("K3S_TOKEN"), Some("abc def"));
        assert_eq!(env.get("K3S_URL"), Some("https://a:6443"));
        assert_eq!(env.get("HTTP_PROXY"), Some("http://p"));
        assert_eq!(env.secrets(), [b"abc def".to_vec()]);
        assert!(!format!("{env:?}").contains("abc"));
        assert_eq!(EnvFile::parse("").iter().count(), 0);
    }

    #[test]
    fn follows_systemd() {
        let env = EnvFile::parse(
            "# c=d\n; e=f\n\nA=1\nA=2\nB = x y  \nC=a\\\nb\nD='it'\"'\"'s'\nE=\"a\\\"\\$\\n\"\n0X=no\nnothing\nF=\nG=a\\ \n",
        );
        let shown: Vec<(&str, &str)> = env.iter().collect();
        assert_eq!(
            shown,
            [
                ("A", "1"),
                ("A", "2"),
                ("B", "x y"),
                ("C", "ab"),
                ("D", "it's"),
                ("E", "a\"$\\n"),
                ("F", ""),
                ("G", "a "),
            ]
        );
        assert_eq!(env.get("A"), Some("2"));
    }

    #[test]
    fn refuses_what_it_cannot_write() {
        assert!(matches!(render([("A B", "x")]), Err(EnvFileError::Name(_))));
        let error = render([("K3S_TOKEN", "sec\u{0}ret")]).unwrap_err();
        assert!(!error.to_string().contains("sec\u{0}"));
        assert_eq!(
            render([("A", "1"), ("B", "a b$")]).unwrap(),
            "A=1\nB=\"a b\\$\"\n"
        );
    }

    proptest! {
        #[test]
        fn round_trip(value in "[ -~\n\täö]{0,40}", other in "[ -~]{0,20}") {
            let text = render([("A", value.as_str()), ("B", other.as_str())]).unwrap();
            let env = EnvFile::parse(&text);
            prop_assert_eq!(env.get("A"), Some(value.as_str()));
            prop_assert_eq!(env.get("B"), Some(other.as_str()));
        }

        #[test]
        fn never_panics(text in "\\PC{0,80}|[ -~\n\\\\'\"=#]{0,80}") {
            let _ = EnvFile::parse(&text);
        }
    }
}
