//! Step kind `move_token`: secrets off k3s's command line, where everybody may read them, into the unit's
//! environment file of mode 0600. k3s goes on as it is: what it is told at its next start is the same.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::config_yaml::Config;
use coxswain_k3s::env_file::EnvFile;
use coxswain_k3s::settings::Settings;
use coxswain_k3s::unit_file::{UnitEnvironment, UnitFile};
use coxswain_k3s::unit_token::{MoveError, Moved, move_secrets, secret_variables};
use coxswain_wire::{HostId, SecretId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::inspect::inspect;
use super::jobs::host;
use super::node_files::env_path;
use super::restart::NodeRole;
use super::sections::value;
use super::server_files::reload;
use super::services::SecretKind;
use super::unit::UnitLook;
use super::{Services, check, failure, memo};
use crate::world::{RemoteCommand, Script, Secret};

/// Stored name.
pub const KIND: &str = "move_token";

/// Longest file that is read.
const MAX: usize = 256 * 1024;

/// `$1` the unit.
pub(crate) const PLACES: Script = Script {
    name: "unit-places",
    text: r#"systemctl show "$1" -p FragmentPath -p NeedDaemonReload || exit 1
file=$(systemctl show "$1" -p FragmentPath | sed 's/^FragmentPath=//')
[ ! -f "$file" ] || echo "Mode=$(stat -L -c %a "$file")"
"#,
};

/// Parameters: the step's host is where the unit is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Server or agent: the unit.
    pub role: NodeRole,
}

/// Both files as they were, in the vault.
#[derive(Serialize, Deserialize)]
struct Before {
    path: String,
    mode: u32,
    unit: SecretId,
    /// None if there was no environment file.
    env: Option<SecretId>,
}

/// Both files.
struct Files {
    unit: String,
    env: Option<String>,
}

/// Where they lie.
struct Places {
    path: String,
    mode: u32,
    reloaded: bool,
}

/// The step kind.
pub struct MoveToken(pub Services);

fn refuse<T>(why: String) -> Result<T, StepFailure> {
    Err(failure::fatal(
        why,
        "Nothing was changed on this host. Move the token by hand, or leave it.",
    ))
}

fn wanted(role: NodeRole, files: &Files) -> Result<Option<Moved>, StepFailure> {
    let env = files.env.as_deref().unwrap_or_default();
    UnitFile::parse(&files.unit)
        .map_err(MoveError::from)
        .and_then(|unit| move_secrets(&unit, &env_path(role), env))
        .or_else(|e| refuse(e.to_string()))
}

impl MoveToken {
    /// What would be moved into the environment file, by the names of its variables; none if no secret stands on
    /// the command line.
    pub(crate) async fn preview(
        &self,
        host: HostId,
        role: NodeRole,
    ) -> Result<Option<Vec<String>>, StepFailure> {
        let places = self.places(host, role).await?;
        let files = self.files(host, role, &places.path).await?;
        let look = self.in_force(host, role, &files).await?;
        let Some(moved) = wanted(role, &files)? else {
            return Ok(None);
        };
        self.counts(host, role, &files, &look).await?;
        self.same_told(host, &files, &moved).await?;
        Ok(Some(
            moved.variables.into_iter().map(str::to_owned).collect(),
        ))
    }

    async fn places(&self, host: HostId, role: NodeRole) -> Result<Places, StepFailure> {
        let look = RemoteCommand::script(PLACES).arg(role.unit()).sudo();
        let answer = self.0.world.run(host, look).await;
        let text = answer
            .and_then(|o| o.ok(PLACES.name))
            .map_err(failure::world)?
            .text();
        let get = |key: &str| value(&text, key).unwrap_or_default().to_owned();
        Ok(Places {
            path: get("FragmentPath"),
            mode: u32::from_str_radix(&get("Mode"), 8).unwrap_or(0o644),
            reloaded: get("NeedDaemonReload") == "no",
        })
    }

    async fn text(&self, host: HostId, path: &str) -> Result<Option<String>, StepFailure> {
        let file = self.0.world.read_file(host, path, MAX).await;
        match file.map_err(failure::world)?.map(String::from_utf8) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(StepFailure::fatal(format!("{path} is not UTF-8 text"))),
        }
    }

    async fn files(&self, host: HostId, role: NodeRole, path: &str) -> Result<Files, StepFailure> {
        let unit = self.text(host, path).await?;
        Ok(Files {
            unit: unit.ok_or_else(|| StepFailure::fatal(format!("there is no file {path}")))?,
            env: self.text(host, &env_path(role)).await?,
        })
    }

    async fn stored(&self, id: SecretId) -> Result<String, StepFailure> {
        let secret = self.0.secrets.get(id).await.map_err(failure::service)?;
        Ok(String::from_utf8_lossy(secret.expose()).into_owned())
    }

    async fn before(&self, context: &StepContext) -> Result<(Before, Files), StepFailure> {
        let before: Before = memo(context)?;
        let unit = self.stored(before.unit).await?;
        let env = match before.env {
            Some(id) => Some(self.stored(id).await?),
            None => None,
        };
        Ok((before, Files { unit, env }))
    }

    /// Refuses a unit whose command line stands in a drop-in. Gives the unit with its drop-ins.
    async fn in_force(
        &self,
        host: HostId,
        role: NodeRole,
        files: &Files,
    ) -> Result<UnitLook, StepFailure> {
        let look = UnitLook::take(&*self.0.world, host, role.unit(), None).await?;
        let command = |text: &str| UnitFile::parse(text).and_then(|unit| unit.command());
        if command(&look.files) == command(&files.unit) {
            return Ok(look);
        }
        refuse(format!(
            "a drop-in of {} sets another ExecStart",
            role.unit()
        ))
    }

    /// Refuses where something else than the environment file would count.
    async fn counts(
        &self,
        host: HostId,
        role: NodeRole,
        files: &Files,
        look: &UnitLook,
    ) -> Result<(), StepFailure> {
        let (unit, path) = (role.unit(), env_path(role));
        let own = UnitEnvironment::parse(&files.unit, unit);
        let told = UnitEnvironment::parse(&look.files, unit);
        if secret_variables(&own.values) != secret_variables(&told.values) {
            return refuse(format!("a drop-in of {unit} sets a token in Environment="));
        }
        let Some(at) = told.files.iter().rposition(|file| *file == path) else {
            return refuse(format!("{unit} with its drop-ins does not read {path}"));
        };
        for later in &told.files[at + 1..] {
            let text = self.text(host, later).await?.unwrap_or_default();
            if !EnvFile::parse(&text).secrets().is_empty() {
                return refuse(format!(
                    "{unit} reads {later} after {path}, and that file sets a token, too"
                ));
            }
        }
        Ok(())
    }

    /// Refuses what would change what k3s is told.
    async fn same_told(
        &self,
        host: HostId,
        files: &Files,
        moved: &Moved,
    ) -> Result<(), StepFailure> {
        let found = inspect(&*self.0.world, host)
            .await
            .map_err(failure::world)?;
        let config = found
            .config_files
            .iter()
            .map(|f| (f.path.as_str(), f.text.as_str()));
        let config = Config::merge(config).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let told = |unit: &UnitFile, env: &str| {
            unit.command()
                .map(|c| Settings::effective(&c.args, &config, &EnvFile::parse(env)))
                .map_err(|e| StepFailure::fatal(e.to_string()))
        };
        let unit = UnitFile::parse(&files.unit).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let before = told(&unit, files.env.as_deref().unwrap_or_default())?;
        let after = told(&moved.unit, &moved.env)?;
        let other = before
            .iter()
            .find(|(name, setting)| after.values(name) != setting.values);
        match other {
            None => Ok(()),
            Some((name, _)) => Err(failure::fatal(
                format!(
                    "config.yaml sets {name} too: with it gone from the command line, k3s would take that one"
                ),
                "Nothing was changed. Take the line out of config.yaml, then retry.",
            )),
        }
    }

    async fn write(
        &self,
        host: HostId,
        path: &str,
        text: &str,
        mode: u32,
    ) -> Result<(), StepFailure> {
        let world = &*self.0.world;
        world
            .write_file(host, path, text.as_bytes(), mode)
            .await
            .map_err(failure::world)
    }
}

#[async_trait]
impl StepKind for MoveToken {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let Params { role } = context.params()?;
        let host = host(context)?;
        let places = self.places(host, role).await?;
        let now = self.files(host, role, &places.path).await?;
        let done = |observed: String| Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        };
        let missing = |why: &str| Probe::NotDone {
            why: why.to_owned(),
        };
        if context.memo.is_null() {
            self.in_force(host, role, &now).await?;
            return Ok(match wanted(role, &now)? {
                None => done(format!("no token stands in {}", places.path)),
                Some(_) => missing("a token stands in the unit file"),
            });
        }
        let (_, files) = self.before(context).await?;
        let Some(moved) = wanted(role, &files)? else {
            return Ok(done(format!("no token stands in {}", places.path)));
        };
        Ok(if now.unit != moved.unit.text() {
            missing("a token stands in the unit file")
        } else if now.env.as_deref() != Some(moved.env.as_str()) {
            missing("the environment file has not got it")
        } else if !places.reloaded {
            missing("systemd has not read the unit file anew")
        } else {
            done(format!(
                "{} in {}, none in {}",
                moved.variables.join(", "),
                env_path(role),
                places.path
            ))
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let Params { role } = context.params()?;
        let host = host(context)?;
        let places = self.places(host, role).await?;
        let files = self.files(host, role, &places.path).await?;
        let look = self.in_force(host, role, &files).await?;
        let moved = wanted(role, &files)?
            .ok_or_else(|| StepFailure::fatal(format!("{} has changed just now", places.path)))?;
        self.counts(host, role, &files, &look).await?;
        self.same_told(host, &files, &moved).await?;
        let keep = async |text: &str| {
            self.0
                .secrets
                .put(SecretKind::FileBefore, Secret::new(text))
                .await
                .map_err(failure::service)
        };
        let before = Before {
            unit: keep(&files.unit).await?,
            env: match &files.env {
                Some(text) => Some(keep(text).await?),
                None => None,
            },
            path: places.path,
            mode: places.mode,
        };
        serde_json::to_value(before).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let Params { role } = context.params()?;
        let host = host(context)?;
        let (before, files) = self.before(context).await?;
        let Some(moved) = wanted(role, &files)? else {
            return Ok(());
        };
        // First where it goes, then where it was: k3s could be started at any moment.
        self.write(host, &env_path(role), &moved.env, 0o600).await?;
        self.write(host, &before.path, moved.unit.text(), before.mode)
            .await?;
        reload(&*self.0.world, host, None).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let Params { role } = context.params()?;
        let host = host(context)?;
        let (before, files) = self.before(context).await?;
        let now = self.files(host, role, &before.path).await?;
        let reloaded = self.places(host, role).await?.reloaded;
        Ok(
            if now.unit == files.unit && now.env == files.env && reloaded {
                Probe::Done {
                    observed: "both files are as they were".to_owned(),
                    outputs: BTreeMap::new(),
                }
            } else {
                Probe::NotDone {
                    why: "the files are not as they were".to_owned(),
                }
            },
        )
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let Params { role } = context.params()?;
        let host = host(context)?;
        let (before, files) = self.before(context).await?;
        self.write(host, &before.path, &files.unit, before.mode)
            .await?;
        let path = env_path(role);
        match &files.env {
            Some(text) => {
                self.write(host, &path, text, 0o600).await?;
                reload(&*self.0.world, host, None).await
            }
            None => reload(&*self.0.world, host, Some(&path)).await,
        }
    }
}
