//! Known values: found wherever they occur, as they are, in base64 and JSON-escaped.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Values of fewer bytes are not masked where they occur: that would only show where they do.
pub const MIN_SECRET: usize = 6;

/// A line of a multi-line secret counts by itself from this length on: logs break and indent texts.
const MIN_SECRET_LINE: usize = 40;

pub(super) struct Exact {
    needles: Vec<Vec<u8>>,
    /// Beginnings of needles that end with a line end: what a line's end may leave open.
    line_heads: Vec<Vec<u8>>,
    /// `None` when there is nothing to look for.
    automaton: Option<AhoCorasick>,
}

impl Exact {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles: BTreeSet<Vec<u8>> = BTreeSet::new();
        for secret in secrets {
            let secret = secret.trim_ascii();
            if secret.len() < MIN_SECRET {
                continue;
            }
            needles.insert(secret.to_vec());
            needles.extend(base64_forms(secret));
            needles.extend(json_form(secret));
            if secret.contains(&b'\n') {
                needles.extend(
                    secret
                        .split(|b| *b == b'\n')
                        .map(<[u8]>::trim_ascii)
                        .filter(|line| line.len() >= MIN_SECRET_LINE && !line.contains(&b' '))
                        .map(<[u8]>::to_vec),
                );
            }
        }
        let needles: Vec<Vec<u8>> = needles.into_iter().collect();
        // Building fails only beyond two thousand million states, which no vault holds.
        let automaton = (!needles.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                // Built anew with every secret that comes, and keys are long: quick to build, quick enough.
                .kind(Some(AhoCorasickKind::NoncontiguousNFA))
                .build(&needles)
                .expect("a vault's secrets are far below the automaton's limit")
        });
        let line_heads = needles
            .iter()
            .flat_map(|needle| {
                let ends = needle.iter().enumerate().filter(|(_, b)| **b == b'\n');
                ends.map(|(at, _)| needle[..=at].to_vec())
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
            .map(|found| found.range())
            .collect()
    }

    /// `text`, which ends with a line end, may end in the middle of a known value.
    pub(super) fn open_line(&self, text: &[u8]) -> bool {
        self.line_heads.iter().any(|head| text.ends_with(head))
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

/// The value in base64 as a text of its own, and as it looks inside a longer text, at each of the three
/// alignments without the characters that depend on its neighbours.
fn base64_forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for lead in 0..3usize {
            let padded = [vec![0; lead], secret.to_vec()].concat();
            let text = engine.encode(&padded);
            let from = [0, 2, 3][lead];
            // A last group of one or two bytes leaves one character that depends on what follows.
            let to = text.len() - usize::from(padded.len() % 3 != 0);
            if to > from && to - from >= MIN_SECRET {
                forms.push(text.as_bytes()[from..to].to_vec());
            }
        }
        forms.push(engine.encode(secret).into_bytes());
    }
    forms
}

/// The value as it looks inside a JSON string, if that differs.
fn json_form(secret: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(secret).ok()?;
    let quoted = serde_json::to_string(text).ok()?;
    let inner = quoted.as_bytes().get(1..quoted.len() - 1)?;
    (inner != secret).then(|| inner.to_vec())
}
