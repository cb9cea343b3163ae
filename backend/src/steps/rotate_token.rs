//! Step kind `rotate_token`: k3s makes a new server token, which is read into the vault. Made by k3s and read
//! from its file, it never stands in an argument. Cannot be undone: servers need the new one from now on.
//!
//! k3s writes its file first, and only then encrypts anew what servers start with (k3s `pkg/server/token.go`).
//! So the file proves nothing: the database must have that data under the new token, and no more under the old.

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
use super::{Services, check, etcd, failure, memo};
use crate::world::{JobSpec, JobStatus, Script, Secret};

/// Stored name.
pub const KIND: &str = "rotate_token";
/// Names of the outputs: both tokens, secrets.
pub const OLD: &str = "old_token";
/// See [`OLD`].
pub const NEW: &str = "new_token";

/// k3s takes the token that is in force from its own file, and makes the new one itself. Its own
/// address stands in its kubeconfig: the loopback, or its `bind-address`.
pub(crate) const ROTATE: Script = Script {
    name: "rotate-token",
    text: r#"own=$(sed -n 's/^ *server: *//p' /etc/rancher/k3s/k3s.yaml 2>/dev/null | head -n 1)
exec /usr/local/bin/k3s token rotate --server "${own:-https://127.0.0.1:6443}"
"#,
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

/// What the database belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    /// The old token alone.
    Old,
    /// The new token alone.
    New,
    /// k3s has not taken the old data out, which it mentions in its journal only.
    Both,
    /// Neither of the two.
    Other,
}

impl Database {
    fn of(keys: &[String], old: &Token, new: &Token) -> Self {
        let has = |token: &Token| keys.contains(&token.bootstrap_key());
        match (has(old), has(new)) {
            (true, false) => Database::Old,
            (false, true) => Database::New,
            (true, true) => Database::Both,
            (false, false) => Database::Other,
        }
    }
}

/// The servers' passwords of k3s, which are part of what servers start with.
const PASSWD: &str = "/var/lib/rancher/k3s/server/cred/passwd";

/// The token's file is new, the database is not. k3s cannot rotate again from there: it would look for the data of
/// the token in its file.
///
/// Nor does it start with the old token alone. A rotation writes the new one into [`PASSWD`] first of all
/// (`tokenRotate` in k3s `pkg/server/handlers/token.go`), and a k3s whose file differs from the database's copy and is
/// younger ends: "newer than datastore and could cause a cluster outage. Remove the file(s) from disk and restart to
/// be recreated from datastore." (`ReconcileBootstrapData` in k3s `pkg/cluster/bootstrap.go`).
fn half_done(server: &str, database: Database) -> Option<StepFailure> {
    match database {
        Database::New => None,
        Database::Old | Database::Other => Some(failure::fatal(
            format!(
                "{server} has a new token in its file, but the database does not belong to it: the rotation is half done"
            ),
            format!(
                "Do not restart the other servers; they run with the old token, which still stands in their {SERVER_TOKEN_FILE}. On {server}, put that token into /etc/systemd/system/k3s.service.env (K3S_TOKEN=\u{2026}, mode 0600), stop k3s, move {PASSWD} aside, which has the new token and would keep k3s from starting, and start k3s: it writes the old token into its file again. Then retry."
            ),
        )),
        Database::Both => Some(failure::fatal(
            "the database has the servers' data under the new token and under the old one",
            "Delete the older of the two keys below /bootstrap/ in etcd, which k3s has failed to delete. Then retry.",
        )),
    }
}

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

    /// `Err` inside: etcd gave no answer, in words.
    async fn keys(&self, server: &ApiHost) -> Result<Result<Vec<String>, String>, StepFailure> {
        etcd::bootstrap_keys(&*self.0.world, server.host).await
    }

    /// A token in the vault.
    async fn token(&self, id: SecretId) -> Result<Token, StepFailure> {
        String::from_utf8_lossy(self.secret(id).await?.expose())
            .parse()
            .map_err(|_| StepFailure::fatal("the token in the vault is none"))
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
        let status = if context.applied {
            Job::of(&*self.0.world, context)?.status().await?
        } else {
            JobStatus::Absent
        };
        if status == JobStatus::Running {
            return not_yet("k3s is still at it");
        }
        let here = self.on_server(&params.server).await?;
        let old = self.token(noted.old).await?;
        if old == here {
            return match jobs::failed(&status, "k3s token rotate") {
                Some(failed) => Err(failed),
                None => not_yet("the server has its old token"),
            };
        }
        let database = match self.keys(&params.server).await? {
            Ok(keys) => Database::of(&keys, &old, &here),
            Err(why) => return not_yet(&why),
        };
        match (half_done(&params.server.name, database), &status) {
            (None, _) => {}
            (Some(failed), JobStatus::Exited { .. }) => return Err(failed),
            // Without its client k3s goes on by itself.
            (Some(_), JobStatus::Absent | JobStatus::Died { .. } | JobStatus::Running) => {
                return not_yet("the database does not belong to the new token yet");
            }
        }
        let here = here.expose();
        let stored = self.stored(params.cluster).await?;
        if self.secret(stored).await?.expose() != here.as_bytes() {
            return not_yet("the vault has not got the new token");
        }
        Ok(Probe::Done {
            observed: format!(
                "{} has a new token, and the database belongs to it; it is in the vault, and the old one stays there for the snapshots of its time",
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
        let keys = self.keys(&params.server).await?;
        let keys = keys.map_err(StepFailure::fatal)?;
        if !keys.contains(&here.bootstrap_key()) {
            return Err(failure::fatal(
                format!(
                    "the database does not belong to the token of {}: an earlier rotation is half done",
                    params.server.name
                ),
                format!(
                    "Nothing was changed. Find the server whose {SERVER_TOKEN_FILE} has another token than the rest. Put the token of the rest into its unit's environment file (K3S_TOKEN, mode 0600), stop k3s there, move {PASSWD} aside and start k3s; then start again."
                ),
            ));
        }
        serde_json::to_value(Memo { old }).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let noted: Memo = memo(context)?;
        let old = self.token(noted.old).await?;
        let mut here = self.on_server(&params.server).await?;
        // An attempt before a crash may have done it.
        if old == here {
            Job::of(&*self.0.world, context)?
                .run(
                    &JobSpec::new(ROTATE, Duration::from_secs(90)),
                    context.output.as_ref(),
                )
                .await?;
            here = self.on_server(&params.server).await?;
        }
        if old == here {
            return Ok(());
        }
        let keys = self.keys(&params.server).await?;
        let database = Database::of(&keys.map_err(StepFailure::fatal)?, &old, &here);
        if let Some(failed) = half_done(&params.server.name, database) {
            return Err(failed);
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
