//! Step kind `forget_password`: the cluster does not keep the password of a node name any more, so that
//! another machine may register under it. k3s deletes it with the Node; some versions have left it (B.5).

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::plan::hex;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::kube::{ApiHost, of_first};
use super::{Services, check, failure};

/// Stored name.
pub const KIND: &str = "forget_password";
/// Namespace of these Secrets.
pub(crate) const NAMESPACE: &str = "kube-system";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Node name.
    pub node: String,
    /// Servers to ask.
    pub servers: Vec<ApiHost>,
}

/// The Secret that keeps the password of a node.
pub(crate) fn secret_of(node: &str) -> String {
    format!("{node}.node-password.k3s")
}

/// The Secret as it was.
#[derive(Serialize, Deserialize)]
struct Memo {
    /// Digest of the salted hash in it. Not its uid: k3s makes Secrets anew to change their type, with the hash they
    /// had (`migrateSecrets` in k3s `pkg/nodepassword/controller.go`).
    sha256: String,
}

/// The step kind.
pub struct ForgetPassword(pub Services);

impl ForgetPassword {
    async fn kept(&self, params: &Params) -> Result<Option<Memo>, StepFailure> {
        let kube = of_first(&*self.0.world, &params.servers).await?;
        let secret = kube.secret(NAMESPACE, &secret_of(&params.node)).await;
        Ok(secret.map_err(failure::world)?.map(|secret| {
            let hash = secret.data.get("hash");
            Memo {
                sha256: hex(&Sha256::digest(hash.map_or(&[][..], |hash| hash.expose()))),
            }
        }))
    }
}

#[async_trait]
impl StepKind for ForgetPassword {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let name = secret_of(&params.node);
        let before: Option<Memo> = serde_json::from_value(context.memo.clone()).ok();
        let observed = match (self.kept(&params).await?, before) {
            (None, _) => format!("there is no Secret {NAMESPACE}/{name}"),
            (Some(now), Some(before)) if now.sha256 != before.sha256 => {
                format!("the Secret {NAMESPACE}/{name} was made anew by the node itself")
            }
            (Some(_), _) => {
                return Ok(Probe::NotDone {
                    why: format!("the Secret {NAMESPACE}/{name} is there"),
                });
            }
        };
        Ok(Probe::Done {
            observed,
            outputs: BTreeMap::new(),
        })
    }

    /// The Secret that goes: a k3s that tries again and again makes another one at once.
    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let kept = self.kept(&context.params()?).await?;
        serde_json::to_value(kept).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        of_first(&*self.0.world, &params.servers)
            .await?
            .delete_secret(NAMESPACE, &secret_of(&params.node))
            .await
            .map(drop)
            .map_err(failure::world)
    }
}
