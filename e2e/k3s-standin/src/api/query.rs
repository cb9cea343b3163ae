//! Query strings.

use std::collections::BTreeMap;

/// Decoded query parameters; of repeated ones the last counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    values: BTreeMap<String, String>,
}

impl Query {
    /// Parses the part after `?`.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let values = text
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key), decode(value))
            })
            .collect();
        Self { values }
    }

    /// One parameter, if present.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A parameter with a value other than the empty one.
    pub(super) fn filled(&self, key: &str) -> Option<&str> {
        self.get(key).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there and not `false` or `0`.
    pub(super) fn switch(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| value != "false" && value != "0")
    }

    /// A whole number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let digits = String::from_utf8_lossy(&pair).into_owned();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let query = Query::parse(Some("fieldSelector=spec.nodeName%3Dn1&watch=1&verbose"));
        assert_eq!(query.get("fieldSelector"), Some("spec.nodeName=n1"));
        assert!(query.switch("watch") && query.switch("verbose") && !query.switch("nope"));
    }
}
