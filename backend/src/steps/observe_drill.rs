//! Step kind `observe_drill`: a drill is watched, first with its fault and then until everything is as before. Changes
//! nothing; a panel that died goes on, and the time in between is not observed.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::drill::fault::Seen;
use super::drill::record::Record;
use super::drill::watch::{Watch, load};
use super::drill::{Fault, Watched};
use super::log::Log;
use super::{Services, check};

/// Stored name.
pub const KIND: &str = "observe_drill";
/// Longest wait for everything to be as before, seconds.
pub const RECOVERY_S: u32 = 300;

/// Between two looks at what was seen.
const JUDGE: Duration = Duration::from_secs(1);
/// Between two looks whether the fault is still there.
const FAULT: Duration = Duration::from_secs(10);
/// For one of them.
const LOOKED: Duration = Duration::from_secs(8);

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Whom the fault was done to, and what.
    pub watched: Watched,
    /// Until when.
    pub until: Until,
}

/// Until when a drill is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Until {
    /// Some time after the fault, or until an abort rule wants it ended.
    Over {
        /// Seconds after the fault.
        observe_s: u32,
        /// Seconds that the API may be away without a break.
        api_away_s: u32,
    },
    /// Until everything is as before the fault, or for as long as that may take.
    Recovered,
}

/// The step kind.
pub struct ObserveDrill(pub Services);

impl ObserveDrill {
    /// Watches the fault. Ends the observation in the record.
    async fn over(
        &self,
        context: &StepContext,
        params: &Params,
        watch: &Watch<'_>,
        observe_s: u32,
        api_away_s: u32,
    ) -> Result<(), StepFailure> {
        let watched = &params.watched;
        let ways = watched.ways();
        let limit = i64::from(api_away_s) * 1000;
        let mut log = Log::open(context).await;
        let mut told = Told::default();
        let mut looked = Instant::now();
        let why = loop {
            let now = watch.now();
            let (line, why, over) = {
                let record = watch.record();
                let over = now >= record.fault_at + i64::from(observe_s) * 1000;
                let why = record.abort(now, &watched.victim.name, &ways, limit);
                (told.news(&record, &watched.victim.name), why, over)
            };
            if let Some(line) = line {
                log.line(&line).await?;
            }
            if let Some(why) = why {
                break Some(why);
            }
            if over {
                break None;
            }
            if looked.elapsed() >= FAULT {
                looked = Instant::now();
                if let Some(why) = self.ended_by_itself(watched).await {
                    break Some(why);
                }
            }
            sleep(JUDGE).await;
        };
        let line = match &why {
            None => format!("observed for {observe_s} s"),
            Some(why) => format!("ended early: {why}"),
        };
        log.line(&line).await?;
        let now = watch.now();
        watch.record().end(now, why);
        Ok(())
    }

    /// The timer on the victim, or somebody, has taken the fault away. A killed k3s comes back by itself.
    async fn ended_by_itself(&self, watched: &Watched) -> Option<String> {
        if watched.fault == Fault::Killed {
            return None;
        }
        let look = watched.fault.look(&*self.0.world, &watched.victim, None);
        match timeout(LOOKED, look).await {
            Ok(Ok(Seen::Gone(seen))) => Some(format!(
                "the fault is not there any more ({seen}): the timer on {} or somebody took it away",
                watched.victim.name
            )),
            Ok(Ok(Seen::There(_) | Seen::Between(_)) | Err(_)) | Err(_) => None,
        }
    }

    /// Watches until everything is as before.
    async fn recovered(
        &self,
        context: &StepContext,
        watched: &Watched,
        watch: &Watch<'_>,
    ) -> Result<(), StepFailure> {
        let mut log = Log::open(context).await;
        let patience = Instant::now() + Duration::from_secs(RECOVERY_S.into());
        let mut told = String::new();
        let from = watch.now();
        {
            let mut record = watch.record();
            let begun = record.healing_at.or(record.healed_at).unwrap_or(from);
            record.healing_at = Some(begun);
            record.healed_at.get_or_insert(from);
        }
        loop {
            let now = watch.now();
            let missing = missing(&watch.record(), watched, from);
            let Some(why) = missing else {
                let mut record = watch.record();
                record.recovered_at = Some(now);
                record.missing = None;
                break;
            };
            if told != why {
                log.line(&format!("not yet as before: {why}")).await?;
                told.clone_from(&why);
            }
            if Instant::now() >= patience {
                watch.record().missing = Some(why);
                break;
            }
            sleep(JUDGE).await;
        }
        Ok(())
    }
}

/// What is not as it was before the fault, by samples from `from` on.
fn missing(record: &Record, watched: &Watched, from: i64) -> Option<String> {
    let victim = watched.victim.name.as_str();
    let fresh = |at: Option<i64>| at.is_some_and(|at| at >= from);
    let down = record
        .ways
        .iter()
        .find(|(_, track)| !fresh(track.first(from, |up| *up)) || track.last() != Some(&true));
    if let Some((way, _)) = down {
        return Some(format!("the API does not answer through {way}"));
    }
    let unready = record.nodes.iter().find(|(_, track)| {
        !fresh(track.first(from, |ready| *ready)) || track.last() != Some(&true)
    });
    if let Some((node, _)) = unready {
        return Some(format!("{node} is not Ready"));
    }
    if !fresh(record.lease_at) {
        return Some(format!("{victim} has not renewed its lease yet"));
    }
    if record.listed != record.listed_before {
        return Some("the etcd members are not those of before".to_owned());
    }
    let workloads = record.workloads.last().copied().unwrap_or_default();
    if workloads.ready < workloads.wanted {
        return Some(format!(
            "{} of {} replicas are ready",
            workloads.ready, workloads.wanted
        ));
    }
    None
}

/// What was told in the output already: only changes are news.
#[derive(Default)]
struct Told {
    last: Option<String>,
}

impl Told {
    fn news(&mut self, record: &Record, victim: &str) -> Option<String> {
        let down: Vec<&str> = record
            .ways
            .iter()
            .filter(|(_, track)| track.last() == Some(&false))
            .map(|(name, _)| name.as_str())
            .collect();
        let ready = record.nodes.get(victim).and_then(|track| track.last());
        let workloads = record.workloads.last().copied().unwrap_or_default();
        let line = format!(
            "API away through: {}; {victim} {}; etcd leader {}; {} of {} replicas ready; {} pods Terminating",
            if down.is_empty() {
                "nothing".to_owned()
            } else {
                down.join(", ")
            },
            match ready {
                Some(true) => "reads Ready",
                Some(false) => "is NotReady",
                None => "was not seen",
            },
            record.leader.last().map_or("not known", String::as_str),
            workloads.ready,
            workloads.wanted,
            record.leaving.len() + record.leaving_more,
        );
        if self.last.as_ref() == Some(&line) {
            return None;
        }
        self.last = Some(line.clone());
        // Relative to the fault, as in the report.
        let at = record
            .looked
            .spans()
            .last()
            .map_or(0, |span| span.until - record.fault_at);
        Some(format!("{:>6} {line}", super::drill::report::seconds(at)))
    }
}

#[async_trait]
impl StepKind for ObserveDrill {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let not = |why: &str| Probe::NotDone {
            why: why.to_owned(),
        };
        if context.attempt == 0 {
            return Ok(not("it was not watched yet"));
        }
        let Some(record) = load(&self.0, context.run).await? else {
            return Ok(not("nothing was seen yet"));
        };
        let observed = match params.until {
            Until::Over { observe_s, .. } => match &record.end {
                None => return Ok(not("the observation is not over")),
                Some(end) => match &end.why {
                    None => format!("observed for {observe_s} s"),
                    Some(why) => format!("ended early: {why}"),
                },
            },
            Until::Recovered => match (record.recovered_at, &record.missing) {
                (Some(_), _) => "everything is as before the fault".to_owned(),
                (None, Some(missing)) => {
                    format!("not as before within {RECOVERY_S} s: {missing}")
                }
                (None, None) => return Ok(not("it is not seen yet whether all is as before")),
            },
        };
        Ok(Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let Some(watch) = Watch::open(&self.0, context.run, &params.watched).await? else {
            return Err(StepFailure::fatal("no fault was made yet"));
        };
        match params.until {
            Until::Over {
                observe_s,
                api_away_s,
            } => {
                let over = self.over(context, &params, &watch, observe_s, api_away_s);
                watch.until(over).await
            }
            Until::Recovered => {
                let recovered = self.recovered(context, &params.watched, &watch);
                watch.until(recovered).await
            }
        }
    }
}
