//! The vault, for steps.

use async_trait::async_trait;
use coxswain_wire::SecretId;

use super::{Panel, service_error};
use crate::steps::services::{SecretKind, Secrets, ServiceError};
use crate::world::Secret;

#[async_trait]
impl Secrets for Panel {
    async fn put(&self, kind: SecretKind, value: Secret) -> Result<SecretId, ServiceError> {
        self.vault
            .put(kind.as_str(), &value)
            .await
            .map_err(|e| service_error(&e))
    }

    async fn get(&self, id: SecretId) -> Result<Secret, ServiceError> {
        self.vault.get(id).await.map_err(|e| service_error(&e))
    }
}
