//! The report of a drill: a pure function of what was seen.

use coxswain_wire::{
    DrillAvailability, DrillFault, DrillPlane, DrillPoint, DrillReport, DrillSpan, DrillVerdict,
    EarlierDrill, RunId, Timestamp,
};

use super::record::Record;
use super::score;

/// A new leader has to be there after so long, milliseconds: a lost leader without transfer takes about 7 s.
const ELECTED: i64 = 15_000;
/// A dead node has to be NotReady after so long: a grace period of 40 s, 50 s from Kubernetes 1.32 on, and the
/// time between two looks of the controller.
const NOT_READY: i64 = 60_000;
/// Pods have to be evicted so long after their node is NotReady: the toleration of 300 s, and the taint 5 s later.
const EVICTED: i64 = 315_000;
/// All replicas have to be ready so long after the first eviction.
const REPLACED: i64 = 120_000;
/// Everything has to be as before so long after the fault was taken away.
const RECOVERED: i64 = 120_000;

/// Names of points, by which drills are compared.
pub(crate) const LEADER: &str = "New etcd leader";
pub(crate) const UNREADY: &str = "Node NotReady";
pub(crate) const EVICTION: &str = "First eviction";
pub(crate) const REPLICAS: &str = "All replicas ready";
pub(crate) const RECOVERY: &str = "Recovery, after the fault was taken away";

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
    fn comes_back(&self) -> bool {
        self.fault == DrillFault::Killed
    }
}

/// Makes the report.
pub(crate) fn report(record: &Record, subject: &Subject<'_>) -> DrillReport {
    let begin = record.fault_at;
    let ended = record.end.as_ref().map_or(begin, |end| end.at);
    let points = points(record, subject, ended);
    let availability = availability(record, ended);
    let looked = record.looked.times(begin, ended, |()| true);
    let gaps = between(&looked, begin, ended)
        .into_iter()
        .map(|(from, until)| span(begin, from, until))
        .collect();
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

/// The API's own way with the longest absence, of those that must stay.
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
        away_ms: api_away(&report.availability, ways),
        points: report
            .points
            .iter()
            .map(|point| (point.name.clone(), point.after_ms))
            .collect(),
    }
}

/// What lies between these times.
fn between(times: &[(i64, i64)], from: i64, until: i64) -> Vec<(i64, i64)> {
    let mut at = from;
    let mut found = Vec::new();
    for (begin, end) in times {
        // Two samples are never closer than a second.
        if begin - at > 1_500 {
            found.push((at, *begin));
        }
        at = at.max(*end);
    }
    if until - at > 3_500 {
        found.push((at, until));
    }
    found
}

fn span(begin: i64, from: i64, until: i64) -> DrillSpan {
    DrillSpan {
        from_ms: from - begin,
        until_ms: until - begin,
    }
}

fn availability(record: &Record, ended: i64) -> Vec<DrillAvailability> {
    let begin = record.fault_at;
    let made = |plane, name: &str, away: Vec<(i64, i64)>, observed_ms: i64| {
        let lengths = || away.iter().map(|(from, until)| until - from);
        DrillAvailability {
            plane,
            name: name.to_owned(),
            away_ms: lengths().sum(),
            longest_ms: lengths().max().unwrap_or(0),
            observed_ms,
            away: away
                .iter()
                .map(|(from, until)| span(begin, *from, *until))
                .collect(),
        }
    };
    let control = |name: &str, track: &super::track::Track<bool>| {
        made(
            DrillPlane::ControlPlane,
            name,
            track.times(begin, ended, |up| !up),
            track.observed(begin, ended),
        )
    };
    let mut all: Vec<DrillAvailability> = record
        .ways
        .iter()
        .map(|(name, track)| control(name, track))
        .collect();
    all.push(control("nodes listed by the others", &record.reads));
    let workloads = &record.workloads;
    let observed = workloads.observed(begin, ended);
    all.push(made(
        DrillPlane::Applications,
        "every workload has a ready replica",
        workloads.times(begin, ended, |now| now.without > 0),
        observed,
    ));
    all.push(made(
        DrillPlane::Applications,
        "all replicas are ready",
        workloads.times(begin, ended, |now| now.ready < now.wanted),
        observed,
    ));
    all
}

/// `12.3 s`.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1000, (ms % 1000).abs() / 100)
}

/// A point whose time has an upper limit.
fn timed(
    name: &str,
    at: Option<i64>,
    limit: i64,
    expected: String,
    missed: Result<String, String>,
) -> DrillPoint {
    let (observed, verdict) = match (at, missed) {
        (Some(ms), _) if ms <= limit => (seconds(ms), DrillVerdict::AsExpected),
        (Some(ms), _) => (seconds(ms), DrillVerdict::Worse),
        (None, Ok(seen)) => (seen, DrillVerdict::Worse),
        (None, Err(unseen)) => (unseen, DrillVerdict::NotObserved),
    };
    DrillPoint {
        name: name.to_owned(),
        after_ms: at,
        observed,
        expected,
        verdict,
    }
}

fn points(record: &Record, subject: &Subject<'_>, ended: i64) -> Vec<DrillPoint> {
    let begin = record.fault_at;
    let watched = ended - begin;
    // Looked for long enough to have seen it?
    let missed = |limit: i64, not: &str| {
        if watched >= limit {
            Ok(not.to_owned())
        } else {
            Err(format!(
                "not observed: the observation ended after {}",
                seconds(watched)
            ))
        }
    };
    let unready = record
        .nodes
        .get(subject.victim)
        .and_then(|track| track.first(begin, |ready| !ready))
        .filter(|at| *at <= ended)
        .map(|at| at - begin);
    let evicted = record
        .evicted_at
        .filter(|at| *at <= ended)
        .map(|at| at - begin);
    let mut points = vec![leader(record, subject, ended)];
    points.push(lease(record, subject));
    if subject.comes_back() {
        points.push(stays_ready(unready, ended - begin));
    } else {
        points.push(timed(
            UNREADY,
            unready,
            NOT_READY,
            format!(
                "within {}: the grace period is 40 to 50 s",
                seconds(NOT_READY)
            ),
            missed(NOT_READY, "stayed Ready"),
        ));
        points.push(eviction(record, unready, evicted, watched));
        points.push(replicas(record, evicted, ended));
    }
    points.push(recovery(record));
    points.push(members(record));
    points.push(stuck(record));
    points
}

fn leader(record: &Record, subject: &Subject<'_>, ended: i64) -> DrillPoint {
    let begin = record.fault_at;
    let before = record.leader.spans().first().map(|span| span.value.clone());
    let led = before.as_deref() == Some(subject.victim);
    let change = record
        .leader
        .spans()
        .iter()
        .skip(1)
        .find(|span| Some(&span.value) != before.as_ref() && span.from <= ended)
        .map(|span| (span.from.max(begin) - begin, span.value.clone()));
    let was = before.unwrap_or_default();
    let (expected, observed, verdict) = match (&change, led) {
        (Some((ms, now)), true) => (
            format!("within {}: {was} led", seconds(ELECTED)),
            format!("{now}, after {}", seconds(*ms)),
            if *ms <= ELECTED {
                DrillVerdict::AsExpected
            } else {
                DrillVerdict::Worse
            },
        ),
        (None, true) if subject.comes_back() => (
            format!("{was} led: another one, or {was} again"),
            format!("{was} leads again"),
            DrillVerdict::AsExpected,
        ),
        (None, true) => (
            format!("within {}: {was} led", seconds(ELECTED)),
            "no other leader was seen".to_owned(),
            DrillVerdict::Worse,
        ),
        (Some((ms, now)), false) => (
            format!("no change: {was} leads"),
            format!("{now}, after {}", seconds(*ms)),
            DrillVerdict::Worse,
        ),
        (None, false) => (
            format!("no change: {was} leads"),
            "no change".to_owned(),
            DrillVerdict::AsExpected,
        ),
    };
    DrillPoint {
        name: LEADER.to_owned(),
        after_ms: change.map(|(ms, _)| ms),
        observed,
        expected,
        verdict,
    }
}

fn lease(record: &Record, subject: &Subject<'_>) -> DrillPoint {
    let last = record.lease_at.map(|at| at - record.fault_at);
    let observed = match last {
        Some(ms) if ms <= 0 => format!("{} before the fault", seconds(-ms)),
        Some(ms) => seconds(ms),
        None => "never".to_owned(),
    };
    DrillPoint {
        name: "Lease last seen renewed".to_owned(),
        after_ms: None,
        observed,
        expected: format!("{} renews it every 10 s while it lives", subject.victim),
        verdict: DrillVerdict::AsExpected,
    }
}

fn stays_ready(unready: Option<i64>, watched: i64) -> DrillPoint {
    let (observed, verdict) = match unready {
        Some(ms) => (
            format!("NotReady after {}", seconds(ms)),
            DrillVerdict::Worse,
        ),
        None if watched >= NOT_READY => ("stayed Ready".to_owned(), DrillVerdict::AsExpected),
        None => (
            format!("stayed Ready for the {} observed", seconds(watched)),
            DrillVerdict::NotObserved,
        ),
    };
    DrillPoint {
        name: UNREADY.to_owned(),
        after_ms: unready,
        observed,
        expected: "never: systemd starts k3s again within the grace period".to_owned(),
        verdict,
    }
}

fn eviction(
    record: &Record,
    unready: Option<i64>,
    evicted: Option<i64>,
    watched: i64,
) -> DrillPoint {
    let limit = unready.unwrap_or(NOT_READY) + EVICTED;
    let had_pods = record.wanted.values().any(|count| *count > 0);
    let missed = if !had_pods {
        Err("there was nothing to evict".to_owned())
    } else if watched < limit {
        Err(format!(
            "not observed: the observation ended after {}",
            seconds(watched)
        ))
    } else {
        // Whether one of them was on the victim is not known any more.
        Err("no pod of the node was evicted".to_owned())
    };
    timed(
        EVICTION,
        evicted,
        limit,
        format!("within {}: pods tolerate it for 300 s", seconds(limit)),
        missed,
    )
}

fn replicas(record: &Record, evicted: Option<i64>, ended: i64) -> DrillPoint {
    let begin = record.fault_at;
    let workloads = &record.workloads;
    let less = workloads.first(begin, |now| now.ready < now.wanted);
    let whole = less
        .and_then(|less| workloads.first(less, |now| now.ready >= now.wanted))
        .filter(|at| *at <= ended)
        .map(|at| at - begin);
    if less.is_none_or(|less| less > ended) {
        return DrillPoint {
            name: REPLICAS.to_owned(),
            after_ms: None,
            observed: "no replica was missing".to_owned(),
            expected: "at all times, or again after the eviction".to_owned(),
            verdict: DrillVerdict::AsExpected,
        };
    }
    let limit = evicted.unwrap_or(NOT_READY + EVICTED) + REPLACED;
    let missed = if ended - begin >= limit {
        Ok("not before the fault was taken away".to_owned())
    } else {
        Err(format!(
            "not observed: the observation ended after {}",
            seconds(ended - begin)
        ))
    };
    timed(
        REPLICAS,
        whole,
        limit,
        format!("within {}", seconds(limit)),
        missed,
    )
}

fn recovery(record: &Record) -> DrillPoint {
    let from = record.healing_at.or(record.healed_at);
    let at = match (record.recovered_at, from) {
        (Some(at), Some(from)) => Some((at - from).max(0)),
        (Some(_), None) => Some(0),
        (None, _) => None,
    };
    let missing = record.missing.clone();
    timed(
        RECOVERY,
        at,
        RECOVERED,
        format!("within {}", seconds(RECOVERED)),
        missing.map_or_else(|| Err("not observed".to_owned()), Ok),
    )
}

fn members(record: &Record) -> DrillPoint {
    let same = record.listed == record.listed_before;
    let names = |set: &std::collections::BTreeSet<String>| {
        set.iter().cloned().collect::<Vec<_>>().join(", ")
    };
    DrillPoint {
        name: "etcd members".to_owned(),
        after_ms: None,
        observed: names(&record.listed),
        expected: names(&record.listed_before),
        verdict: if same {
            DrillVerdict::AsExpected
        } else {
            DrillVerdict::Worse
        },
    }
}

fn stuck(record: &Record) -> DrillPoint {
    let observed = if record.stuck.is_empty() {
        "none".to_owned()
    } else {
        format!("{}: {}", record.stuck.len(), record.stuck.join(", "))
    };
    DrillPoint {
        name: "Pods stuck in Terminating".to_owned(),
        after_ms: None,
        observed,
        expected:
            "as many as were evicted, until the node is back or somebody deletes them by force"
                .to_owned(),
        verdict: DrillVerdict::AsExpected,
    }
}
