//! The report of a drill: a pure function of what was seen.

use coxswain_wire::{
    DrillAvailability, DrillFault, DrillPlane, DrillReport, DrillSpan, EarlierDrill, RunId,
    Timestamp,
};

use super::hypothesis::hypothesis;
use super::points::points;
use super::record::{Record, unseen};
use super::score;
use super::track::Track;

/// What a report is about, besides what was seen.
pub(crate) struct Subject<'a> {
    pub(crate) run: RunId,
    pub(crate) cluster: &'a str,
    pub(crate) victim: &'a str,
    pub(crate) fault: DrillFault,
    /// Seconds that were to be observed.
    pub(crate) planned_s: u32,
    /// Seconds that the API may be away.
    pub(crate) downtime_s: u32,
    /// Ways to the API that must stay.
    pub(crate) ways: &'a [String],
    pub(crate) earlier: &'a [DrillReport],
}

impl Subject<'_> {
    /// A killed k3s is back before anybody misses its node.
    pub(crate) fn comes_back(&self) -> bool {
        self.fault == DrillFault::Killed
    }
}

/// Makes the report.
pub(crate) fn report(record: &Record, subject: &Subject<'_>) -> DrillReport {
    let begin = record.fault_at;
    let ended = record.end.as_ref().map_or(begin, |end| end.at);
    let availability = availability(record, subject.victim, ended);
    let away = api_away(&availability, subject.ways);
    let mut points = points(record, subject, ended);
    points.insert(0, hypothesis(record, subject, away, ended));
    let gaps = record.gaps(begin, ended);
    let gaps = gaps.iter().map(|times| span(begin, *times)).collect();
    let score = score::score(record, subject, &availability, &points);
    DrillReport {
        run: subject.run,
        cluster: subject.cluster.to_owned(),
        victim: subject.victim.to_owned(),
        fault: subject.fault,
        started_at: Timestamp(begin),
        healed_at: record.healed_at.map(Timestamp),
        ended_at: Timestamp(ended),
        planned_s: subject.planned_s,
        aborted: record.end.as_ref().and_then(|end| end.why.clone()),
        points,
        availability,
        gaps,
        stuck: record.stuck.clone(),
        score,
        earlier: subject
            .earlier
            .iter()
            .map(|report| in_short(report, subject.ways))
            .collect(),
    }
}

/// How long the API was away at least, whichever of the ways that must stay was taken.
pub(crate) fn api_away(availability: &[DrillAvailability], ways: &[String]) -> Option<i64> {
    availability
        .iter()
        .filter(|a| a.plane == DrillPlane::ControlPlane && ways.contains(&a.name))
        .filter(|a| a.observed_ms > 0)
        .map(|a| a.away_ms)
        .min()
}

fn in_short(report: &DrillReport, ways: &[String]) -> EarlierDrill {
    EarlierDrill {
        run: report.run,
        started_at: report.started_at,
        victim: report.victim.clone(),
        score: report.score.points,
        aborted: report.aborted.is_some(),
        away_ms: api_away(&report.availability, ways),
        points: report
            .points
            .iter()
            .map(|point| (point.name.clone(), point.after_ms))
            .collect(),
    }
}

fn span(begin: i64, (from, until): (i64, i64)) -> DrillSpan {
    DrillSpan {
        from_ms: from - begin,
        until_ms: until - begin,
    }
}

/// How long something could be used between the fault and the end of the observation.
fn of_track<T: PartialEq>(
    (begin, ended): (i64, i64),
    plane: DrillPlane,
    name: &str,
    track: &Track<T>,
    is_away: impl Fn(&T) -> bool,
) -> DrillAvailability {
    let away = track.times(begin, ended, is_away);
    let lengths = || away.iter().map(|(from, until)| until - from);
    let spans = |times: &[(i64, i64)]| times.iter().map(|times| span(begin, *times)).collect();
    DrillAvailability {
        plane,
        name: name.to_owned(),
        away_ms: lengths().sum(),
        longest_ms: lengths().max().unwrap_or(0),
        observed_ms: track.observed(begin, ended),
        unseen: spans(&unseen(track, begin, ended)),
        away: spans(&away),
    }
}

fn availability(record: &Record, victim: &str, ended: i64) -> Vec<DrillAvailability> {
    let times = (record.fault_at, ended);
    let control = |name: &str, track: &Track<bool>| {
        of_track(times, DrillPlane::ControlPlane, name, track, |up| !up)
    };
    let mut all: Vec<DrillAvailability> = record
        .ways
        .iter()
        .map(|(name, track)| control(name, track))
        .collect();
    all.push(control("nodes listed by the others", &record.reads));
    // Of the others only those that were not Ready, too.
    let nodes = record.nodes.iter().map(|(name, track)| {
        let title = format!("{name} is Ready");
        let found = of_track(times, DrillPlane::Nodes, &title, track, |ready| !ready);
        (name == victim, found)
    });
    let nodes = nodes.filter(|(victim, found)| *victim || found.away_ms > 0);
    all.extend(nodes.map(|(_, found)| found));
    let plane = DrillPlane::Applications;
    let (workloads, name) = (&record.workloads, "every workload has a ready replica");
    all.push(of_track(times, plane, name, workloads, |now| {
        now.without > 0
    }));
    let name = "all replicas are ready";
    all.push(of_track(times, plane, name, workloads, |now| {
        now.ready < now.wanted
    }));
    all
}
