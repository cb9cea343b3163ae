//! systemd's command-line words: white space, both quotes, backslash escapes, `%%`, `$$`.

use std::ops::Range;

/// Why a text is not a list of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// A quote without its partner.
    #[error("a quote is not closed")]
    OpenQuote,
    /// `\x` without two hexadecimal digits and the like.
    #[error("a backslash escape is damaged")]
    Escape,
    /// Several commands in one line.
    #[error("several commands in one line are not supported")]
    Semicolon,
    /// A control character cannot stand in a word.
    #[error("a word contains a control character")]
    Control,
    /// Comments or odd line ends stand where words would be changed.
    #[error(
        "the command is laid out in a way that cannot be changed safely: write one word a line"
    )]
    Layout,
}

/// A word, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As k3s gets it, but for specifiers and variables.
    pub text: String,
    /// systemd perhaps fills something in: what k3s gets is not known.
    pub filled: bool,
    /// Its bytes in the value, quotes included.
    pub span: Range<usize>,
}

/// Splits a value of `ExecStart=`, continued lines included. Comment lines between are skipped.
pub(super) fn split(value: &str) -> Result<Vec<Word>, WordError> {
    let joined = join_lines(value);
    let mut words = Vec::new();
    let mut chars = joined.into_iter().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_ascii_whitespace()).is_some() {}
        let Some((start, _)) = chars.peek().copied() else {
            return Ok(words);
        };
        let mut text = String::new();
        let mut end = start;
        let mut quote = None;
        let mut quoted = false;
        let mut filled = false;
        while let Some((at, c)) =
            chars.next_if(|(_, c)| quote.is_some() || !c.is_ascii_whitespace())
        {
            end = at + c.len_utf8();
            match (quote, c) {
                (None, '\'' | '"') => {
                    quote = Some(c);
                    quoted = true;
                }
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => {
                    let (c, last) = escape(&mut chars)?;
                    // Filled in after the escapes.
                    filled |= matches!(c, '%' | '$');
                    text.push(c);
                    end = last + 1;
                }
                // Doubled, they are the character itself; other specifiers and variables are left as
                // they are: only systemd knows their value.
                (_, '%' | '$') => {
                    if let Some((at, _)) = chars.next_if(|(_, next)| *next == c) {
                        end = at + 1;
                    } else {
                        // A variable is a whole word, or stands in braces.
                        filled |= c == '%'
                            || text.is_empty()
                            || chars.peek().is_some_and(|(_, c)| *c == '{');
                    }
                    text.push(c);
                }
                (_, c) => text.push(c),
            }
        }
        if quote.is_some() {
            return Err(WordError::OpenQuote);
        }
        if text == ";" && !quoted {
            return Err(WordError::Semicolon);
        }
        words.push(Word {
            text,
            filled,
            span: start..end,
        });
    }
}

/// The value's characters and where each stands. A backslash at a line end is a blank.
fn join_lines(value: &str) -> Vec<(usize, char)> {
    let mut joined = Vec::new();
    let mut at = 0;
    for (index, whole) in value.split('\n').enumerate() {
        let start = at;
        at += whole.len() + 1;
        let line = whole.strip_suffix('\r').unwrap_or(whole);
        if index > 0 && line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (text, continued) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        joined.extend(text.char_indices().map(|(i, c)| (start + i, c)));
        if continued {
            joined.push((start + text.len(), ' '));
        }
    }
    joined
}

/// The character that an escape stands for, and where its last byte is: escapes are ASCII.
fn escape(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<(char, usize), WordError> {
    let code = |digits: &str, radix| {
        u32::from_str_radix(digits, radix)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| *c != '\0')
            .ok_or(WordError::Escape)
    };
    let mut last = 0;
    let mut take = |n: usize| -> String {
        let taken = chars.by_ref().take(n);
        taken
            .map(|(at, c)| {
                last = at;
                c
            })
            .collect()
    };
    let found = match take(1).chars().next().ok_or(WordError::Escape)? {
        'a' => Ok('\x07'),
        'b' => Ok('\x08'),
        'f' => Ok('\x0c'),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'v' => Ok('\x0b'),
        's' => Ok(' '),
        c @ ('\\' | '"' | '\'' | ';' | ' ' | '$' | '%') => Ok(c),
        'x' => code(&take(2), 16),
        'u' => code(&take(4), 16),
        'U' => code(&take(8), 16),
        c @ '0'..='7' => code(&format!("{c}{}", take(2)), 8),
        _ => Err(WordError::Escape),
    };
    found.map(|c| (c, last))
}

/// A word in single quotes, so that systemd reads the same word back.
pub(super) fn quote(word: &str) -> Result<String, WordError> {
    let mut text = String::from("'");
    for c in word.chars() {
        match c {
            c if c.is_control() => return Err(WordError::Control),
            // As the installer writes it: close, escaped quote, open.
            '\'' => text.push_str("'\\''"),
            '\\' => text.push_str("\\\\"),
            '%' => text.push_str("%%"),
            '$' => text.push_str("$$"),
            c => text.push(c),
        }
    }
    text.push('\'');
    Ok(text)
}
