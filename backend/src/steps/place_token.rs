//! Step kind `place_token`: a node is told another token at its next start. What runs goes on. Undone, its files
//! are as they were.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::Param;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::host;
use super::node_files::{NodeFiles, env_path, unit_path};
use super::restart::NodeRole;
use super::sections::{sections, value};
use super::server_files::{list, reload};
use super::services::SecretKind;
use super::told_token::ToldToken;
use super::{Services, check, failure, memo};
use crate::world::{Secret, World};

/// Stored name.
pub const KIND: &str = "place_token";

/// Parameters: the step's host is the node's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Server or agent: the unit.
    pub role: NodeRole,
    /// The token.
    pub token: Param<SecretId>,
}

#[derive(Serialize, Deserialize)]
struct Memo {
    /// The node's files before, as JSON.
    before: SecretId,
}

/// The step kind.
pub struct PlaceToken(pub Services);

/// What to do where the token stands in a place of its own.
pub(crate) const ADVICE: &str = "Put the token into the unit's environment file (K3S_TOKEN, mode 0600) by hand and take it out of the other place, then go on.";

/// A token readable for others ends with its file: nothing else may read it.
const OWNER_ONLY: u32 = 0o600;

impl PlaceToken {
    async fn token(&self, context: &StepContext, params: &Params) -> Result<String, StepFailure> {
        let id = params.token.resolve(&context.outputs);
        let id = id.map_err(StepFailure::fatal)?;
        let secret = self.0.secrets.get(id).await.map_err(failure::service)?;
        Ok(String::from_utf8_lossy(secret.expose()).into_owned())
    }

    async fn before(&self, context: &StepContext) -> Result<NodeFiles, StepFailure> {
        let memo: Memo = memo(context)?;
        let secret = self.0.secrets.get(memo.before).await;
        serde_json::from_slice(secret.map_err(failure::service)?.expose())
            .map_err(|e| StepFailure::fatal(format!("the files from before do not decode: {e}")))
    }
}

/// systemd has read the unit file as it is.
async fn reloaded(
    world: &dyn World,
    context: &StepContext,
    role: NodeRole,
) -> Result<bool, StepFailure> {
    let text = list(world, host(context)?, role.unit()).await?;
    let found = sections(&text);
    let unit = found.get("unit").map(String::as_str).unwrap_or_default();
    Ok(value(unit, "NeedDaemonReload") == Some("no"))
}

#[async_trait]
impl StepKind for PlaceToken {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let wanted = self.token(context, &params).await?;
        let world = &*self.0.world;
        let told = ToldToken::take(world, host(context)?, params.role).await?;
        if told.joined_with_its_own(params.role) {
            return Ok(Probe::Done {
                observed: format!(
                    "{} joined with a token made for joining alone, which stays",
                    context.target
                ),
                outputs: BTreeMap::new(),
            });
        }
        let unit = told.files.text(&unit_path(params.role)).unwrap_or_default();
        let why = if told.token.as_deref() != Some(&wanted) {
            "k3s would be told another token"
        } else if unit.contains(&wanted) {
            "the token stands in the unit file, where everybody may read it"
        } else if !reloaded(world, context, params.role).await? {
            "systemd has not read the unit file anew"
        } else {
            return Ok(Probe::Done {
                observed: format!(
                    "the next start of k3s on {} takes the new token",
                    context.target
                ),
                outputs: BTreeMap::new(),
            });
        };
        Ok(Probe::NotDone {
            why: why.to_owned(),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let files = NodeFiles::take(&*self.0.world, host(context)?, params.role).await?;
        let json = serde_json::to_vec(&files).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let kept = self
            .0
            .secrets
            .put(SecretKind::FileBefore, Secret::new(json));
        let before = kept.await.map_err(failure::service)?;
        serde_json::to_value(Memo { before }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let (world, on) = (&*self.0.world, host(context)?);
        let wanted = self.token(context, &params).await?;
        let told = ToldToken::take(world, on, params.role).await?;
        let retold = told
            .with(params.role, &wanted)
            .map_err(|why| failure::fatal(why, ADVICE))?;
        for (path, text) in &retold.files {
            let mode = match told.files.mode(path) {
                Some(mode) if *path == unit_path(params.role) => mode,
                Some(_) | None => OWNER_ONLY,
            };
            world
                .write_file(on, path, text.as_bytes(), mode)
                .await
                .map_err(failure::world)?;
        }
        reload(&*self.0.world, host(context)?, None).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let world = &*self.0.world;
        let before = self.before(context).await?;
        let now = NodeFiles::take(world, host(context)?, params.role).await?;
        let why = match before.differences(&now) {
            Some(other) => format!("not as before: {other}"),
            None if !reloaded(world, context, params.role).await? => {
                "systemd has not read the unit file anew".to_owned()
            }
            None => {
                return Ok(Probe::Done {
                    observed: format!("as before: {}", now.names()),
                    outputs: BTreeMap::new(),
                });
            }
        };
        Ok(Probe::NotDone { why })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let (world, on) = (&*self.0.world, host(context)?);
        let before = self.before(context).await?;
        let now = NodeFiles::take(world, on, params.role).await?;
        for (path, text, mode) in before.plain() {
            if now.text(path) == Some(text) && now.mode(path) == Some(mode) {
                continue;
            }
            world
                .write_file(on, path, text.as_bytes(), mode)
                .await
                .map_err(failure::world)?;
        }
        // The one file that the step makes where there is none.
        let env = env_path(params.role);
        let made = !before.has(&env) && now.has(&env);
        let deleted = made.then_some(env.as_str());
        reload(&*self.0.world, host(context)?, deleted).await
    }
}
