//! The score of a drill. Its rule is stated in the report.

use coxswain_wire::{
    DrillAvailability, DrillPlane, DrillPoint, DrillScore, DrillScorePart, DrillVerdict,
};

use super::points::{EVICTION, LEADER, RECOVERY, REPLICAS, UNREADY};
use super::record::Record;
use super::report::{Subject, api_away};
use crate::drill_tables::seconds;

/// For the API: full points up to the downtime that was accepted, none from three times as much on.
const API: u32 = 40;
const APPLICATIONS: u32 = 20;
const ABORTED: u32 = 10;
/// For each point of time that is as expected.
const POINTS: [(&str, u32); 5] = [
    (LEADER, 5),
    (UNREADY, 5),
    (EVICTION, 5),
    (REPLICAS, 5),
    (RECOVERY, 10),
];

/// How it is made.
const RULE: &str = "The API counts 40, by the way that clients take, which is the load balancers or the cluster's endpoint: all of them if it was away for no longer than accepted, none from three times as much on, in proportion between. The applications count 20, in proportion to the time in which every workload had a ready replica. New etcd leader, NotReady, first eviction and all replicas ready count 5 each if as expected, recovery 10, and 10 if no abort rule ended the drill. What could not be observed does not count, for or against: the score is the share of the points that could be reached, of 100.";

/// Makes the score.
pub(crate) fn score(
    record: &Record,
    subject: &Subject<'_>,
    availability: &[DrillAvailability],
    points: &[DrillPoint],
) -> DrillScore {
    let mut parts = vec![api(subject, availability), applications(availability)];
    for (name, of) in POINTS {
        if let Some(point) = points.iter().find(|point| point.name == name) {
            parts.push(DrillScorePart {
                name: name.to_owned(),
                points: match point.verdict {
                    DrillVerdict::AsExpected => Some(of),
                    DrillVerdict::Worse => Some(0),
                    DrillVerdict::NotObserved => None,
                },
                of,
                why: point.observed.clone(),
            });
        }
    }
    let why = record.end.as_ref().and_then(|end| end.why.clone());
    parts.push(DrillScorePart {
        name: "No abort rule was needed".to_owned(),
        points: Some(if why.is_some() { 0 } else { ABORTED }),
        of: ABORTED,
        why: why.unwrap_or_else(|| "observed to the end".to_owned()),
    });
    let reached: u32 = parts.iter().filter_map(|part| part.points).sum();
    let of: u32 = parts
        .iter()
        .filter(|part| part.points.is_some())
        .map(|part| part.of)
        .sum();
    DrillScore {
        points: (of > 0).then(|| (reached * 100 + of / 2) / of),
        rule: RULE.to_owned(),
        parts,
    }
}

fn api(subject: &Subject<'_>, availability: &[DrillAvailability]) -> DrillScorePart {
    let away = api_away(availability, subject.ways);
    let accepted = i64::from(subject.downtime_s) * 1000;
    let points = away.map(|away| {
        let over = (away - accepted).max(0);
        let range = (accepted * 2).max(1);
        let left = (range - over).max(0) * i64::from(API) / range;
        u32::try_from(left).unwrap_or(0)
    });
    DrillScorePart {
        name: "API".to_owned(),
        points,
        of: API,
        why: away.map_or_else(
            || "not observed".to_owned(),
            |away| format!("away for {}, {} accepted", seconds(away), seconds(accepted)),
        ),
    }
}

fn applications(availability: &[DrillAvailability]) -> DrillScorePart {
    let served = availability
        .iter()
        .find(|a| a.plane == DrillPlane::Applications)
        .and_then(|a| Some((a.basis_points()?, a.away_ms)));
    DrillScorePart {
        name: "Applications".to_owned(),
        points: served
            .map(|(share, _)| u32::try_from(share * i64::from(APPLICATIONS) / 10_000).unwrap_or(0)),
        of: APPLICATIONS,
        why: served.map_or_else(
            || "not observed".to_owned(),
            |(_, away)| format!("a workload without a ready replica for {}", seconds(away)),
        ),
    }
}
