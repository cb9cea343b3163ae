//! A world of a set of words and some counters.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::{Gate, Plan, Stage, Step};
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_engine::testing::checks::{Subject, Takes};
use coxswain_wire::{Fact, FactKind, HostId, Report, RunId, StageIndex, Table, Verdict};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What of the world is compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Things {
    pub(crate) set: BTreeSet<String>,
    pub(crate) ticks: BTreeMap<String, i64>,
    /// Out of use for the duration of a run.
    pub(crate) taken: BTreeSet<String>,
}

type JobKey = (RunId, u32, u32);

/// The world; its jobs go on when a panel dies.
#[derive(Clone, Default)]
pub(crate) struct World {
    things: Arc<Mutex<Things>>,
    jobs: Arc<Mutex<HashMap<JobKey, watch::Receiver<bool>>>>,
    /// The value of an equal fact; tests change it.
    pub(crate) weather: Arc<Mutex<String>>,
    /// The diff of that fact.
    pub(crate) diff: Arc<Mutex<Option<String>>>,
    /// Nothing can be given back.
    pub(crate) stuck: Arc<Mutex<bool>>,
    /// A failing fact stands in the way.
    pub(crate) blocked: Arc<Mutex<bool>>,
}

impl World {
    pub(crate) fn things(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap()
    }

    /// Jobs that nobody has forgotten.
    pub(crate) fn jobs_left(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }

    /// Starts a job unless it was started before, and gives its end.
    fn job(&self, key: JobKey, name: &str) -> watch::Receiver<bool> {
        let mut jobs = self.jobs.lock().unwrap();
        if let Some(known) = jobs.get(&key) {
            return known.clone();
        }
        let (ended, end) = watch::channel(false);
        jobs.insert(key, end.clone());
        let (things, name) = (self.things.clone(), name.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            *things.lock().unwrap().ticks.entry(name).or_default() += 1;
            ended.send_replace(true);
        });
        end
    }
}

fn word(context: &StepContext) -> String {
    context.params["word"].as_str().unwrap().to_owned()
}

/// One table for people and one value for steps.
fn made(word: &str) -> BTreeMap<String, Output> {
    let table = Table {
        title: "Put".to_owned(),
        columns: vec!["Word".to_owned()],
        rows: vec![vec![word.to_owned()]],
    };
    let report = Report {
        tables: vec![table],
        ..Report::default()
    };
    let value = json!(word);
    BTreeMap::from([
        ("report".to_owned(), Output::Report(report)),
        ("word".to_owned(), Output::Value { value }),
    ])
}

fn done(observed: &str) -> Result<Probe, StepFailure> {
    Ok(Probe::Done {
        observed: observed.to_owned(),
        outputs: BTreeMap::new(),
    })
}

fn not_done(why: &str) -> Result<Probe, StepFailure> {
    Ok(Probe::NotDone {
        why: why.to_owned(),
    })
}

/// A word is in the set.
struct Put(World);

#[async_trait]
impl StepKind for Put {
    fn name(&self) -> &'static str {
        "put"
    }
    fn check(&self, params: &Value) -> Result<(), String> {
        params["word"]
            .as_str()
            .map(drop)
            .ok_or_else(|| "no word".to_owned())
    }
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if self.0.things().set.contains(&word(context)) {
            Ok(Probe::Done {
                observed: "it is there".to_owned(),
                outputs: made(&word(context)),
            })
        } else {
            not_done("it is not there")
        }
    }
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.0.things().set.insert(word(context));
        Ok(())
    }
    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if self.0.things().set.contains(&word(context)) {
            not_done("it is there")
        } else {
            done("it is gone")
        }
    }
    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.0.things().set.remove(&word(context));
        Ok(())
    }
}

/// A counter rose: an event, told by the value before. As a job where `job` is true. Undone by counting back,
/// which may not happen twice either.
struct Tick(World);

impl Tick {
    fn value(&self, context: &StepContext) -> i64 {
        self.0
            .things()
            .ticks
            .get(&word(context))
            .copied()
            .unwrap_or_default()
    }
    fn key(context: &StepContext) -> JobKey {
        (context.run, context.step, context.attempt)
    }
}

#[async_trait]
impl StepKind for Tick {
    fn name(&self) -> &'static str {
        "tick"
    }
    fn check(&self, params: &Value) -> Result<(), String> {
        params["word"]
            .as_str()
            .map(drop)
            .ok_or_else(|| "no word".to_owned())
    }
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        match context.memo.as_i64() {
            Some(before) if self.value(context) > before => done("it rose"),
            _ => not_done("it did not rise"),
        }
    }
    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        Ok(json!(self.value(context)))
    }
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        if context.params["job"].as_bool() == Some(true) {
            self.0.job(Self::key(context), &word(context));
            return self.reattach(context).await.map(drop);
        }
        *self.0.things().ticks.entry(word(context)).or_default() += 1;
        Ok(())
    }
    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        let job = self
            .0
            .jobs
            .lock()
            .unwrap()
            .get(&Self::key(context))
            .cloned();
        if let Some(mut job) = job {
            job.wait_for(|ended| *ended)
                .await
                .map_err(|e| StepFailure::fatal(e.to_string()))?;
        }
        Ok(Attached::Over)
    }
    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        // As slow as a host: the run goes on meanwhile.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.0.jobs.lock().unwrap().remove(&Self::key(context));
        Ok(())
    }
    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if context.memo.as_i64() == Some(self.value(context)) {
            done("as before")
        } else {
            not_done("it differs")
        }
    }
    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let mut things = self.0.things();
        let value = things.ticks.entry(word(context)).or_default();
        *value -= 1;
        if *value == 0 {
            things.ticks.remove(&word(context));
        }
        Ok(())
    }
}

/// A word is taken away. Its undo gives it back.
struct Take(World);

#[async_trait]
impl StepKind for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn check(&self, params: &Value) -> Result<(), String> {
        Put(self.0.clone()).check(params)
    }
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if self.0.things().taken.contains(&word(context)) {
            done("it is taken away")
        } else {
            not_done("it is there")
        }
    }
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.0.things().taken.insert(word(context));
        Ok(())
    }
    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if *self.0.stuck.lock().unwrap() {
            return Err(StepFailure::fatal("it is stuck"));
        }
        if self.0.things().taken.contains(&word(context)) {
            not_done("it is taken away")
        } else {
            done("it is there again")
        }
    }
    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.0.things().taken.remove(&word(context));
        Ok(())
    }
}

/// A word that was taken away is there again.
struct Return(World);

#[async_trait]
impl StepKind for Return {
    fn name(&self) -> &'static str {
        "return"
    }
    fn check(&self, params: &Value) -> Result<(), String> {
        Put(self.0.clone()).check(params)
    }
    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        if self.0.things().taken.contains(&word(context)) {
            not_done("it is taken away")
        } else {
            done("it is there again")
        }
    }
    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        self.0.things().taken.remove(&word(context));
        Ok(())
    }
}

pub(crate) struct Weather(pub(crate) World);

#[async_trait]
impl Preflight for Weather {
    async fn collect(&self, _: RunId, plan: &Plan, _: StageIndex, _: &RunState) -> Vec<Fact> {
        let blocked = *self.0.blocked.lock().unwrap();
        vec![Fact {
            subject: plan.cluster_name.clone(),
            name: "Weather".to_owned(),
            value: self.0.weather.lock().unwrap().clone(),
            diff: self.0.diff.lock().unwrap().clone(),
            kind: FactKind::Equal,
            verdict: if blocked {
                Verdict::Fail
            } else {
                Verdict::Pass
            },
            advice: None,
            next: None,
        }]
    }
}

pub(crate) fn step(kind: &str, word: &str, job: bool) -> Step {
    Step {
        kind: kind.to_owned(),
        title: format!("{kind} {word}"),
        host: Some(HostId(1)),
        target: "host".to_owned(),
        params: json!({ "word": word, "job": job }),
        commands: vec![],
        undo: Some("take it back".to_owned()),
        compensation: None,
        restores: vec![],
        irreversible: false,
        interruptible: true,
        ends_at_stop: false,
        deadline_s: 60,
        forecast: None,
    }
}

pub(crate) fn plan() -> Plan {
    let gate = |title: &str| {
        Some(Gate {
            title: title.to_owned(),
            confirm: None,
            preflight: Value::Null,
        })
    };
    let last = Step {
        irreversible: true,
        undo: None,
        ..step("tick", "irreversible", false)
    };
    Plan {
        workflow: "toy".to_owned(),
        title: "Play".to_owned(),
        inputs: BTreeMap::new(),
        cluster: None,
        cluster_name: "toys".to_owned(),
        locks: vec!["cluster:1".to_owned()],
        stages: vec![
            Stage {
                title: "Side by side".to_owned(),
                gate: gate("Begin"),
                steps: vec![step("put", "a", false), step("tick", "b", false)],
            },
            Stage {
                title: "A job".to_owned(),
                gate: None,
                steps: vec![step("tick", "job", true)],
            },
            Stage {
                title: "For good".to_owned(),
                gate: gate("For good"),
                steps: vec![last],
            },
            Stage {
                title: "After".to_owned(),
                gate: None,
                steps: vec![step("put", "last", false)],
            },
        ],
        warnings: vec![],
        outage: None,
        undo_outage: None,
    }
}

pub(crate) fn kinds(world: &World) -> Vec<Arc<dyn StepKind>> {
    vec![
        Arc::new(Put(world.clone())),
        Arc::new(Tick(world.clone())),
        Arc::new(Take(world.clone())),
        Arc::new(Return(world.clone())),
    ]
}

/// The toy workflow.
pub(crate) struct Toy;

impl Subject for Toy {
    type Picture = Things;
    type World = World;

    fn world(&self) -> World {
        World::default()
    }
    fn plan(&self) -> Plan {
        plan()
    }
    fn kinds(&self, world: &World) -> Vec<Arc<dyn StepKind>> {
        kinds(world)
    }
    fn preflight(&self, world: &World) -> Arc<dyn Preflight> {
        Arc::new(Weather(world.clone()))
    }
    fn picture(&self, world: &World) -> Things {
        world.things().clone()
    }
}

/// Takes the door away and returns it as planned; takes the light away for the whole run.
pub(crate) struct Errand;

impl Errand {
    pub(crate) const DOOR: u32 = 0;
    pub(crate) const JOB: u32 = 3;
    pub(crate) const DOOR_BACK: u32 = 4;
}

impl Subject for Errand {
    type Picture = Things;
    type World = World;

    fn world(&self) -> World {
        World::default()
    }
    fn plan(&self) -> Plan {
        let take = |word: &str| Step {
            host: None,
            undo: None,
            compensation: Some(format!("bring the {word} back")),
            ..step("take", word, false)
        };
        let job = Step {
            host: None,
            ends_at_stop: true,
            ..step("tick", "job", true)
        };
        let back = Step {
            host: None,
            undo: None,
            restores: vec![Self::DOOR],
            ..step("return", "door", false)
        };
        let stage = |title: &str, gate: Option<Gate>, step: Step| Stage {
            title: title.to_owned(),
            gate,
            steps: vec![step],
        };
        let mut plan = plan();
        let (first, second) = (plan.stages[0].gate.take(), plan.stages[2].gate.take());
        plan.stages = vec![
            stage("Take the door", first, take("door")),
            stage("Put", None, step("put", "a", false)),
            stage("Take the light", second, take("light")),
            stage("Watch", None, job),
            stage("Return the door", None, back),
            stage("After", None, step("put", "last", false)),
        ];
        plan
    }
    fn kinds(&self, world: &World) -> Vec<Arc<dyn StepKind>> {
        kinds(world)
    }
    fn preflight(&self, world: &World) -> Arc<dyn Preflight> {
        Arc::new(Weather(world.clone()))
    }
    fn picture(&self, world: &World) -> Things {
        world.things().clone()
    }
}

impl Takes for Errand {
    fn taken(&self, world: &World) -> BTreeSet<String> {
        world.things().taken.clone()
    }
}

/// Only steps that may be repeated within one attempt: a plain tick is an event that may not.
pub(crate) struct Idempotent;

impl Subject for Idempotent {
    type Picture = Things;
    type World = World;

    fn world(&self) -> World {
        World::default()
    }
    fn plan(&self) -> Plan {
        let mut plan = plan();
        plan.stages[0].steps.pop();
        plan.stages.remove(2);
        plan
    }
    fn kinds(&self, world: &World) -> Vec<Arc<dyn StepKind>> {
        kinds(world)
    }
    fn preflight(&self, world: &World) -> Arc<dyn Preflight> {
        Arc::new(Weather(world.clone()))
    }
    fn picture(&self, world: &World) -> Things {
        world.things().clone()
    }
}
