//! How lines of output are counted. A link names a line of a step: the panel, which counts what a page has not
//! loaded, and the page must agree on its number.

use serde::{Deserialize, Serialize};

use crate::OutputChunk;

/// Where in a sequence the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum At {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// Inside `ESC [ … final`.
    Control,
    /// Inside `ESC ] … BEL` or `ESC ] … ESC \` (and the other string sequences).
    Words(u16),
    /// After ESC inside a string sequence.
    StringEscape,
}

/// Takes terminal control sequences out of a stream, also when one is cut by the end of a chunk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stripper {
    at: At,
}

impl Stripper {
    /// Appends the plain text of `raw` to `plain`. Of the control characters only tab, line feed and carriage
    /// return stay.
    pub fn strip(&mut self, raw: &str, plain: &mut String) {
        for c in raw.chars() {
            self.at = match (self.at, c) {
                (At::Text, '\x1b') => At::Escape,
                (At::Text, c) => {
                    if !c.is_control() || matches!(c, '\t' | '\n' | '\r') {
                        plain.push(c);
                    }
                    At::Text
                }
                (At::Escape, '[') => At::Control,
                (At::Escape, ']' | 'P' | 'X' | '^' | '_') => At::Words(0),
                // Intermediate bytes, e.g. of a character set choice.
                (At::Escape, ' '..='/') => At::Escape,
                (At::Escape, _) => At::Text,
                (At::Control, '\x40'..='\x7e') => At::Text,
                // A line feed is never part of a sequence: better a stray byte than a lost line.
                (At::Control | At::Words(_) | At::StringEscape, '\n') => {
                    plain.push('\n');
                    At::Text
                }
                (At::Control, _) => At::Control,
                (At::Words(_), '\x07') | (At::StringEscape, _) | (At::Words(u16::MAX), _) => {
                    At::Text
                }
                (At::Words(_), '\x1b') => At::StringEscape,
                (At::Words(n), _) => At::Words(n + 1),
            };
        }
    }
}

/// Counts the lines of one step, over all its attempts, from 1. A line feed ends a line, and so does a new attempt;
/// what a terminal would not show begins none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LineCount {
    /// Lines begun so far.
    pub lines: u32,
    /// Latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// The latest line has not ended.
    pub open: bool,
    stripper: Stripper,
    #[serde(skip)]
    plain: String,
}

impl LineCount {
    /// Counts a chunk of the step, in order.
    pub fn take(&mut self, chunk: &OutputChunk) {
        if self.attempt != chunk.attempt {
            self.attempt = chunk.attempt;
            self.open = false;
            self.stripper = Stripper::default();
        }
        self.plain.clear();
        self.stripper.strip(&chunk.text, &mut self.plain);
        for c in self.plain.chars() {
            let begins = c != '\r' && !self.open;
            if begins {
                self.lines = self.lines.saturating_add(1);
            }
            match c {
                '\n' => self.open = false,
                '\r' => {}
                _ => self.open = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(parts: &[&str]) -> String {
        let mut stripper = Stripper::default();
        let mut plain = String::new();
        for part in parts {
            stripper.strip(part, &mut plain);
        }
        plain
    }

    #[test]
    fn colours_and_titles_go() {
        assert_eq!(
            strip(&["\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;u\x1b\\y\x1b(B"]),
            "red xy"
        );
    }

    #[test]
    fn a_cut_sequence_goes_too() {
        assert_eq!(strip(&["a\x1b", "[3", "2mb"]), "ab");
    }

    #[test]
    fn a_broken_sequence_never_takes_a_line() {
        assert_eq!(strip(&["\x1b]0;open\nnext"]), "\nnext");
    }

    #[test]
    fn bells_and_backspaces_go() {
        assert_eq!(strip(&["a\x07\x08b\tc\r\n"]), "ab\tc\r\n");
    }

    fn count(chunks: &[(u32, &str)]) -> (u32, bool) {
        let mut count = LineCount::default();
        for (attempt, text) in chunks {
            count.take(&OutputChunk {
                id: 1,
                step: 0,
                attempt: *attempt,
                at: crate::Timestamp(0),
                text: (*text).to_owned(),
            });
        }
        (count.lines, count.open)
    }

    #[test]
    fn lines_are_counted_as_they_are_shown() {
        assert_eq!(count(&[(1, "a\nb\r\n\nc")]), (4, true));
        assert_eq!(count(&[(1, "hel"), (1, "lo\n")]), (1, false));
        assert_eq!(count(&[(1, "half"), (2, "\n")]), (2, false));
        assert_eq!(count(&[(1, "a\n\x1b["), (1, "0m\r")]), (1, false));
    }
}
