//! Takes terminal control sequences out of output, also when one is cut by the end of a chunk.

/// Where in a sequence the stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// Strips sequences from a stream.
#[derive(Debug, Default)]
pub(crate) struct Stripper {
    at: At,
}

impl Stripper {
    /// Appends the plain text of `raw` to `plain`. Of the control characters only tab, line feed and carriage
    /// return stay.
    pub(crate) fn strip(&mut self, raw: &str, plain: &mut String) {
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
}
