//! Step kind `rotate_token`: k3s makes a new server token, which is read into the vault. Made by k3s and read
//! from its file, it never stands in an argument. Cannot be undone: servers need the new one from now on.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use coxswain_engine::step::{Attached, Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::token::{SERVER_TOKEN_FILE, Token};
use coxswain_wire::{ClusterId, SecretId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jobs::{self, Job};
use super::kube::ApiHost;
use super::services::SecretKind;
use super::{Services, check, failure, memo};
use crate::world::{JobSpec, JobStatus, Script, Secret};

/// Stored name.
pub const KIND: &str = "rotate_token";
/// Names of the outputs: both tokens, secrets.
pub const OLD: &str = "old_token";
/// See [`OLD`].
pub const NEW: &str = "new_token";

/// k3s takes the token that is in force from its own file, and makes the new one itself.
pub(crate) const ROTATE: Script = Script {
    name: "rotate-token",
    text: "exec /usr/local/bin/k3s token rotate --server https://127.0.0.1:6443\n",
};

/// Whether k3s has the command: by its help, which older releases print for anything.
pub(crate) const CAN: Script = Script {
    name: "can-rotate-token",
    text: r#"if /usr/local/bin/k3s token rotate --help 2>/dev/null | grep -q -e --new-token; then
    echo yes
else
    echo no
fi
"#,
};

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster.
    pub cluster: ClusterId,
    /// The server that is asked.
    pub server: ApiHost,
}

#[derive(Serialize, Deserialize)]
struct Memo {
    /// The token as it was.
    old: SecretId,
}

/// The step kind.
pub struct RotateToken(pub Services);

impl RotateToken {
    async fn on_server(&self, server: &ApiHost) -> Result<Token, StepFailure> {
        let file = self
            .0
            .world
            .read_file(server.host, SERVER_TOKEN_FILE, 4096)
            .await
            .map_err(failure::world)?;
        let file = file.unwrap_or_default();
        String::from_utf8_lossy(&file)
            .parse()
            .map_err(|e| StepFailure::fatal(format!("{SERVER_TOKEN_FILE} on {}: {e}", server.name)))
    }

    async fn secret(&self, id: SecretId) -> Result<Secret, StepFailure> {
        self.0.secrets.get(id).await.map_err(failure::service)
    }

    async fn stored(&self, cluster: ClusterId) -> Result<SecretId, StepFailure> {
        let stored = self.0.book.token(cluster).await.map_err(failure::service)?;
        stored.ok_or_else(|| StepFailure::fatal("the vault has no token of this cluster"))
    }
}

#[async_trait]
impl StepKind for RotateToken {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let not_yet = |why: &str| {
            Ok(Probe::NotDone {
                why: why.to_owned(),
            })
        };
        if context.memo.is_null() {
            return not_yet("the cluster has its old token");
        }
        let noted: Memo = memo(context)?;
        if context.applied {
            let status = Job::of(&*self.0.world, context)?.status().await?;
            if let Some(failed) = jobs::failed(&status, "k3s token rotate") {
                return Err(failed);
            }
            if status == JobStatus::Running {
                return not_yet("k3s is still at it");
            }
        }
        let here = self.on_server(&params.server).await?;
        let here = here.expose();
        let old = self.secret(noted.old).await?;
        if old.expose() == here.as_bytes() {
            return not_yet("the server has its old token");
        }
        let stored = self.stored(params.cluster).await?;
        if self.secret(stored).await?.expose() != here.as_bytes() {
            return not_yet("the vault has not got the new token");
        }
        Ok(Probe::Done {
            observed: format!(
                "{} has a new token; it is in the vault, and the old one stays there for the snapshots of its time",
                params.server.name
            ),
            outputs: BTreeMap::from([
                (OLD.to_owned(), Output::Secret { id: noted.old }),
                (NEW.to_owned(), Output::Secret { id: stored }),
            ]),
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let old = self.stored(params.cluster).await?;
        let here = self.on_server(&params.server).await?;
        if self.secret(old).await?.expose() != here.expose().as_bytes() {
            return Err(failure::fatal(
                format!("the vault has another token than {}", params.server.name),
                "Nothing was changed. Start again: the token is read into the vault first.",
            ));
        }
        serde_json::to_value(Memo { old }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let noted: Memo = memo(context)?;
        let old = self.secret(noted.old).await?;
        let has_old = |token: &Token| old.expose() == token.expose().as_bytes();
        let mut here = self.on_server(&params.server).await?;
        // An attempt before a crash may have done it.
        if has_old(&here) {
            Job::of(&*self.0.world, context)?
                .run(
                    &JobSpec::new(ROTATE, Duration::from_secs(90)),
                    context.output.as_ref(),
                )
                .await?;
            here = self.on_server(&params.server).await?;
        }
        if has_old(&here) {
            return Ok(());
        }
        let token = Secret::new(here.expose());
        let kept = self.0.secrets.put(SecretKind::ServerToken, token);
        let id = kept.await.map_err(failure::service)?;
        self.0
            .book
            .set_token(params.cluster, Some(id))
            .await
            .map_err(failure::service)
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
}
