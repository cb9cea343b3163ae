//! The panel's side of the contest: its engine, its SQLite store and its SSH, in this process, on the data of a
//! panel that has enrolled the hosts. Only the step kind is the bench's own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use coxswain::config::{Config, Options};
use coxswain::serve::PanelLock;
use coxswain::store::{Db, RunStore};
use coxswain::time::now;
use coxswain::vault::{Known, Vault};
use coxswain::wiring::Panel;
use coxswain::world::{RealWorld, RemoteCommand, World, WorldSettings};
use coxswain_engine::engine::{Engine, Timing};
use coxswain_engine::event::Actor;
use coxswain_engine::evidence::Preflight;
use coxswain_engine::plan::{Plan, Stage, Step};
use coxswain_engine::state::RunState;
use coxswain_engine::step::{Probe, Registry, StepContext, StepFailure, StepKind};
use coxswain_wire::{Fact, HostId, Inputs, RunId, RunStatus, StageIndex, StepStatus, UserId};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::LOOKS;

/// For one run.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: &str = "look";

/// How the looks stand in the plan.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// One stage with all of them
    SideBySide,
    /// A stage for each
    OneByOne,
}

/// The panel without its HTTP side and its observer.
pub(crate) struct Durable {
    engine: Engine,
    db: Db,
    world: Arc<RealWorld>,
    hosts: Vec<(String, HostId)>,
    _runtime: TempDir,
    _lock: PanelLock,
}

impl Durable {
    /// Opens the data of a panel that does not run; the looks go to these hosts in turn.
    pub(crate) async fn open(data: &Path, hosts: Vec<(String, HostId)>) -> Result<Self> {
        let config = Config::try_from(Options {
            data_dir: data.to_owned(),
            ..Options::default()
        })?;
        let lock = PanelLock::take(data)?;
        let db = Db::open(&config.database()).await?;
        let known = Arc::new(Known::default());
        let vault = Arc::new(Vault::open(db.clone(), &config.vault_key, known.clone()).await?);
        let book = Arc::new(Panel::new(db.clone(), vault));
        let runtime = tempfile::Builder::new()
            .prefix("coxswain-bench-")
            .tempdir()?;
        let world = Arc::new(RealWorld::new(book, WorldSettings::new(runtime.path())).await?);
        let look: Arc<dyn StepKind> = Arc::new(Look(world.clone()));
        let engine = Engine::new(
            Arc::new(RunStore::new(db.clone(), known)),
            Registry::new([look]),
            Arc::new(NoGates),
            now,
            Timing::default(),
        );
        Ok(Self {
            engine,
            db,
            world,
            hosts,
            _runtime: runtime,
            _lock: lock,
        })
    }

    /// One run from its creation to its end, checked afterwards: every look was done in this run, and what it
    /// showed is stored.
    pub(crate) async fn round(&self, shape: Shape) -> Result<Duration> {
        let mut changed = self.engine.changed();
        let start = Instant::now();
        let run = self.engine.start(self.plan(shape), actor()).await?;
        let ended = async {
            loop {
                let latest = self.db.runs(1).await?;
                let status = latest.first().context("the run is not listed")?.status;
                if status != RunStatus::Running {
                    return anyhow::Ok(status);
                }
                match changed.recv().await {
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => bail!("the engine has ended"),
                }
            }
        };
        let status = timeout(PATIENCE, ended).await.context("the run hangs")??;
        let passed = start.elapsed();
        ensure!(status == RunStatus::Completed, "the run is {status:?}");
        self.check(run).await?;
        Ok(passed)
    }

    /// Closes connections and database.
    pub(crate) async fn close(self) {
        self.world.close().await;
        self.db.close().await;
    }

    fn plan(&self, shape: Shape) -> Plan {
        let steps = (0..LOOKS).map(|number| {
            let (name, host) = &self.hosts[number % self.hosts.len()];
            Step {
                kind: LOOK.to_owned(),
                title: format!("Read the host name of {name}"),
                host: Some(*host),
                target: name.clone(),
                params: Value::Null,
                commands: vec!["cat /etc/hostname".to_owned()],
                undo: None,
                compensation: None,
                restores: Vec::new(),
                ends_at_stop: false,
                irreversible: false,
                interruptible: true,
                deadline_s: 30,
                forecast: None,
            }
        });
        let stage = |steps| Stage {
            title: "Looks".to_owned(),
            gate: None,
            steps,
        };
        Plan {
            workflow: LOOK.to_owned(),
            title: format!("{LOOKS} looks"),
            inputs: Inputs::new(),
            cluster: None,
            cluster_name: String::new(),
            locks: Vec::new(),
            stages: match shape {
                Shape::SideBySide => vec![stage(steps.collect())],
                Shape::OneByOne => steps.map(|step| stage(vec![step])).collect(),
            },
            warnings: Vec::new(),
            outage: None,
            undo_outage: None,
        }
    }

    async fn check(&self, run: RunId) -> Result<()> {
        let view = self.engine.view(run).await?;
        ensure!(
            view.steps.len() == LOOKS
                && view
                    .steps
                    .iter()
                    .all(|step| step.status == StepStatus::Succeeded && step.attempt == 1),
            "not every step was done: {:?}",
            view.steps
        );
        let mut seen = BTreeSet::new();
        for chunk in self.db.output_after(run, 0, u32::MAX).await? {
            let (name, _) = &self.hosts[chunk.step as usize % self.hosts.len()];
            ensure!(chunk.text.trim() == name, "{} said {}", name, chunk.text);
            seen.insert(chunk.step);
        }
        ensure!(
            seen.len() == LOOKS,
            "only {} outputs are stored",
            seen.len()
        );
        Ok(())
    }
}

fn actor() -> Actor {
    Actor {
        id: UserId(1),
        name: "bench".to_owned(),
        address: "127.0.0.1".to_owned(),
    }
}

/// Runs `cat /etc/hostname` and keeps what it prints. There is nothing on the host by which a look could be
/// told to be done: it is done when its output is stored.
struct Look(Arc<RealWorld>);

#[async_trait]
impl StepKind for Look {
    fn name(&self) -> &'static str {
        LOOK
    }

    fn check(&self, _: &Value) -> Result<(), String> {
        Ok(())
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let stored = match &context.output {
            Some(output) => output.position().await,
            None => 0,
        };
        Ok(if stored > 0 {
            Probe::Done {
                observed: "read".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "nothing was read yet".to_owned(),
            }
        })
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let fatal = |error: String| StepFailure::fatal(error);
        let host = context.host.ok_or_else(|| fatal("no host".to_owned()))?;
        let command = RemoteCommand::program("cat").arg("/etc/hostname");
        let answer = self.0.run(host, command).await;
        let said = answer
            .and_then(|answer| answer.ok("cat"))
            .map_err(|e| fatal(e.to_string()))?;
        let output = context.output.as_ref();
        let output = output.ok_or_else(|| fatal("no output".to_owned()))?;
        output
            .append(0, &said.stdout)
            .await
            .map_err(|e| fatal(e.to_string()))?;
        output.finish().await.map_err(|e| fatal(e.to_string()))
    }
}

/// Plans of looks have no gate.
struct NoGates;

#[async_trait]
impl Preflight for NoGates {
    async fn collect(&self, _: RunId, _: &Plan, _: StageIndex, _: &RunState) -> Vec<Fact> {
        Vec::new()
    }
}
