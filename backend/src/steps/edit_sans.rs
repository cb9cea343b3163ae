//! Step kind `edit_sans`: a server's files name the wanted `tls-san`. k3s reads them at its next start.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::sans::{Edit, SanChange, SanError};
use coxswain_wire::SecretId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::kube::ApiHost;
use super::server_files::{FilesLook, read_text, reload};
use super::services::SecretKind;
use super::{Services, check, failure};
use crate::world::{Secret, World};

/// Stored name.
pub const KIND: &str = "edit_sans";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The server.
    pub server: ApiHost,
    /// What to change.
    pub change: SanChange,
}

/// The files as they were.
#[derive(Serialize, Deserialize)]
struct Memo {
    files: Vec<Before>,
}

/// One of them.
#[derive(Serialize, Deserialize)]
struct Before {
    path: String,
    mode: u32,
    /// Its content; it may hold secrets.
    content: SecretId,
    /// SHA-256 of what we write in its place.
    ours: String,
}

/// The step kind.
pub struct EditSans(pub Services);

impl EditSans {
    async fn look(&self, params: &Params) -> Result<FilesLook, StepFailure> {
        FilesLook::take(&*self.0.world, params.server.host)
            .await?
            .map_err(|error| refused(&error))
    }

    async fn write(
        &self,
        params: &Params,
        path: &str,
        content: &[u8],
        mode: u32,
    ) -> Result<(), StepFailure> {
        self.0
            .world
            .write_file(params.server.host, path, content, mode)
            .await
            .map_err(failure::world)
    }

    /// A file's old content, if it is not there now.
    async fn to_restore(
        &self,
        world: &dyn World,
        params: &Params,
        file: &Before,
    ) -> Result<Option<Secret>, StepFailure> {
        let now = read_text(world, params.server.host, &file.path).await?;
        let old = self
            .0
            .secrets
            .get(file.content)
            .await
            .map_err(failure::service)?;
        match now {
            Some(now) if now.as_bytes() == old.expose() => Ok(None),
            Some(now) if hash(&now) == file.ours => Ok(Some(old)),
            Some(_) | None => Err(failure::fatal(
                format!(
                    "{} on {} was changed by somebody else since",
                    file.path, params.server.name
                ),
                "Take the names back there by hand, then retry.",
            )),
        }
    }
}

/// Why the files cannot be used, as a failure.
pub(crate) fn refused(error: &SanError) -> StepFailure {
    failure::fatal(
        error.to_string(),
        "Correct the file on the server, then retry.",
    )
}

fn hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

#[async_trait]
impl StepKind for EditSans {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let look = self.look(&params).await?;
        let names = look.files.settings().sans();
        Ok(if !look.files.say(&params.change) {
            Probe::NotDone {
                why: format!("{} names {}", look.files.place(), words(names)),
            }
        } else if look.needs_reload {
            Probe::NotDone {
                why: "systemd has not read the unit file again".to_owned(),
            }
        } else {
            Probe::Done {
                observed: format!("{} names {}", look.files.place(), words(names)),
                outputs: BTreeMap::new(),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let look = self.look(&params).await?;
        let edits = look.files.edits(&params.change).map_err(|e| refused(&e))?;
        let mut files = Vec::new();
        for Edit {
            path,
            before,
            after,
        } in edits
        {
            let content = self
                .0
                .secrets
                .put(SecretKind::FileBefore, Secret::new(before))
                .await
                .map_err(failure::service)?;
            files.push(Before {
                mode: look.mode(&path)?,
                path,
                content,
                ours: hash(&after),
            });
        }
        serde_json::to_value(Memo { files }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let look = self.look(&params).await?;
        for edit in look.files.edits(&params.change).map_err(|e| refused(&e))? {
            // What undo does not know how to put back is not written.
            let noted = memo
                .files
                .iter()
                .any(|file| file.path == edit.path && file.ours == hash(&edit.after));
            if !noted {
                return Err(failure::fatal(
                    format!("{} was changed meanwhile by somebody else", edit.path),
                    "Unwind, and start a new run.",
                ));
            }
            let mode = look.mode(&edit.path)?;
            self.write(&params, &edit.path, edit.after.as_bytes(), mode)
                .await?;
        }
        reload(&*self.0.world, params.server.host, None).await
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        for file in &memo.files {
            if self
                .to_restore(&*self.0.world, &params, file)
                .await?
                .is_some()
            {
                return Ok(Probe::NotDone {
                    why: format!("{} is not as before", file.path),
                });
            }
        }
        Ok(if self.look(&params).await?.needs_reload {
            Probe::NotDone {
                why: "systemd has not read the unit file again".to_owned(),
            }
        } else {
            Probe::Done {
                observed: "the files are as before".to_owned(),
                outputs: BTreeMap::new(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        for file in &memo.files {
            if let Some(old) = self.to_restore(&*self.0.world, &params, file).await? {
                self.write(&params, &file.path, old.expose(), file.mode)
                    .await?;
            }
        }
        reload(&*self.0.world, params.server.host, None).await
    }
}

/// Names in words.
pub(crate) fn words(names: &[String]) -> String {
    if names.is_empty() {
        "no names".to_owned()
    } else {
        names.join(", ")
    }
}
