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
use super::drill::track::Track;
use super::drill::watch::{Watch, load};
use super::drill::{Fault, Watched};
use super::log::Log;
use super::{Services, check};
use crate::drill_tables::seconds;

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
        let mut log = Log::open(context).await;
        // Side by side: the victim may not answer, and the others are judged every second all the same.
        let why = tokio::select! {
            why = judged(watch, watched, &mut log, observe_s, api_away_s) => why?,
            why = self.ended_by_itself(watched) => Some(why),
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

    /// Waits until the timer on the victim, or somebody, has taken the fault away. A killed k3s comes back by itself.
    async fn ended_by_itself(&self, watched: &Watched) -> String {
        if watched.fault == Fault::Killed {
            std::future::pending::<()>().await;
        }
        loop {
            sleep(FAULT).await;
            let look = watched.fault.look(&*self.0.world, &watched.victim, None);
            if let Ok(Ok(Seen::Gone(seen))) = timeout(LOOKED, look).await {
                return format!(
                    "the fault is not there any more ({seen}): the timer on {} or somebody took it away",
                    watched.victim.name
                );
            }
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

/// Why the observation has to end before its time; none when its time is over.
async fn judged(
    watch: &Watch<'_>,
    watched: &Watched,
    log: &mut Log,
    observe_s: u32,
    api_away_s: u32,
) -> Result<Option<String>, StepFailure> {
    let victim = watched.victim.name.as_str();
    let (ways, limit) = (watched.ways(), i64::from(api_away_s) * 1000);
    let mut told = Told::default();
    loop {
        let now = watch.now();
        let (line, why, over) = {
            let record = watch.record();
            let over = now >= record.fault_at + i64::from(observe_s) * 1000;
            let why = record.abort(now, victim, &ways, limit);
            (told.news(&record, victim), why, over)
        };
        if let Some(line) = line {
            log.line(&line).await?;
        }
        if over || why.is_some() {
            return Ok(why);
        }
        sleep(JUDGE).await;
    }
}

/// What is not as it was before the fault, by samples from `from` on.
fn missing(record: &Record, watched: &Watched, from: i64) -> Option<String> {
    let victim = watched.victim.name.as_str();
    // Ready again, and not only so far.
    let up = |track: &Track<bool>| {
        track.last() == Some(&true) && track.first(from, |up| *up).is_some_and(|at| at >= from)
    };
    if let Some((way, _)) = record.ways.iter().find(|(_, track)| !up(track)) {
        return Some(format!("the API does not answer through {way}"));
    }
    if let Some((node, _)) = record.counted().find(|(_, track)| !up(track)) {
        return Some(format!("{node} is not Ready"));
    }
    let renewed = record.renewals.changed(i64::MAX);
    if renewed.is_none_or(|(_, at)| at < from) {
        return Some(format!("{victim} has not renewed its lease yet"));
    }
    if record.listed != record.listed_before {
        return Some("the etcd members are not those of before".to_owned());
    }
    let counted = record.workloads.spans().last();
    let Some(workloads) = counted.filter(|span| span.until >= from) else {
        return Some("no pods were listed yet".to_owned());
    };
    let workloads = workloads.value;
    if workloads.ready < workloads.wanted {
        return Some(format!(
            "{} of {} replicas are ready",
            workloads.ready, workloads.wanted
        ));
    }
    let leaving = record.leaving.len() + record.leaving_more;
    (leaving > 0).then(|| format!("{leaving} pods of {victim} are still Terminating"))
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
        Some(format!("{:>6} {line}", seconds(at)))
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
