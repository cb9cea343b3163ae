//! Known values: found wherever they occur, as they are, in base64 and JSON-escaped. They are wiped from memory when
//! they are dropped; the automaton, which cannot be wiped, knows their first bytes alone.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Values of fewer bytes are not masked where they occur: that would only show where they do.
pub const MIN_SECRET: usize = 6;

/// A line of a multi-line secret counts by itself from this length on: logs break and indent texts.
const MIN_SECRET_LINE: usize = 40;

/// Bytes of a needle that the automaton looks for; the rest is compared where they are found.
const HEAD: usize = 4;

/// A text to look for.
type Needle = Zeroizing<Vec<u8>>;

pub(super) struct Exact {
    /// Each of at least [`MIN_SECRET`] bytes, in the automaton's order.
    needles: Vec<Needle>,
    /// Beginnings of needles that end with a line end, what a line's end may leave open: which needle, and how far.
    line_heads: Vec<(usize, usize)>,
    /// `None` when there is nothing to look for.
    automaton: Option<AhoCorasick>,
}

impl Exact {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles: Vec<Needle> = Vec::new();
        for secret in secrets {
            let secret = secret.trim_ascii();
            if secret.len() < MIN_SECRET {
                continue;
            }
            needles.push(needle(secret));
            needles.extend(base64_forms(secret));
            needles.extend(json_form(secret));
            if secret.contains(&b'\n') {
                needles.extend(
                    secret
                        .split(|b| *b == b'\n')
                        .map(<[u8]>::trim_ascii)
                        .filter(|line| line.len() >= MIN_SECRET_LINE && !line.contains(&b' '))
                        .map(needle),
                );
            }
        }
        needles.sort_unstable_by(|a, b| a.as_slice().cmp(b.as_slice()));
        needles.dedup();
        // Building fails only beyond two thousand million states, which no vault holds.
        let automaton = (!needles.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                // Built anew with every secret that comes: quick to build, quick enough.
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .build(needles.iter().map(|needle| &needle[..HEAD]))
                .expect("a vault's secrets are far below the automaton's limit")
        });
        let line_heads = (0..)
            .zip(&needles)
            .flat_map(|(index, needle)| {
                let ends = needle.iter().enumerate().filter(|(_, b)| **b == b'\n');
                ends.map(move |(at, _)| (index, at + 1))
            })
            .collect();
        Exact {
            needles,
            line_heads,
            automaton,
        }
    }

    /// Where known values stand; may overlap.
    pub(super) fn ranges(&self, text: &[u8]) -> Vec<Range<usize>> {
        self.automaton
            .iter()
            .flat_map(|automaton| automaton.find_overlapping_iter(text))
            .filter_map(|head| {
                let needle = &self.needles[head.pattern().as_usize()];
                let found = text[head.start()..].starts_with(needle);
                found.then(|| head.start()..head.start() + needle.len())
            })
            .collect()
    }

    /// `text`, which ends with a line end, may end in the middle of a known value.
    pub(super) fn open_line(&self, text: &[u8]) -> bool {
        self.line_heads
            .iter()
            .any(|(index, to)| text.ends_with(&self.needles[*index][..*to]))
    }

    /// Length of the longest beginning of a known value that `text` ends with, without being all of it.
    pub(super) fn open_tail(&self, text: &[u8]) -> usize {
        self.needles
            .iter()
            .map(|needle| {
                let longest = (needle.len() - 1).min(text.len());
                (1..=longest)
                    .rev()
                    .find(|n| text.ends_with(&needle[..*n]))
                    .unwrap_or(0)
            })
            .max()
            .unwrap_or(0)
    }
}

fn needle(text: &[u8]) -> Needle {
    Zeroizing::new(text.to_vec())
}

/// The value in base64 as a text of its own, and as it looks inside a longer text, at each of the three
/// alignments without the characters that depend on its neighbours.
fn base64_forms(secret: &[u8]) -> Vec<Needle> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for lead in 0..3usize {
            // Room for all of it: what grows leaves copies behind.
            let mut padded = Zeroizing::new(Vec::with_capacity(lead + secret.len()));
            padded.resize(lead, 0);
            padded.extend_from_slice(secret);
            let text = Zeroizing::new(engine.encode(padded.as_slice()));
            let from = [0, 2, 3][lead];
            // A last group of one or two bytes leaves one character that depends on what follows.
            let to = text.len() - usize::from(padded.len() % 3 != 0);
            if to > from && to - from >= MIN_SECRET {
                forms.push(needle(&text.as_bytes()[from..to]));
            }
        }
        forms.push(Zeroizing::new(engine.encode(secret).into_bytes()));
    }
    forms
}

/// The value as it looks inside a JSON string, if that differs.
fn json_form(secret: &[u8]) -> Option<Needle> {
    /// A control character becomes this many bytes, anything else fewer.
    const LONGEST: usize = 6;
    let text = std::str::from_utf8(secret).ok()?;
    let mut quoted = Zeroizing::new(Vec::with_capacity(LONGEST * secret.len() + 2));
    serde_json::to_writer(&mut *quoted, text).ok()?;
    let inner = quoted.get(1..quoted.len() - 1)?;
    (inner != secret).then(|| needle(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_wiped_knows_only_how_needles_begin() {
        let exact = Exact::new([&b"correct horse battery"[..], b"hunter2"]);
        let automaton = exact.automaton.as_ref().unwrap();
        assert_eq!(automaton.max_pattern_len(), HEAD);
        assert_eq!(automaton.patterns_len(), exact.needles.len());
    }

    #[test]
    fn a_needle_is_found_as_a_whole_and_wherever_it_begins() {
        let exact = Exact::new([&b"aaaaaab"[..], b"aaaaaac-long", b"hunter2"]);
        assert!(exact.ranges(b"aaaaaaa, hunt, hunter1").is_empty());
        assert_eq!(exact.ranges(b"xaaaaaaab hunter2"), [2..9, 10..17]);
        assert!(exact.ranges(b"aaaaaac-lon").is_empty());
        assert_eq!(exact.ranges(b"aaaaaac-long").first(), Some(&(0..12)));
        // One inside the other.
        let nested = Exact::new([&b"secret-one"[..], b"secret-one-and-more"]);
        let mut found = nested.ranges(b"secret-one-and-more");
        found.sort_by_key(|range| range.end);
        assert_eq!(found, [0..10, 0..19]);
    }
}
