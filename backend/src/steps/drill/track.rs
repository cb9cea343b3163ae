//! A value over time, as samples show it: bounded, and honest about times at which nobody looked.

use serde::{Deserialize, Serialize};

/// Samples further apart than this are no continuous look, milliseconds.
const CONTINUOUS: i64 = 8_000;
/// Changes that are kept; a value that flaps more often keeps its last state and a count.
const MOST: usize = 200;

/// A time with one value. Milliseconds of the panel's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span<T> {
    /// First sample.
    pub(crate) from: i64,
    /// Last sample, or the first one of the next value.
    pub(crate) until: i64,
    /// The value.
    pub(crate) value: T,
}

/// A value over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Track<T> {
    spans: Vec<Span<T>>,
    /// Changes that were not kept.
    #[serde(default)]
    dropped: u64,
}

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            dropped: 0,
        }
    }
}

impl<T: PartialEq> Track<T> {
    /// Takes a sample. Samples come in the order of their times.
    pub(crate) fn see(&mut self, at: i64, value: T) {
        self.see_within(at, value, CONTINUOUS);
    }

    /// The same of a value that is sampled more often: samples further apart than `continuous` milliseconds are
    /// no continuous look.
    pub(crate) fn see_within(&mut self, at: i64, value: T, continuous: i64) {
        let full = self.spans.len() >= MOST;
        if let Some(last) = self.spans.last_mut() {
            let joined = at - last.until <= continuous;
            if joined || full {
                last.until = last.until.max(at);
            }
            if full {
                self.dropped += u64::from(last.value != value || !joined);
                return;
            }
            if joined && last.value == value {
                return;
            }
        }
        self.spans.push(Span {
            from: at,
            until: at,
            value,
        });
    }

    /// In order.
    pub(crate) fn spans(&self) -> &[Span<T>] {
        &self.spans
    }

    /// The latest value.
    pub(crate) fn last(&self) -> Option<&T> {
        self.spans.last().map(|span| &span.value)
    }

    /// Since when the latest value has been seen without a break.
    pub(crate) fn since(&self) -> Option<(i64, &T)> {
        self.spans.last().map(|span| (span.from, &span.value))
    }

    /// The first time from `after` on at which the value was seen to be so.
    pub(crate) fn first(&self, after: i64, is: impl Fn(&T) -> bool) -> Option<i64> {
        self.spans
            .iter()
            .find(|span| (span.until > after || span.from >= after) && is(&span.value))
            .map(|span| span.from.max(after))
    }

    /// Times between two dates at which it was so.
    pub(crate) fn times(&self, from: i64, until: i64, is: impl Fn(&T) -> bool) -> Vec<(i64, i64)> {
        let mut found: Vec<(i64, i64)> = Vec::new();
        for span in self.spans.iter().filter(|span| is(&span.value)) {
            let (begin, end) = (span.from.max(from), span.until.min(until));
            if begin > end || (begin == end && span.from != begin) {
                continue;
            }
            match found.last_mut() {
                Some(last) if last.1 == begin => last.1 = end,
                Some(_) | None => found.push((begin, end)),
            }
        }
        found
    }

    /// Milliseconds between two dates for which there are samples.
    pub(crate) fn observed(&self, from: i64, until: i64) -> i64 {
        let times = self.times(from, until, |_| true);
        times.iter().map(|(begin, end)| end - begin).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_spans_and_gaps_stay_gaps() {
        let mut track = Track::default();
        for at in [0, 1000, 2000] {
            track.see(at, true);
        }
        track.see(3000, false);
        track.see(4000, false);
        track.see(5000, true);
        // The panel was dead for a minute.
        track.see(65_000, true);
        track.see(66_000, true);
        assert_eq!(track.times(0, 70_000, |up| !up), [(3000, 5000)]);
        assert_eq!(
            track.times(0, 70_000, |_| true),
            [(0, 5000), (65_000, 66_000)]
        );
        assert_eq!(track.observed(1000, 65_500), 4500);
        assert_eq!(track.first(1000, |up| *up), Some(1000));
        assert_eq!(track.first(3500, |up| *up), Some(5000));
        assert_eq!(track.since(), Some((65_000, &true)));
    }

    #[test]
    fn what_flaps_is_bounded() {
        let mut track = Track::default();
        for at in 0..10_000 {
            track.see(at * 1000, at % 2 == 0);
        }
        assert_eq!(track.spans().len(), MOST);
        assert_eq!(track.observed(0, 9_999_000), 9_999_000);
    }
}
