//! systemd's command-line words: white space, both quotes, backslash escapes, `%%`, `$$`.

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
}

/// Splits a value of `ExecStart=`, continued lines included. Comment lines between are skipped.
pub(super) fn split(value: &str) -> Result<Vec<String>, WordError> {
    let joined = join_lines(value);
    let mut words = Vec::new();
    let mut chars = joined.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        let mut word = String::new();
        let mut quote = None;
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match (quote, c) {
                (None, c) if c.is_ascii_whitespace() => break,
                (None, '\'' | '"') => {
                    quote = Some(c);
                    quoted = true;
                }
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => word.push(escape(&mut chars)?),
                // Doubled, they are the character itself; other specifiers and variables are left as
                // they are: only systemd knows their value.
                (_, '%') => {
                    chars.next_if_eq(&'%');
                    word.push('%');
                }
                (_, '$') => {
                    chars.next_if_eq(&'$');
                    word.push('$');
                }
                (_, c) => word.push(c),
            }
        }
        if quote.is_some() {
            return Err(WordError::OpenQuote);
        }
        if word == ";" && !quoted {
            return Err(WordError::Semicolon);
        }
        words.push(word);
    }
}

/// A backslash at a line end is a blank.
fn join_lines(value: &str) -> String {
    let mut joined = String::new();
    for (index, line) in value.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if index > 0 && line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(line) => {
                joined.push_str(line);
                joined.push(' ');
            }
            None => joined.push_str(line),
        }
    }
    joined
}

fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, WordError> {
    let code = |digits: &str, radix| {
        u32::from_str_radix(digits, radix)
            .ok()
            .and_then(char::from_u32)
            .filter(|c| *c != '\0')
            .ok_or(WordError::Escape)
    };
    let mut take = |n: usize| -> String { chars.by_ref().take(n).collect() };
    match take(1).chars().next().ok_or(WordError::Escape)? {
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
    }
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
