//! A value over time, as samples show it: bounded, and honest about times at which nobody looked.

use serde::{Deserialize, Serialize};

/// Samples further apart than this are no continuous look, milliseconds.
pub(crate) const CONTINUOUS: i64 = 8_000;
/// Spans that are kept: of a value that changes more often the first and the last ones. What was between them is as
/// if nobody had looked.
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
}

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self { spans: Vec::new() }
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
        if let Some(last) = self.spans.last_mut()
            && at - last.until <= continuous
        {
            last.until = last.until.max(at);
            if last.value == value {
                return;
            }
        }
        if self.spans.len() >= MOST {
            self.spans.remove(MOST / 2);
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

    /// The latest value and since when it has been seen without a break, if it was seen a moment ago: an older one
    /// tells nothing of now.
    pub(crate) fn fresh(&self, now: i64) -> Option<&Span<T>> {
        self.spans
            .last()
            .filter(|span| now - span.until <= CONTINUOUS)
    }

    /// The last change up to `until`: the dates between which it was. They are the same unless nobody looked for a
    /// while. The first sample counts as a change.
    pub(crate) fn changed(&self, until: i64) -> Option<(i64, i64)> {
        let known = self.spans.iter().take_while(|span| span.from <= until);
        let mut before: Option<&Span<T>> = None;
        let mut found = None;
        for span in known {
            match before {
                None => found = Some((span.from, span.from)),
                Some(last) if last.value != span.value => found = Some((last.until, span.from)),
                Some(_) => {}
            }
            before = Some(span);
        }
        found
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
        let fresh = |now| track.fresh(now).map(|span| (span.from, span.value));
        assert_eq!(fresh(70_000), Some((65_000, true)));
        assert_eq!(fresh(80_000), None);
    }

    #[test]
    fn a_change_that_nobody_saw_is_between_two_samples() {
        let mut track = Track::default();
        assert_eq!(track.changed(9_000_000), None);
        for (at, value) in [
            (0, 1),
            (2000, 1),
            (4000, 2),
            (6000, 2),
            (90_000, 2),
            (190_000, 3),
        ] {
            track.see(at, value);
        }
        assert_eq!(track.changed(3000), Some((0, 0)));
        assert_eq!(track.changed(100_000), Some((4000, 4000)));
        assert_eq!(track.changed(200_000), Some((90_000, 190_000)));
    }

    #[test]
    fn what_flaps_is_bounded() {
        let mut track = Track::default();
        for at in 0..10_000 {
            track.see(at * 1000, at % 2 == 0);
        }
        assert_eq!(track.spans().len(), MOST);
        // The present is seen, and so is the beginning.
        assert_eq!(track.last(), Some(&false));
        assert_eq!(
            track.fresh(9_999_000).map(|span| span.from),
            Some(9_999_000)
        );
        track.see(10_000_000, true);
        assert_eq!(track.last(), Some(&true));
        assert_eq!(track.first(0, |up| !up), Some(1000));
        // What was not kept is no time that was observed.
        let kept = i64::try_from(MOST).unwrap() * 1000;
        assert_eq!(track.observed(0, 10_000_000), kept - 1000);
    }
}
