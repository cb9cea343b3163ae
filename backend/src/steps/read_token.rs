//! Step kind `read_token`: the server token, from the first server into the vault.

use std::collections::BTreeMap;

use async_trait::async_trait;
use coxswain_engine::step::{Output, Probe, StepContext, StepFailure, StepKind};
use coxswain_k3s::token::{SERVER_TOKEN_FILE, Token};
use coxswain_wire::{ClusterId, SecretId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kube::{API_PORT, ApiHost};
use super::services::SecretKind;
use super::{Services, check, failure};
use crate::world::{Secret, TlsTarget};

/// Stored name.
pub const KIND: &str = "read_token";
/// Name of the output.
pub const TOKEN: &str = "token";

/// Parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The server it is read from.
    pub server: ApiHost,
}

/// The step kind.
pub struct ReadToken(pub Services);

impl ReadToken {
    async fn stored(&self, cluster: ClusterId) -> Result<Option<SecretId>, StepFailure> {
        self.0.book.token(cluster).await.map_err(failure::service)
    }

    /// The token on the server, proven to be for the CA that the server shows.
    async fn on_server(&self, server: &ApiHost) -> Result<Token, StepFailure> {
        let world = &*self.0.world;
        let file = world
            .read_file(server.host, SERVER_TOKEN_FILE, 4096)
            .await
            .map_err(failure::world)?;
        let file = file.ok_or_else(|| {
            StepFailure::fatal(format!(
                "there is no {SERVER_TOKEN_FILE} on {}",
                server.name
            ))
        })?;
        let token: Token = String::from_utf8_lossy(&file).parse().map_err(|e| {
            StepFailure::fatal(format!("{SERVER_TOKEN_FILE} on {}: {e}", server.name))
        })?;
        let target = TlsTarget::new(&server.address, API_PORT);
        // Taken without trust: the token, read over SSH, is what vouches for it.
        let shown = world
            .http_get(&target, "/cacerts")
            .await
            .map_err(failure::world)?;
        match token.matches_ca(&shown.body) {
            Some(true) => Ok(token),
            Some(false) => Err(failure::fatal(
                format!(
                    "the CA shown at {} is not the one in the token",
                    target.endpoint()
                ),
                "Something else answers at this address: check it before anything joins.",
            )),
            None => Err(failure::fatal(
                "the token names no CA",
                "A token must have the form K10<CA hash>::server:<password>, so that joiners can tell an impostor.",
            )),
        }
    }
}

#[async_trait]
impl StepKind for ReadToken {
    fn name(&self) -> &'static str {
        KIND
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        check::<Params>(params)
    }

    async fn probe(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        let Some(id) = self.stored(params.cluster).await? else {
            return Ok(Probe::NotDone {
                why: "the vault has no token of this cluster".to_owned(),
            });
        };
        let token = self.on_server(&params.server).await?;
        let stored = self.0.secrets.get(id).await.map_err(failure::service)?;
        Ok(if stored.expose() == token.expose().as_bytes() {
            Probe::Done {
                observed: "the token is in the vault; its CA hash is that of the CA shown on :6443"
                    .to_owned(),
                outputs: BTreeMap::from([(TOKEN.to_owned(), Output::Secret { id })]),
            }
        } else {
            Probe::NotDone {
                why: "the vault has another token".to_owned(),
            }
        })
    }

    async fn prepare(&self, context: &StepContext) -> Result<Value, StepFailure> {
        let params: Params = context.params()?;
        Ok(serde_json::json!({ "before": self.stored(params.cluster).await? }))
    }

    async fn apply(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        let token = self.on_server(&params.server).await?;
        let secret = Secret::new(token.expose());
        let id = self
            .0
            .secrets
            .put(SecretKind::ServerToken, secret)
            .await
            .map_err(failure::service)?;
        self.0
            .book
            .set_token(params.cluster, Some(id))
            .await
            .map_err(failure::service)
    }

    async fn probe_undone(&self, context: &StepContext) -> Result<Probe, StepFailure> {
        let params: Params = context.params()?;
        Ok(if self.stored(params.cluster).await? == before(context) {
            Probe::Done {
                observed: "the token is forgotten".to_owned(),
                outputs: BTreeMap::new(),
            }
        } else {
            Probe::NotDone {
                why: "the cluster still has the token".to_owned(),
            }
        })
    }

    async fn undo(&self, context: &StepContext) -> Result<(), StepFailure> {
        let params: Params = context.params()?;
        self.0
            .book
            .set_token(params.cluster, before(context))
            .await
            .map_err(failure::service)
    }
}

/// The secret that the cluster had before the step.
pub(crate) fn before(context: &StepContext) -> Option<SecretId> {
    context
        .memo
        .get("before")
        .and_then(Value::as_i64)
        .map(SecretId)
}
