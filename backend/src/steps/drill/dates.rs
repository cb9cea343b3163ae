//! When something was seen, by people who did not look all the time.

use coxswain_wire::DrillVerdict;

use super::record::Record;
use super::track::CONTINUOUS;
use crate::drill_tables::seconds;

/// When something happened, milliseconds after some other date: at the latest when it was seen, at the earliest when
/// somebody had looked before.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// When somebody had looked before.
    pub(super) earliest: i64,
    /// When it was seen.
    pub(super) latest: i64,
}

impl Seen {
    /// How it compares with a limit.
    pub(super) fn verdict(self, limit: i64) -> DrillVerdict {
        if self.latest <= limit {
            DrillVerdict::AsExpected
        } else if self.earliest > limit {
            DrillVerdict::Worse
        } else {
            DrillVerdict::NotObserved
        }
    }

    /// In words.
    pub(super) fn words(self) -> String {
        if self.earliest == self.latest {
            seconds(self.latest)
        } else {
            format!(
                "between {} and {}: nobody looked",
                seconds(self.earliest),
                seconds(self.latest)
            )
        }
    }
}

/// The dates of a drill.
pub(super) struct Dates {
    /// The fault.
    pub(super) begin: i64,
    /// The end of the observation.
    pub(super) ended: i64,
    /// When nobody looked.
    gaps: Vec<(i64, i64)>,
}

impl Dates {
    pub(super) fn of(record: &Record, ended: i64) -> Self {
        let last = record
            .looked
            .spans()
            .last()
            .map_or(ended, |span| span.until);
        Self {
            begin: record.fault_at,
            ended,
            gaps: record.gaps(record.fault_at, last.max(ended)),
        }
    }

    /// How long was observed.
    pub(super) fn watched(&self) -> i64 {
        self.ended - self.begin
    }

    /// What was first seen at a date, counted from another one. The first looks after a gap tell what may have happened in it.
    pub(super) fn seen(&self, from: i64, at: i64) -> Seen {
        let after = |gap: &&(i64, i64)| (gap.1..=gap.1 + CONTINUOUS).contains(&at);
        let earliest = self.gaps.iter().find(after).map_or(at, |gap| gap.0);
        Seen {
            earliest: (earliest - from).max(0),
            latest: (at - from).max(0),
        }
    }

    /// Why something that was never seen was not: it was not there, or nobody could see it.
    pub(super) fn missed(&self, limit: i64, not: &str) -> Missed {
        if self.watched() < limit {
            return Missed::Unknown(format!(
                "not observed: the observation ended after {}",
                seconds(self.watched())
            ));
        }
        match self.gaps.iter().find(|(from, _)| *from < self.ended) {
            Some((from, until)) => Missed::Unknown(format!(
                "not observed: nobody looked from {} to {}",
                seconds(from - self.begin),
                seconds(until - self.begin)
            )),
            None => Missed::Absent(not.to_owned()),
        }
    }
}

/// Why something was not seen.
pub(super) enum Missed {
    /// It was not there, in words.
    Absent(String),
    /// Nobody can tell, in words.
    Unknown(String),
}
