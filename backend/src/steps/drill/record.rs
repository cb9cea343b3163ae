//! What a drill has seen so far. Kept in the panel's database while the drill is under way, so that a panel that
//! died goes on with it; the time in between stays a gap.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::track::Track;

/// Pods that are named; the rest is counted.
const NAMED: usize = 50;
/// Somebody looks every second: longer without is a gap, milliseconds.
const WITHOUT: i64 = 3_500;
/// A survivor's etcd may be without a leader for as long as an election takes, milliseconds.
pub(super) const ELECTION: i64 = 20_000;
/// A node, server or agent, is not Ready if it is seen so in three looks in a row: one alone may be a kubelet that
/// was late, or an API server that had not caught up. Milliseconds.
pub(super) const NOT_READY: i64 = 4_000;

/// Everything seen. Times are milliseconds of the panel's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// When the fault was made.
    pub(crate) fault_at: i64,
    /// Somebody looked.
    pub(crate) looked: Track<()>,
    /// The API server answers, by load balancer or server.
    pub(crate) ways: BTreeMap<String, Track<bool>>,
    /// The API lists the nodes, asked of the others.
    pub(crate) reads: Track<bool>,
    /// Ready, by node.
    pub(crate) nodes: BTreeMap<String, Track<bool>>,
    /// Which node's etcd member leads.
    pub(crate) leader: Track<String>,
    /// `/health` of etcd on the other servers; no answer is not healthy.
    pub(crate) members: BTreeMap<String, Track<bool>>,
    /// Names of all etcd members, as last listed.
    pub(crate) listed: BTreeSet<String>,
    /// Their names before the fault.
    pub(crate) listed_before: BTreeSet<String>,
    /// Pods by what made them.
    pub(crate) workloads: Track<Workloads>,
    /// Replicas before the fault, by what made them.
    pub(crate) wanted: BTreeMap<String, u32>,
    /// Those of them whose replicas were all on the victim.
    pub(crate) alone: BTreeSet<String>,
    /// What had no ready replica before the fault: nothing is told of it.
    pub(crate) left_out: BTreeSet<String>,
    /// When the victim's lease was renewed last, by the victim's clock.
    pub(crate) renewals: Track<i64>,
    /// When a pod of the victim was first seen Terminating that was not before.
    pub(crate) evicted_at: Option<i64>,
    /// Pods of the victim that were Terminating before the fault, by uid.
    pub(crate) leaving_before: BTreeSet<String>,
    /// Pods of the victim that are Terminating, as last seen.
    pub(crate) leaving: Vec<String>,
    /// More of them than are named.
    pub(crate) leaving_more: usize,
    /// Those that were when the observation ended.
    pub(crate) stuck: Vec<String>,
    /// When the observation ended, and why before its time.
    pub(crate) end: Option<End>,
    /// When taking the fault away was begun.
    pub(crate) healing_at: Option<i64>,
    /// When it was seen gone.
    pub(crate) healed_at: Option<i64>,
    /// When everything was seen to be as before the fault.
    pub(crate) recovered_at: Option<i64>,
    /// What was still missing when waiting for that ended.
    pub(crate) missing: Option<String>,
}

/// How an observation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// When.
    pub(crate) at: i64,
    /// An abort rule, in words; none if its time was over.
    pub(crate) why: Option<String>,
}

/// How many replicas are ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workloads {
    /// Replicas ready, of each workload no more than there were.
    pub(crate) ready: u32,
    /// Replicas before the fault.
    pub(crate) wanted: u32,
    /// Workloads without a ready replica.
    pub(crate) without: u32,
    /// Those of them that had replicas elsewhere than on the victim.
    #[serde(default)]
    pub(crate) lost: u32,
}

/// A pod as a drill counts it.
pub(crate) struct Replica {
    /// Kind, namespace and name of what made it.
    pub(crate) workload: String,
    /// It serves.
    pub(crate) ready: bool,
    /// It is on the server that gets the fault.
    pub(crate) on_victim: bool,
}

impl Record {
    /// Somebody looks.
    pub(crate) fn look(&mut self, at: i64) {
        self.looked.see_within(at, (), WITHOUT);
    }

    /// Times between two dates at which nobody looked: there was no panel.
    pub(crate) fn gaps(&self, from: i64, until: i64) -> Vec<(i64, i64)> {
        unseen(&self.looked, from, until)
    }

    /// Counts the replicas. The first count is what there has to be.
    pub(crate) fn count(&mut self, at: i64, replicas: &[Replica]) {
        let mut ready: BTreeMap<&str, u32> = BTreeMap::new();
        for replica in replicas {
            *ready.entry(&replica.workload).or_default() += u32::from(replica.ready);
        }
        if self.workloads.spans().is_empty() {
            self.wanted = ready
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect();
            let without = ready.iter().filter(|(_, count)| **count == 0);
            let elsewhere = |name: &&String| {
                let mut ready = replicas.iter().filter(|r| r.ready && r.workload == **name);
                ready.any(|replica| !replica.on_victim)
            };
            let alone = self.wanted.keys().filter(|name| !elsewhere(name));
            self.alone = alone.cloned().collect();
            self.left_out = without.map(|(name, _)| (*name).to_owned()).collect();
        }
        let mut now = Workloads::default();
        for (workload, wanted) in &self.wanted {
            let there = ready.get(workload.as_str()).copied().unwrap_or(0);
            now.ready += there.min(*wanted);
            now.wanted += wanted;
            now.without += u32::from(there == 0);
            now.lost += u32::from(there == 0 && !self.alone.contains(workload));
        }
        self.workloads.see(at, now);
    }

    /// Takes the victim's Terminating pods: uid and name.
    pub(crate) fn leaving(&mut self, at: i64, pods: &[(String, String)], before: bool) {
        if before {
            self.leaving_before = pods.iter().map(|(uid, _)| uid.clone()).collect();
        }
        let new: Vec<&String> = pods
            .iter()
            .filter(|(uid, _)| !self.leaving_before.contains(uid))
            .map(|(_, name)| name)
            .collect();
        if !new.is_empty() {
            self.evicted_at.get_or_insert(at);
        }
        self.leaving_more = new.len().saturating_sub(NAMED);
        self.leaving = new.into_iter().take(NAMED).cloned().collect();
    }

    /// Ends the observation.
    pub(crate) fn end(&mut self, at: i64, why: Option<String>) {
        if self.end.is_none() {
            self.stuck = self.leaving.clone();
            if self.leaving_more > 0 {
                self.stuck.push(format!("{} more", self.leaving_more));
            }
            self.end = Some(End { at, why });
        }
    }

    /// Nodes that have to be Ready: those that were before the fault. One that was not, e.g. because it is no business of
    /// the panel, tells nothing of the fault.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&String, &Track<bool>)> {
        self.nodes.iter().filter(|(_, track)| {
            let before = track.spans().first();
            before.is_some_and(|span| span.value && span.from <= self.fault_at)
        })
    }

    /// How long the API has been away now, through every way that counts, milliseconds. What was not looked at a moment
    /// ago is not known to be away.
    pub(crate) fn api_away(&self, now: i64, ways: &[String]) -> i64 {
        let since = |track: &Track<bool>| away_since(track, now).map_or(0, |from| now - from);
        let through = ways
            .iter()
            .map(|way| self.ways.get(way).map_or(0, since))
            .min();
        through.unwrap_or(0).max(since(&self.reads))
    }

    /// Why the fault has to end now, if so. `limit` is how long the API may be away, milliseconds; `ways` are
    /// those that count.
    pub(crate) fn abort(
        &self,
        now: i64,
        victim: &str,
        ways: &[String],
        limit: i64,
    ) -> Option<String> {
        let away = self.api_away(now, ways);
        if away > limit {
            return Some(format!(
                "the API was away for {} s, more than the {} s allowed",
                away / 1000,
                limit / 1000
            ));
        }
        let second = self
            .counted()
            .find(|(name, track)| *name != victim && seen_away(track, now) >= NOT_READY);
        if let Some((name, _)) = second {
            return Some(format!("{name} is not Ready either"));
        }
        let member = self
            .members
            .iter()
            .find(|(_, track)| away_since(track, now).is_some_and(|from| now - from > ELECTION));
        member.map(|(name, _)| format!("etcd on {name} is not healthy or does not answer either"))
    }
}

/// Times between two dates for which a track has no samples.
pub(crate) fn unseen<T: PartialEq>(track: &Track<T>, from: i64, until: i64) -> Vec<(i64, i64)> {
    let seen = track.times(from, until, |_| true);
    let begins = seen.iter().map(|(begin, _)| *begin).chain([until]);
    let ends = std::iter::once(from).chain(seen.iter().map(|(_, end)| *end));
    ends.zip(begins)
        .filter(|(end, begin)| begin - end > WITHOUT)
        .collect()
}

/// Since when it is seen not to be so.
fn away_since(track: &Track<bool>, now: i64) -> Option<i64> {
    let span = track.fresh(now)?;
    (!span.value).then_some(span.from)
}

/// For how long it has been seen not to be so, from the first look to the last.
fn seen_away(track: &Track<bool>, now: i64) -> i64 {
    let span = track.fresh(now).filter(|span| !span.value);
    span.map_or(0, |span| span.until - span.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lb() -> Vec<String> {
        vec!["lb".to_owned()]
    }

    #[test]
    fn the_api_away_for_too_long_ends_it() {
        let mut record = Record::default();
        let way = record.ways.entry("lb".to_owned()).or_default();
        for second in 0..=40 {
            way.see(second * 1000, second < 5);
        }
        assert_eq!(record.abort(35_000, "node1", &lb(), 30_000), None);
        let why = record.abort(36_000, "node1", &lb(), 30_000).unwrap();
        assert!(why.contains("31 s") && why.contains("30 s"), "{why}");
        // Through the other load balancer it is there.
        let other = record.ways.entry("lb2".to_owned()).or_default();
        other.see(40_000, true);
        let both = ["lb".to_owned(), "lb2".to_owned()];
        assert_eq!(record.abort(40_000, "node1", &both, 30_000), None);
    }

    /// Sees a node Ready before the fault at 1000, or not, and not Ready after it.
    fn lose(record: &mut Record, name: &str, before: bool) {
        record.fault_at = 1000;
        let node = record.nodes.entry(name.to_owned()).or_default();
        node.see(0, before);
        for at in [2000, 4000, 6000] {
            node.see(at, false);
        }
    }

    #[test]
    fn a_second_node_ends_it_and_the_victim_does_not() {
        let mut record = Record::default();
        lose(&mut record, "node1", true);
        assert_eq!(record.abort(6000, "node1", &lb(), 1000), None);
        lose(&mut record, "node2", true);
        let why = record.abort(6000, "node1", &lb(), 1000).unwrap();
        assert!(why.contains("node2"), "{why}");
    }

    /// A single look may be wrong, however long the next one takes.
    #[test]
    fn a_node_that_is_seen_not_ready_once_is_no_reason() {
        let mut record = Record {
            fault_at: 1000,
            ..Record::default()
        };
        let mut see = |at: i64, ready: bool| {
            let node = record.nodes.entry("agent1".to_owned()).or_default();
            node.see(at, ready);
            record.abort(at + 1900, "node1", &lb(), 1000)
        };
        for (at, ready) in [
            (0, true),
            (2000, false),
            (4000, true),
            (6000, false),
            (8000, false),
        ] {
            assert_eq!(see(at, ready), None, "{at}");
        }
        assert!(see(10_000, false).is_some());
        assert_eq!(see(12_000, true), None);
        assert_eq!(see(14_000, false), None);
        assert_eq!(record.abort(21_000, "node1", &lb(), 1000), None);
    }

    #[test]
    fn a_node_that_was_not_ready_before_is_no_reason() {
        let mut record = Record::default();
        lose(&mut record, "somebody-elses", false);
        assert_eq!(record.abort(6000, "node1", &lb(), 1000), None);
        // Nor is one that came while the fault was there.
        let late = record.nodes.entry("late".to_owned()).or_default();
        for at in [2000, 4000, 6000] {
            late.see(at, false);
        }
        assert_eq!(record.abort(6000, "node1", &lb(), 1000), None);
    }

    /// The panel was dead: what it last saw is no outage until now.
    #[test]
    fn time_without_a_panel_is_no_outage() {
        let mut record = Record::default();
        let way = record.ways.entry("lb".to_owned()).or_default();
        way.see(0, true);
        way.see(1000, false);
        let member = record.members.entry("node2".to_owned()).or_default();
        member.see(1000, false);
        lose(&mut record, "node2", true);
        assert_eq!(record.abort(600_000, "node1", &lb(), 30_000), None);
        assert_eq!(record.api_away(600_000, &lb()), 0);
        // It looks again: away since then.
        for at in [600_000, 601_000] {
            record
                .ways
                .entry("lb".to_owned())
                .or_default()
                .see(at, false);
        }
        assert_eq!(record.api_away(601_000, &lb()), 1000);
    }

    #[test]
    fn an_election_is_no_reason_and_a_dead_member_is() {
        let mut record = Record::default();
        for second in 0..=30 {
            let member = record.members.entry("node2".to_owned()).or_default();
            member.see(second * 1000, false);
        }
        assert_eq!(record.abort(10_000, "node1", &lb(), 1000), None);
        assert!(record.abort(30_000, "node1", &lb(), 1000).is_some());
    }

    #[test]
    fn replicas_count_no_more_than_there_were() {
        let mut record = Record::default();
        let replica = |workload: &str, ready: bool| Replica {
            workload: workload.to_owned(),
            ready,
            on_victim: false,
        };
        record.count(
            0,
            &[replica("a", true), replica("a", true), replica("b", true)],
        );
        record.count(1000, &[replica("a", true), replica("b", false)]);
        let three = [replica("a", true), replica("a", true), replica("a", true)];
        record.count(2000, &three);
        let seen: Vec<Workloads> = record.workloads.spans().iter().map(|s| s.value).collect();
        let is = |ready, without| Workloads {
            ready,
            wanted: 3,
            without,
            lost: without,
        };
        assert_eq!(seen, [is(3, 0), is(1, 1), is(2, 1)]);
    }

    #[test]
    fn pods_that_left_before_are_no_evictions() {
        let mut record = Record::default();
        let old = ("1".to_owned(), "default/old".to_owned());
        record.leaving(0, std::slice::from_ref(&old), true);
        record.leaving(1000, std::slice::from_ref(&old), false);
        assert_eq!(record.evicted_at, None);
        record.leaving(
            2000,
            &[old, ("2".to_owned(), "default/new".to_owned())],
            false,
        );
        assert_eq!(record.evicted_at, Some(2000));
        record.end(3000, None);
        assert_eq!(record.stuck, ["default/new"]);
    }
}
