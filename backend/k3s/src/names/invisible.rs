//! Characters that are not seen, or make others be seen elsewhere than they are: what a person approves must be
//! what they read.

/// Unicode's default-ignorable code points, and those that turn the direction of text or break its lines. Control
/// characters are not among them.
const RANGES: [(char, char); 18] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// The first character of a text that is not seen, or moves others.
#[must_use]
pub fn invisible(text: &str) -> Option<char> {
    let hidden = |c: &char| {
        let within = |(first, last): &(char, char)| (first..=last).contains(&c);
        RANGES.iter().any(within)
    };
    text.chars().find(hidden)
}

/// The same for prose, where joiners and variants of signs belong to how some languages and emoji are written.
#[must_use]
pub fn unseen_in_prose(text: &str) -> Option<String> {
    let written = |c: &char| !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}');
    unseen(&text.chars().filter(written).collect::<String>())
}

/// Says so to who has typed it; nothing if all of it is seen.
#[must_use]
pub fn unseen(text: &str) -> Option<String> {
    let found = u32::from(invisible(text)?);
    Some(format!(
        "It holds a character that cannot be seen, or that turns the text around it (U+{found:04X}): type it anew."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_found() {
        for hidden in [
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{200f}",
            "\u{feff}a",
            "a\u{ad}b",
            "a\u{e0041}",
            "a\u{2028}b",
            "\u{3164}",
            "a\u{61c}",
            "a\u{fe0f}",
        ] {
            assert!(invisible(hidden).is_some(), "{hidden:?}");
        }
        for plain in [
            "",
            "a b",
            "Schlüssel für München",
            "e\u{301}",
            "кластер",
            "日本",
            "a\nb\t",
        ] {
            assert_eq!(invisible(plain), None, "{plain:?}");
        }
        assert_eq!(unseen_in_prose("tested \u{26a0}\u{fe0f}"), None);
        assert!(unseen_in_prose("a\u{202e}b").is_some());
    }
}
