//! The contest: the same looks by everybody, in several rounds, each of which begins with another one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use coxswain_e2e::lab::Lab;

use super::SERVERS;
use super::durable::{Durable, Shape};
use super::enrol::Hosts;
use super::peers::Peers;

/// Rounds that count. One before them warms connections and caches.
const ROUNDS: usize = 5;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Contender {
    /// The panel, all steps in one stage
    SideBySide,
    /// The panel, a stage for each step
    OneByOne,
    /// `ssh` in a shell loop
    Loop,
    /// A shell loop for each host
    Loops,
    /// pyinfra, each look on all hosts at a time
    Pyinfra,
    /// A playbook with a task for each look
    Ansible,
    /// A playbook whose tasks go to all hosts at a time
    AnsibleGrouped,
}

impl Contender {
    /// In the order of the report.
    pub(crate) const ALL: [Contender; 7] = [
        Contender::SideBySide,
        Contender::OneByOne,
        Contender::Loop,
        Contender::Loops,
        Contender::Pyinfra,
        Contender::Ansible,
        Contender::AnsibleGrouped,
    ];
}

/// Seconds of each round that counts.
pub(crate) struct Contest {
    times: Vec<(Contender, Vec<f64>)>,
}

impl Contest {
    /// A contender's times, in the order of the rounds.
    pub(crate) fn times(&self, who: Contender) -> &[f64] {
        self.times
            .iter()
            .find(|(contender, _)| *contender == who)
            .map_or(&[], |(_, times)| times)
    }

    /// A contender's median, in seconds.
    pub(crate) fn median(&self, who: Contender) -> f64 {
        median(self.times(who))
    }
}

/// Lets everybody do it.
pub(crate) async fn measure(
    lab: &Lab,
    data: &Path,
    hosts: &Hosts,
    programs: &Path,
) -> Result<Contest> {
    let servers = SERVERS
        .iter()
        .map(|name| Some(((*name).to_owned(), *hosts.get(*name)?)))
        .collect::<Option<Vec<_>>>()
        .context("a host that was not enrolled")?;
    let peers = Peers::prepare(lab, programs).await?;
    let durable = Durable::open(data, servers).await?;
    let contest = rounds(&durable, &peers).await;
    durable.close().await;
    peers.close().await?;
    contest
}

async fn rounds(durable: &Durable, peers: &Peers) -> Result<Contest> {
    let mut times: Vec<_> = Contender::ALL.map(|who| (who, Vec::new())).into();
    for round in 0..=ROUNDS {
        let first = round % times.len();
        let (before, after) = times.split_at_mut(first);
        for (who, times) in after.iter_mut().chain(before) {
            let passed = once(*who, durable, peers)
                .await
                .with_context(|| format!("{who:?}"))?;
            println!(
                "bench: round {round}: {who:?} {:.3} s",
                passed.as_secs_f64()
            );
            if round > 0 {
                times.push(passed.as_secs_f64());
            }
        }
    }
    Ok(Contest { times })
}

async fn once(who: Contender, durable: &Durable, peers: &Peers) -> Result<Duration> {
    match who {
        Contender::SideBySide => durable.round(Shape::SideBySide).await,
        Contender::OneByOne => durable.round(Shape::OneByOne).await,
        Contender::Loop => peers.one_loop().await,
        Contender::Loops => peers.a_loop_a_host().await,
        Contender::Pyinfra => peers.pyinfra().await,
        Contender::Ansible => peers.ansible().await,
        Contender::AnsibleGrouped => peers.ansible_grouped().await,
    }
}

/// The middle one (of an even number: the upper of the two).
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
