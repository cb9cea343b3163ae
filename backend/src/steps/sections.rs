//! Answers of scripts that print several things: `--- name` before each.

use std::collections::BTreeMap;

/// Splits the answer. Text before the first heading is dropped.
pub(crate) fn sections(text: &str) -> BTreeMap<&str, String> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("--- ") {
            found.entry(name).or_default();
            current = Some(name);
        } else if let Some(name) = current {
            let body = found.entry(name).or_default();
            body.push_str(line);
            body.push('\n');
        }
    }
    found
}

/// The value of a `KEY=value` line.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headings_and_values() {
        let found = sections("noise\n--- a\nX=1\nY=a=b\n--- b\n");
        assert_eq!(value(&found["a"], "Y"), Some("a=b"));
        assert_eq!(value(&found["a"], "Z"), None);
        assert_eq!(found["b"], "");
    }
}
