//! The points of a report: what happened when, against what is to be expected.

use std::collections::BTreeSet;

use coxswain_wire::{DrillPoint, DrillVerdict};

use super::dates::{Dates, Missed, Seen};
use super::record::Record;
use super::report::Subject;
use super::track::{CONTINUOUS, Track};
use super::watch::few;
use crate::drill_tables::seconds;

/// A new leader has to be there after so long, milliseconds: a lost leader without transfer takes about 7 s.
const ELECTED: i64 = 15_000;
/// A dead node has to be NotReady after so long: a grace period of 40 s, 50 s from Kubernetes 1.32 on, and the
/// time between two looks of the controller. Where the node led the controllers, their next leader comes after up to
/// 19 s and counts from then on (kube-controller-manager, `tryUpdateNodeHealth`).
const NOT_READY: i64 = 80_000;
/// k3s that is started again at once has to be seen for so long: past the usual grace period.
const STARTED: i64 = 60_000;
/// For so long a kubelet that starts may say itself that it is not ready yet.
const STARTING: i64 = 10_000;
/// Pods have to be evicted so long after their node is NotReady: the toleration of 300 s, and the taint 5 s later.
const EVICTED: i64 = 315_000;
/// All replicas have to be ready so long after the first eviction.
const REPLACED: i64 = 120_000;
/// Everything has to be as before so long after the fault was taken away.
const RECOVERED: i64 = 120_000;

/// A lease that is not renewed any more is seen so after so long: a renewal that was under way, k3s's good order, and
/// two looks.
const LAST_RENEWAL: i64 = 30_000;

/// Names of points, by which drills are compared.
pub(crate) const LEADER: &str = "New etcd leader";
pub(crate) const UNREADY: &str = "Node NotReady";
pub(crate) const EVICTION: &str = "First eviction";
pub(crate) const REPLICAS: &str = "All replicas ready";
pub(crate) const RECOVERY: &str = "Recovery, after the fault was taken away";

/// A point whose time has an upper limit.
fn timed(name: &str, at: Option<Seen>, limit: i64, expected: String, missed: Missed) -> DrillPoint {
    let (observed, verdict) = match (at, missed) {
        (Some(seen), _) => (seen.words(), seen.verdict(limit)),
        (None, Missed::Absent(not)) => (not, DrillVerdict::Worse),
        (None, Missed::Unknown(why)) => (why, DrillVerdict::NotObserved),
    };
    DrillPoint {
        name: name.to_owned(),
        after_ms: at.map(|seen| seen.latest),
        limit_ms: Some(limit),
        after_healing: false,
        observed,
        expected,
        verdict,
    }
}

/// One without a time.
pub(super) fn said(
    name: &str,
    observed: String,
    expected: impl Into<String>,
    verdict: DrillVerdict,
) -> DrillPoint {
    DrillPoint {
        name: name.to_owned(),
        after_ms: None,
        limit_ms: None,
        after_healing: false,
        observed,
        expected: expected.into(),
        verdict,
    }
}

fn if_so(so: bool) -> DrillVerdict {
    if so {
        DrillVerdict::AsExpected
    } else {
        DrillVerdict::Worse
    }
}

/// All of them, in the order to show.
pub(super) fn points(record: &Record, subject: &Subject<'_>, ended: i64) -> Vec<DrillPoint> {
    let dates = Dates::of(record, ended);
    let within = |at: Option<i64>| {
        at.filter(|at| *at <= ended)
            .map(|at| dates.seen(dates.begin, at))
    };
    let victim = record.nodes.get(subject.victim);
    let unready = within(victim.and_then(|track| track.first(dates.begin, |ready| !ready)));
    let evicted = within(record.evicted_at);
    let mut points = vec![
        leader(record, subject, &dates),
        lease(record, subject, &dates),
    ];
    if subject.comes_back() {
        let for_ms = victim.and_then(|track| longest_unready(track, dates.begin, ended));
        points.push(stays_ready(unready, for_ms, &dates));
    } else {
        points.push(timed(
            UNREADY,
            unready,
            NOT_READY,
            format!(
                "within {}: the grace period is 40 to 50 s, and starts anew if the controllers need a new leader",
                seconds(NOT_READY)
            ),
            dates.missed(NOT_READY, "stayed Ready"),
        ));
        points.push(eviction(record, unready, evicted, &dates));
        points.push(replicas(record, evicted, &dates));
    }
    points.push(recovery(record, &dates));
    points.push(members(record));
    points.push(stuck(record, subject, evicted.is_some()));
    points.extend(left_out(record));
    points
}

fn leader(record: &Record, subject: &Subject<'_>, dates: &Dates) -> DrillPoint {
    let spans = record.leader.spans();
    let Some(was) = spans.first().map(|span| span.value.clone()) else {
        let observed = "nobody said which member leads".to_owned();
        return said(LEADER, observed, "", DrillVerdict::NotObserved);
    };
    let change = spans
        .iter()
        .find(|span| span.value != was && span.from <= dates.ended)
        .map(|span| (dates.seen(dates.begin, span.from), span.value.clone()));
    let led = was == subject.victim;
    let expected = if !led {
        format!("no change: {was} leads")
    } else if subject.comes_back() {
        format!("{was} led: another one, or {was} again")
    } else {
        format!("within {}: {was} led", seconds(ELECTED))
    };
    let (observed, verdict) = match (&change, led) {
        (Some((seen, now)), true) => (format!("{now}, {}", seen.words()), seen.verdict(ELECTED)),
        (Some((seen, now)), false) => (format!("{now}, {}", seen.words()), DrillVerdict::Worse),
        (None, true) if subject.comes_back() => {
            (format!("{was} leads again"), DrillVerdict::AsExpected)
        }
        (None, true) => match dates.missed(ELECTED, "no other leader was seen") {
            Missed::Unknown(why) => (why, DrillVerdict::NotObserved),
            Missed::Absent(not) => (not, DrillVerdict::Worse),
        },
        (None, false) => ("no change".to_owned(), DrillVerdict::AsExpected),
    };
    DrillPoint {
        name: LEADER.to_owned(),
        after_ms: change.map(|(seen, _)| seen.latest),
        limit_ms: led.then_some(ELECTED),
        after_healing: false,
        observed,
        expected,
        verdict,
    }
}

/// Until the observation ended: afterwards the victim is back.
fn lease(record: &Record, subject: &Subject<'_>, dates: &Dates) -> DrillPoint {
    const NAME: &str = "Lease last seen renewed";
    let expected = if subject.comes_back() {
        format!(
            "at most {} before the end of the observation",
            seconds(LAST_RENEWAL)
        )
    } else {
        format!(
            "at most {} after the fault: {} cannot renew it",
            seconds(LAST_RENEWAL),
            subject.victim
        )
    };
    let Some((earliest, latest)) = record.renewals.changed(dates.ended) else {
        return said(
            NAME,
            "never".to_owned(),
            expected,
            DrillVerdict::NotObserved,
        );
    };
    let (after, before_end) = (latest - dates.begin, dates.ended - latest);
    let observed = if after <= 0 {
        format!("{} before the fault", seconds(-after))
    } else {
        let seen = Seen {
            earliest: (earliest - dates.begin).max(0),
            latest: after,
        };
        seen.words()
    };
    let looked = record
        .renewals
        .times(dates.begin, dates.ended, |_| true)
        .last()
        .map_or(dates.begin, |(_, until)| *until);
    let verdict = if subject.comes_back() {
        let blind = dates.ended - looked > CONTINUOUS || dates.watched() < STARTED;
        match before_end <= LAST_RENEWAL {
            true => DrillVerdict::AsExpected,
            false if blind => DrillVerdict::NotObserved,
            false => DrillVerdict::Worse,
        }
    } else if after <= LAST_RENEWAL {
        // It may have been renewed once more, if nobody looked since.
        match looked - dates.begin > LAST_RENEWAL {
            true => DrillVerdict::AsExpected,
            false => DrillVerdict::NotObserved,
        }
    } else if earliest - dates.begin > LAST_RENEWAL {
        DrillVerdict::Worse
    } else {
        DrillVerdict::NotObserved
    };
    said(NAME, observed, expected, verdict)
}

fn stays_ready(unready: Option<Seen>, for_ms: Option<i64>, dates: &Dates) -> DrillPoint {
    let (observed, verdict) = match (unready, dates.missed(STARTED, "stayed Ready")) {
        (Some(seen), _) => {
            let verdict = if_so(for_ms.is_some_and(|time| time <= STARTING));
            (format!("NotReady: {}", seen.words()), verdict)
        }
        (None, Missed::Absent(not)) => (not, DrillVerdict::AsExpected),
        (None, Missed::Unknown(why)) => (why, DrillVerdict::NotObserved),
    };
    DrillPoint {
        name: UNREADY.to_owned(),
        after_ms: unready.map(|seen| seen.latest),
        limit_ms: None,
        after_healing: false,
        observed,
        expected: format!(
            "at most {} while the kubelet starts: systemd starts k3s again within the grace period",
            seconds(STARTING)
        ),
        verdict,
    }
}

/// How long the node was seen not Ready at a stretch.
fn longest_unready(track: &Track<bool>, begin: i64, ended: i64) -> Option<i64> {
    let spans = track.spans().iter();
    let unready = spans.filter(|span| !span.value && span.until >= begin && span.from <= ended);
    unready.map(|span| span.until - span.from).max()
}

fn eviction(
    record: &Record,
    unready: Option<Seen>,
    evicted: Option<Seen>,
    dates: &Dates,
) -> DrillPoint {
    let limit = unready.map_or(NOT_READY, |seen| seen.latest) + EVICTED;
    let had_pods = record.wanted.values().any(|count| *count > 0);
    let missed = if had_pods {
        match dates.missed(limit, "no pod of the node was evicted") {
            // Whether one of them was on the victim is not known any more.
            Missed::Absent(not) | Missed::Unknown(not) => Missed::Unknown(not),
        }
    } else {
        Missed::Unknown("there was nothing to evict".to_owned())
    };
    timed(
        EVICTION,
        evicted,
        limit,
        format!("within {}: pods tolerate it for 300 s", seconds(limit)),
        missed,
    )
}

fn replicas(record: &Record, evicted: Option<Seen>, dates: &Dates) -> DrillPoint {
    let workloads = &record.workloads;
    let less = workloads
        .first(dates.begin, |now| now.ready < now.wanted)
        .filter(|less| *less <= dates.ended);
    let Some(less) = less else {
        return said(
            REPLICAS,
            "no replica was missing".to_owned(),
            "at all times, or again after the eviction",
            DrillVerdict::AsExpected,
        );
    };
    let whole = workloads
        .first(less, |now| now.ready >= now.wanted)
        .filter(|at| *at <= dates.ended)
        .map(|at| dates.seen(dates.begin, at));
    let limit = evicted.map_or(NOT_READY + EVICTED, |seen| seen.latest) + REPLACED;
    timed(
        REPLICAS,
        whole,
        limit,
        format!("within {}", seconds(limit)),
        dates.missed(limit, "not before the fault was taken away"),
    )
}

fn recovery(record: &Record, dates: &Dates) -> DrillPoint {
    let from = record.healing_at.or(record.healed_at);
    let at = record
        .recovered_at
        .map(|at| dates.seen(from.unwrap_or(at), at));
    let missed = match &record.missing {
        Some(missing) => Missed::Absent(missing.clone()),
        None => Missed::Unknown("not observed".to_owned()),
    };
    let expected = format!("within {}", seconds(RECOVERED));
    DrillPoint {
        after_healing: true,
        ..timed(RECOVERY, at, RECOVERED, expected, missed)
    }
}

fn members(record: &Record) -> DrillPoint {
    let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    said(
        "etcd members",
        names(&record.listed),
        names(&record.listed_before),
        if_so(record.listed == record.listed_before),
    )
}

/// Name of the point that [`stuck`] makes.
pub(crate) const STUCK: &str = "Pods stuck in Terminating";

/// Pods are Terminating while their node is away, and go when it is back.
fn stuck(record: &Record, subject: &Subject<'_>, evicted: bool) -> DrillPoint {
    let left = record.leaving.len() + record.leaving_more;
    let names = record.stuck.join(", ");
    if record.recovered_at.is_none() && record.missing.is_none() {
        let seen = if names.is_empty() { "none" } else { &names };
        let observed = format!("{seen}; nobody watched the recovery");
        return said(
            STUCK,
            observed,
            "none after the recovery",
            DrillVerdict::NotObserved,
        );
    }
    let observed = match (record.stuck.len(), left) {
        (0, 0) => "none".to_owned(),
        (0, left) => format!("{left} after the recovery: {}", record.leaving.join(", ")),
        (stuck, 0) => format!("{stuck}: {names}; none after the recovery"),
        (stuck, left) => format!("{stuck}: {names}; {left} of them after the recovery"),
    };
    if subject.comes_back() {
        let so = record.stuck.is_empty() && left == 0;
        return said(STUCK, observed, "none", if_so(so));
    }
    let expected = "as many as were evicted, until the node is back; none after the recovery";
    let verdict = if left > 0 {
        DrillVerdict::Worse
    } else if evicted {
        DrillVerdict::AsExpected
    } else {
        DrillVerdict::NotObserved
    };
    said(STUCK, observed, expected, verdict)
}

/// Workloads that nothing is told of, if there are any.
fn left_out(record: &Record) -> Option<DrillPoint> {
    let point = said(
        "Workloads left out",
        format!(
            "without a ready replica before the fault: {}",
            few(record.left_out.iter())
        ),
        "none",
        DrillVerdict::NotObserved,
    );
    (!record.left_out.is_empty()).then_some(point)
}

#[cfg(test)]
mod tests {
    use coxswain_wire::{DrillFault, RunId};

    use super::super::record::Replica;
    use super::*;

    /// node1 leads, is Ready and renews its lease until the fault at 100 s; everybody looks every second for 420 s.
    fn record() -> Record {
        let mut record = Record {
            fault_at: 100_000,
            ..Record::default()
        };
        let web = |ready| {
            [Replica {
                workload: "web".to_owned(),
                ready,
                on_victim: false,
            }]
        };
        for second in 90..=520 {
            let at = second * 1000;
            record.look(at);
            let node = record.nodes.entry("node1".to_owned()).or_default();
            node.see(at, second < 141);
            record.renewals.see(at, second.min(100) / 10);
            record.count(at, &web(true));
            let leader = if second < 103 { "node1" } else { "node2" };
            record.leader.see(at, leader.to_owned());
        }
        record.end(520_000, None);
        record
    }

    fn point(record: &Record, fault: DrillFault, name: &str) -> DrillPoint {
        let subject = Subject {
            run: RunId(1),
            cluster: "prod",
            victim: "node1",
            fault,
            planned_s: 420,
            downtime_s: 30,
            ways: &[],
            earlier: &[],
        };
        let all = points(record, &subject, 520_000);
        let found = all.into_iter().find(|point| point.name.starts_with(name));
        found.expect("there is such a point")
    }

    fn verdict(record: &Record, name: &str) -> DrillVerdict {
        point(record, DrillFault::Stopped, name).verdict
    }

    #[test]
    fn a_lease_that_is_renewed_all_the_same_is_worse() {
        let good = record();
        assert_eq!(verdict(&good, "Lease"), DrillVerdict::AsExpected);
        // A killed k3s has to come back and renew it.
        let killed = point(&good, DrillFault::Killed, "Lease");
        assert_eq!(killed.verdict, DrillVerdict::Worse);
        // After the observation it is renewed again: that is not the point's business.
        let mut healed = good.clone();
        healed.renewals.see(530_000, 99);
        assert_eq!(
            point(&healed, DrillFault::Stopped, "Lease"),
            point(&good, DrillFault::Stopped, "Lease")
        );
        let mut alive = good;
        alive.renewals = super::super::track::Track::default();
        for second in 90..=520 {
            alive.renewals.see(second * 1000, second / 10);
        }
        assert_eq!(verdict(&alive, "Lease"), DrillVerdict::Worse);
        let killed = point(&alive, DrillFault::Killed, "Lease");
        assert_eq!(killed.verdict, DrillVerdict::AsExpected);
        let blind = Record {
            fault_at: 100_000,
            ..Record::default()
        };
        assert_eq!(verdict(&blind, "Lease"), DrillVerdict::NotObserved);
    }

    #[test]
    fn pods_are_stuck_only_after_an_eviction_and_until_the_node_is_back() {
        let pods = [("1".to_owned(), "default/web".to_owned())];
        let mut record = record();
        assert_eq!(verdict(&record, "Pods stuck"), DrillVerdict::NotObserved);
        record.end = None;
        record.leaving(450_000, &pods, false);
        record.end(520_000, None);
        let unseen = point(&record, DrillFault::Stopped, "Pods stuck");
        assert_eq!(unseen.verdict, DrillVerdict::NotObserved);
        assert!(unseen.observed.contains("default/web"), "{unseen:?}");
        record.missing = Some("1 pods of node1 are still Terminating".to_owned());
        let left = point(&record, DrillFault::Stopped, "Pods stuck");
        assert_eq!(left.verdict, DrillVerdict::Worse);
        assert!(left.observed.contains("after the recovery"), "{left:?}");
        record.leaving(540_000, &[], false);
        (record.missing, record.recovered_at) = (None, Some(540_000));
        assert_eq!(verdict(&record, "Pods stuck"), DrillVerdict::AsExpected);
    }

    /// NotReady came while nobody looked.
    #[test]
    fn what_may_have_been_in_time_is_not_judged() {
        let mut record = Record {
            fault_at: 100_000,
            ..Record::default()
        };
        let look = |record: &mut Record, second: i64, ready: bool| {
            record.look(second * 1000);
            let node = record.nodes.entry("node1".to_owned()).or_default();
            node.see(second * 1000, ready);
        };
        for second in 90..=120 {
            look(&mut record, second, true);
        }
        for second in 300..=520 {
            look(&mut record, second, false);
        }
        let unready = point(&record, DrillFault::Stopped, UNREADY);
        assert_eq!(unready.verdict, DrillVerdict::NotObserved);
        assert!(
            unready.observed.contains("between 20.0 s and 200.0 s"),
            "{unready:?}"
        );
    }
}
