//! Step kind `place_k3s`: another k3s lies on a node, whose unit and environment file stay as they are. What runs
//! goes on until the next start.

mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::install::{Source, proxies};
use coxswain_k3s::names::K3sVersion;
use coxswain_k3s::unit_file::UnitFile;
use coxswain_wire::{HostId, RunId, SecretId, StepIndex, step_number};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use script::{FORGET, KEPT, PUT_BACK};

use super::jobs::{self, Job, host};
use super::node_files::{NodeFiles, env_path, unit_path};
use super::remove_k3s::KEEP_ROOT;
use super::resolve_release::binary;
use super::restart::NodeRole;
use super::services::SecretKind;
use super::unit::UnitLook;
use super::{Services, check, failure, memo};
use crate::world::{JobSpec, JobStatus, RemoteCommand, Secret, World};

/// Stored name.
pub const KIND: &str = "place_k3s";
/// Name of the output: the node's files as they were before, a secret. None if nothing was to be done.
pub const BEFORE: &str = "files_before";
/// Time the download and the installer may take.
const INSTALLER: Duration = Duration::from_secs(600);
/// Recommended deadline, seconds.
pub const DEADLINE_S: u32 = 660;
/// The k3s of a node.
pub(crate) const PROGRAM: &str = "/usr/local/bin/k3s";

/// Parameters: the step's host is where it is placed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Server or agent: the unit.
    pub role: NodeRole,
    /// Where k3s comes from.
    pub source: Source,
    /// Exactly which one.
    pub version: Param<K3sVersion>,
}

/// The node as it was.
#[derive(Serialize, Deserialize)]
struct Memo {
    version: Option<K3sVersion>,
    /// InvocationID of k3s: a later one runs with what was placed.
    invocation: String,
    /// [`NodeFiles`] as JSON, in the vault.
    files: SecretId,
}

/// The step kind.
pub struct PlaceK3s(pub Services);

/// Where a step of this kind keeps what was there before.
pub(crate) fn keep_dir(run: RunId, step: StepIndex) -> String {
    format!("{KEEP_ROOT}/{run}-{}", step_number(step))
}

/// Something is kept there.
pub(crate) async fn kept(world: &dyn World, host: HostId, keep: &str) -> Result<bool, StepFailure> {
    let look = RemoteCommand::script(KEPT).arg(keep).sudo();
    let answer = world.run(host, look).await;
    let answer = answer
        .and_then(|o| o.ok(KEPT.name))
        .map_err(failure::world)?;
    Ok(!answer.text().trim().is_empty())
}

/// The files that a step of this kind has put into the vault.
pub(crate) async fn files_of(services: &Services, id: SecretId) -> Result<NodeFiles, StepFailure> {
    let stored = services.secrets.get(id).await.map_err(failure::service)?;
    serde_json::from_slice(stored.expose())
        .map_err(|_| StepFailure::fatal("the files in the vault do not decode"))
}

/// The unit is where the installer puts it, and starts the program that the installer replaces.
///
/// # Errors
/// What it is instead.
pub(crate) fn replaceable(files: &NodeFiles, role: NodeRole) -> Result<(), String> {
    let path = unit_path(role);
    let unit = files
        .text(&path)
        .ok_or_else(|| format!("{} is not {path}, where the installer puts it", role.unit()))?;
    let command = UnitFile::parse(unit).and_then(|unit| unit.command());
    let program = command.map_err(|e| format!("{path}: {e}"))?.program;
    if program == PROGRAM {
        Ok(())
    } else {
        Err(format!(
            "{path}: ExecStart starts {program} instead of {PROGRAM}"
        ))
    }
}

/// What to do where it is not.
pub(crate) const ADVICE: &str = "The installer would replace another k3s than the one that runs. Upgrade k3s by hand on this host.";

impl PlaceK3s {
    async fn spec(&self, context: &StepContext, params: &Params) -> Result<JobSpec, StepFailure> {
        let version = version(context, params)?;
        let noted: Memo = memo(context)?;
        let before = files_of(&self.0, noted.files).await?;
        let env = before.text(&env_path(params.role)).unwrap_or_default();
        let spec = script::spec(
            &params.source.pinned(&version),
            params.role,
            keep_dir(context.run, context.step),
            INSTALLER,
        );
        // A proxy's address may hold a password.
        let proxies = proxies(&EnvFile::parse(env));
        Ok(proxies.into_iter().fold(spec, |spec, (name, value)| {
            spec.secret_env(name, Secret::new(value))
        }))
    }
}

fn version(context: &StepContext, params: &Params) -> Result<K3sVersion, StepFailure> {
    let version = params.version.resolve(&context.outputs);
    version.map_err(StepFailure::fatal)
}

/// As it was before the step.
fn same(found: Option<&K3sVersion>, before: &Memo, files: &NodeFiles, now: &NodeFiles) -> bool {
    found == before.version.as_ref() && files.differences(now).is_none()
}

#[async_trait]
impl StepKind for PlaceK3s {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let wanted = version(context, &params)?;
        let (world, on) = (&*self.0.world, host(context)?);
        let status = if context.applied {
            Job::of(world, context)?.status().await?
        } else {
            JobStatus::Absent
        };
        if let Some(failed) = jobs::failed(&status, "the installer") {
            return Err(failed);
        }
        if status == JobStatus::Running {
            let why = "the installer is still at work".to_owned();
            return Ok(Probe::NotDone { why });
        }
        let found = binary(world, on, PROGRAM).await?;
        if found.as_ref() != Some(&wanted) {
            let found = found.map_or("no k3s that runs".to_owned(), |v| format!("k3s {v}"));
            let why = format!("{} has {found} instead of {wanted}", context.target);
            return Ok(Probe::NotDone { why });
        }
        if context.memo.is_null() {
            return Ok(Probe::Done {
                observed: format!("k3s {wanted} lies on {} already", context.target),
                outputs: BTreeMap::new(),
            });
        }
        let noted: Memo = memo(context)?;
        let before = files_of(&self.0, noted.files).await?;
        let now = match NodeFiles::take(world, on, params.role).await {
            Ok(now) => now,
            // A crash while the installer wrote the unit: trying again puts it back.
            Err(StepFailure::Fatal(error)) => return Ok(Probe::NotDone { why: error.message }),
            Err(unreachable @ StepFailure::Unreachable(_)) => return Err(unreachable),
        };
        if let Some(other) = before.differences(&now) {
            let why = format!("not as before: {other}");
            return Ok(Probe::NotDone { why });
        }
        Ok(Probe::Done {
            observed: format!(
                "k3s {wanted} lies on {}; byte for byte as before: {}",
                context.target,
                now.names()
            ),
            outputs: BTreeMap::from([(BEFORE.to_owned(), Output::Secret { id: noted.files })]),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let (world, on) = (&*self.0.world, host(context)?);
        let files = NodeFiles::take(world, on, params.role).await?;
        replaceable(&files, params.role).map_err(|why| failure::fatal(why, ADVICE))?;
        let look = UnitLook::take(world, on, params.role.unit(), None).await?;
        let json = serde_json::to_vec(&files).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let kept = self
            .0
            .secrets
            .put(SecretKind::FileBefore, Secret::new(json));
        let noted = Memo {
            version: binary(world, on, PROGRAM).await?,
            invocation: look.invocation,
            files: kept.await.map_err(failure::service)?,
        };
        serde_json::to_value(noted).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let spec = self.spec(context, &params).await?;
        Job::of(&*self.0.world, context)?
            .run(&spec, context.output.as_ref())
            .await
    }

    async fn reattach(&self, context: &StepContext) -> Result<Attached, StepFailure> {
        Job::of(&*self.0.world, context)?.reattach(context).await
    }

    async fn interrupt(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.stop().await
    }

    async fn forget(&self, context: &StepContext) -> Result<(), StepFailure> {
        Job::of(&*self.0.world, context)?.remove().await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let noted: Memo = memo(context)?;
        let (world, on) = (&*self.0.world, host(context)?);
        let before = files_of(&self.0, noted.files).await?;
        let found = binary(world, on, PROGRAM).await?;
        let now = NodeFiles::take(world, on, params.role).await;
        let look = UnitLook::take(world, on, params.role.unit(), None).await?;
        let back = now.is_ok_and(|now| same(found.as_ref(), &noted, &before, &now));
        let kept = kept(world, on, &keep_dir(context.run, context.step)).await?;
        // A crash of the host while the unit was away keeps k3s from starting with it.
        let down = look.enabled && look.stopped();
        Ok(if back && !kept && !down {
            Probe::Done {
                observed: "the binary and all files are as they were".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "the binary that was there before is not back".to_owned(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let noted: Memo = memo(context)?;
        let (world, on) = (&*self.0.world, host(context)?);
        let look = UnitLook::take(world, on, params.role.unit(), None).await?;
        let found = binary(world, on, PROGRAM).await?;
        // Whether or not it came up: with its start it may have begun to convert data.
        let started = !look.invocation.is_empty() && look.invocation != noted.invocation;
        if started && found != noted.version {
            return Err(failure::fatal(
                format!(
                    "k3s on {} has been started since the new version lies there",
                    context.target
                ),
                "k3s does not go back to an older version: its data may be in a newer form. Correct what keeps it from coming up (journalctl on the host), then retry the run instead.",
            ));
        }
        let spec = JobSpec::new(PUT_BACK, Duration::from_secs(120))
            .arg(params.role.unit())
            .arg(keep_dir(context.run, context.step));
        Job::of_undo(world, context)?.run_again(&spec).await
    }
}
