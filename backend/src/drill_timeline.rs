//! The report of a failover drill as a drawing: what could be used when, and its points against what was expected.

use coxswain_wire::{
    DrillAvailability, DrillPoint, DrillReport, DrillSpan, DrillVerdict, Lane, LaneSpan, LaneState,
    Mark, Timeline,
};

use crate::drill_tables::{share, spans};

/// The drawing; it ends with the observation.
pub(crate) fn timeline(report: &DrillReport) -> Timeline {
    let until_ms = (report.ended_at.0 - report.started_at.0).max(1);
    let lanes = report.availability.iter();
    // The others are counted from another date.
    let marks = report.points.iter().filter(|point| !point.after_healing);
    Timeline {
        title: "What was available when".to_owned(),
        begin: "the fault".to_owned(),
        until_ms,
        lanes: lanes.map(|a| lane(a, &report.gaps, until_ms)).collect(),
        marks: marks
            .filter(|point| point.after_ms.is_some() || point.limit_ms.is_some())
            .map(mark)
            .collect(),
    }
}

fn lane(a: &DrillAvailability, gaps: &[DrillSpan], until_ms: i64) -> Lane {
    let state = |state| move |span: &DrillSpan| (span.from_ms, span.until_ms, state);
    let away = a.away.iter().map(state(LaneState::Bad));
    // Reports of an earlier version know only when there was no panel.
    let unseen = if a.unseen.is_empty() { gaps } else { &a.unseen };
    let mut odd: Vec<_> = away
        .chain(unseen.iter().map(state(LaneState::Unknown)))
        .collect();
    odd.sort_by_key(|(from, _, _)| *from);
    let mut words = format!("available {}", share(a.basis_points()));
    if !a.away.is_empty() {
        words.push_str(&format!(", away {}", spans(&a.away)));
    }
    if !unseen.is_empty() {
        words.push_str(&format!(", not observed {}", spans(unseen)));
    }
    Lane {
        name: a.name.clone(),
        spans: filled(&odd, until_ms),
        words,
    }
}

/// Times with a state of their own, in order, and what is good between them.
fn filled(odd: &[(i64, i64, LaneState)], until_ms: i64) -> Vec<LaneSpan> {
    let mut found = Vec::new();
    let mut at = 0;
    let ends = [(until_ms, until_ms, LaneState::Good)];
    for (from, until, state) in odd.iter().chain(&ends) {
        let (from, until) = ((*from).clamp(at, until_ms), (*until).clamp(at, until_ms));
        for (from_ms, until_ms, state) in [(at, from, LaneState::Good), (from, until, *state)] {
            if until_ms > from_ms {
                found.push(LaneSpan {
                    from_ms,
                    until_ms,
                    state,
                });
            }
        }
        at = until.max(at);
    }
    found
}

fn mark(point: &DrillPoint) -> Mark {
    Mark {
        name: point.name.clone(),
        at_ms: point.after_ms,
        limit_ms: point.limit_ms,
        observed: point.observed.clone(),
        expected: point.expected.clone(),
        state: match point.verdict {
            DrillVerdict::AsExpected => LaneState::Good,
            DrillVerdict::Worse => LaneState::Bad,
            DrillVerdict::NotObserved => LaneState::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_has_no_holes() {
        let spans = filled(
            &[
                (-500, 1000, LaneState::Bad),
                (4000, 6000, LaneState::Unknown),
                (5000, 7000, LaneState::Bad),
                (9000, 99_000, LaneState::Bad),
            ],
            10_000,
        );
        let seen: Vec<_> = spans
            .iter()
            .map(|s| (s.from_ms, s.until_ms, s.state))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 1000, LaneState::Bad),
                (1000, 4000, LaneState::Good),
                (4000, 6000, LaneState::Unknown),
                (6000, 7000, LaneState::Bad),
                (7000, 9000, LaneState::Good),
                (9000, 10_000, LaneState::Bad),
            ]
        );
        let all = filled(&[], 10_000);
        assert_eq!((all.len(), all[0].state), (1, LaneState::Good));
    }
}
