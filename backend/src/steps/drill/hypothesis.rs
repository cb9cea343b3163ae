//! Whether the steady state held while the victim had its fault, for all that is expected to hold without it.

use coxswain_wire::{DrillPoint, DrillVerdict};

use super::points::said;
use super::record::{ELECTION, NOT_READY, Record};
use super::report::Subject;
use super::track::Track;
use crate::drill_tables::seconds;

const NAME: &str = "Steady state during the fault";

/// `api` is how long the API was away by the way that clients take.
pub(super) fn hypothesis(
    record: &Record,
    subject: &Subject<'_>,
    api: Option<i64>,
    ended: i64,
) -> DrillPoint {
    let begin = record.fault_at;
    let accepted = i64::from(subject.downtime_s) * 1000;
    let away_for = |track: &Track<bool>, limit: i64| {
        let mut times = track.times(begin, ended, |up| !up);
        // It may be the reason why nobody looked any longer.
        if let (Some(last), Some(now)) = (times.last_mut(), track.fresh(ended))
            && !now.value
            && now.from <= ended
        {
            last.1 = ended;
        }
        times.iter().any(|(from, until)| until - from >= limit)
    };
    let mut broken = Vec::new();
    if let Some(away) = api.filter(|away| *away > accepted) {
        broken.push(format!("the API was away for {}", seconds(away)));
    }
    for (name, track) in record.counted() {
        if name != subject.victim && away_for(track, NOT_READY) {
            broken.push(format!("{name} was not Ready"));
        }
    }
    for (name, track) in &record.members {
        if away_for(track, ELECTION) {
            broken.push(format!("etcd on {name} was not healthy"));
        }
    }
    let lost = record.workloads.times(begin, ended, |now| now.lost > 0);
    if !lost.is_empty() {
        broken.push("a workload with replicas elsewhere had none that was ready".to_owned());
    }
    let (observed, verdict) = if !broken.is_empty() {
        let broken = format!("broken: {}", broken.join(", "));
        (broken, DrillVerdict::Worse)
    } else if api.is_none() || !record.gaps(begin, ended).is_empty() {
        let seen = "held as far as it was seen".to_owned();
        (seen, DrillVerdict::NotObserved)
    } else {
        ("held".to_owned(), DrillVerdict::AsExpected)
    };
    let expected = format!(
        "the API away for at most {}, no other node and no other etcd member lost, every workload with a replica elsewhere ready",
        seconds(accepted)
    );
    said(NAME, observed, expected, verdict)
}

#[cfg(test)]
mod tests {
    use coxswain_wire::{DrillFault, RunId};

    use super::super::record::Replica;
    use super::*;

    /// node1 goes at 100 s; the other node and its member, and `web` on both, are seen for a minute more.
    fn record(web: impl Fn(i64) -> bool, member: impl Fn(i64) -> bool) -> Record {
        let mut record = Record {
            fault_at: 100_000,
            ..Record::default()
        };
        for second in 90..=160 {
            let at = second * 1000;
            record.look(at);
            for (name, ready) in [("node1", second < 140), ("node2", true)] {
                let node = record.nodes.entry(name.to_owned()).or_default();
                node.see(at, ready);
            }
            let etcd = record.members.entry("node2".to_owned()).or_default();
            etcd.see(at, member(second));
            let replica = |workload: &str, ready, on_victim| Replica {
                workload: workload.to_owned(),
                ready,
                on_victim,
            };
            let there = second < 100;
            let replicas = [
                replica("web", there, true),
                replica("web", web(second), false),
                replica("single", there, true),
            ];
            record.count(at, &replicas);
        }
        record
    }

    fn of(record: &Record, api: Option<i64>) -> DrillPoint {
        let subject = Subject {
            run: RunId(1),
            cluster: "prod",
            victim: "node1",
            fault: DrillFault::PowerOff,
            planned_s: 60,
            downtime_s: 30,
            ways: &[],
            earlier: &[],
        };
        hypothesis(record, &subject, api, 160_000)
    }

    /// What the victim alone had goes with it, and an election takes its time.
    #[test]
    fn it_holds_for_what_does_not_need_the_victim() {
        let good = record(|_| true, |second| !(100..110).contains(&second));
        let point = of(&good, Some(30_000));
        assert_eq!(point.verdict, DrillVerdict::AsExpected, "{point:?}");
        assert_eq!(of(&good, None).verdict, DrillVerdict::NotObserved);
        let late = of(&good, Some(31_000));
        assert_eq!(late.verdict, DrillVerdict::Worse);
        assert_eq!(late.observed, "broken: the API was away for 31.0 s");
    }

    #[test]
    fn it_breaks_by_what_the_others_lose() {
        let away = |second| !(110..115).contains(&second);
        let web = of(&record(away, |_| true), Some(0));
        assert!(web.observed.starts_with("broken: a workload"), "{web:?}");
        let member = of(&record(|_| true, |second| second < 120), Some(0));
        assert!(member.observed.contains("etcd on node2"), "{member:?}");
        let mut node = record(|_| true, |_| true);
        for second in 150..=160 {
            let node2 = node.nodes.entry("node2".to_owned()).or_default();
            node2.see(second * 1000, second > 155);
        }
        let node = of(&node, Some(0));
        assert_eq!(node.observed, "broken: node2 was not Ready");
    }
}
