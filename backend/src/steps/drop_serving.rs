//! Step kind `drop_serving`: the Secret that all servers take the certificate of :6443 from is gone. What
//! they serve does not change before each of them starts again without its own copy (facts A, 15).

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::serving::{NAMESPACE, SECRET};
use coxswain_wire::SecretId;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::{ApiHost, of_first};
use super::services::SecretKind;
use super::{Services, check, failure};
use crate::world::{KubeSecret, Secret};

/// Stored name.
pub const KIND: &str = "drop_serving";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// All servers.
    pub servers: Vec<ApiHost>,
}

/// The Secret as it was.
#[derive(Serialize, Deserialize)]
struct Memo {
    uid: String,
    before: SecretId,
}

/// As it lies in the vault.
#[derive(Serialize, Deserialize)]
struct Kept {
    kind: String,
    annotations: BTreeMap<String, String>,
    /// Base64.
    data: BTreeMap<String, String>,
}

/// The step kind.
pub struct DropServing(pub Services);

impl DropServing {
    async fn found(&self, params: &Params) -> Result<Option<KubeSecret>, StepFailure> {
        of_first(&*self.0.world, &params.servers)
            .await?
            .secret(NAMESPACE, SECRET)
            .await
            .map_err(failure::world)
    }

    async fn kept(&self, memo: &Memo) -> Result<KubeSecret, StepFailure> {
        let stored = self
            .0
            .secrets
            .get(memo.before)
            .await
            .map_err(failure::service)?;
        let damaged = || StepFailure::fatal("the Secret in the vault does not decode");
        let kept: Kept = serde_json::from_slice(stored.expose()).map_err(|_| damaged())?;
        let data = kept.data.into_iter().map(|(key, text)| {
            let bytes = BASE64.decode(text.as_bytes()).map_err(|_| damaged())?;
            Ok((key, Secret::new(bytes)))
        });
        Ok(KubeSecret {
            uid: String::new(),
            kind: kept.kind,
            annotations: kept.annotations,
            data: data.collect::<Result<_, StepFailure>>()?,
        })
    }
}

#[async_trait]
impl StepKind for DropServing {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let ours = if context.memo.is_null() {
            None
        } else {
            Some(super::memo::<Memo>(context)?.uid)
        };
        Ok(match self.found(&params).await? {
            None => Probe::Done {
                observed: format!("there is no Secret {NAMESPACE}/{SECRET}"),
                outputs: BTreeMap::new(),
            },
            Some(found) if ours.as_ref().is_some_and(|uid| *uid != found.uid) => Probe::Done {
                observed: format!("k3s has made a new Secret {NAMESPACE}/{SECRET}"),
                outputs: BTreeMap::new(),
            },
            Some(_) => Probe::NotDone {
                why: format!("the Secret {NAMESPACE}/{SECRET} is there"),
            },
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        let found = self
            .found(&params)
            .await?
            .ok_or_else(|| StepFailure::fatal("the Secret went away by itself; retry"))?;
        let kept = Kept {
            kind: found.kind,
            annotations: found.annotations,
            data: found
                .data
                .iter()
                .map(|(key, value)| (key.clone(), BASE64.encode(value.expose())))
                .collect(),
        };
        let json = serde_json::to_vec(&kept).map_err(|e| StepFailure::fatal(e.to_string()))?;
        let before = self
            .0
            .secrets
            .put(SecretKind::KubeSecret, Secret::new(json))
            .await
            .map_err(failure::service)?;
        let memo = Memo {
            uid: found.uid,
            before,
        };
        serde_json::to_value(memo).map_err(|e| StepFailure::fatal(e.to_string()))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let memo: Memo = super::memo(context)?;
        let kube = of_first(&*self.0.world, &params.servers).await?;
        let found = kube
            .secret(NAMESPACE, SECRET)
            .await
            .map_err(failure::world)?;
        if found.is_some_and(|found| found.uid == memo.uid) {
            kube.delete_secret(NAMESPACE, SECRET)
                .await
                .map_err(failure::world)?;
        }
        Ok(())
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(match self.found(&params).await? {
            Some(_) => Probe::Done {
                observed: format!("there is a Secret {NAMESPACE}/{SECRET}"),
                outputs: BTreeMap::new(),
            },
            None => Probe::NotDone {
                why: format!("the Secret {NAMESPACE}/{SECRET} is missing"),
            },
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let kept = self.kept(&super::memo(context)?).await?;
        // One that k3s has made meanwhile stays.
        of_first(&*self.0.world, &params.servers)
            .await?
            .create_secret(NAMESPACE, SECRET, &kept)
            .await
            .map_err(failure::world)?;
        Ok(())
    }
}
