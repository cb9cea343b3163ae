//! The inventory, for the observer.

use async_trait::async_trait;
use coxswain_wire::{Cluster, Host};

use super::{Panel, service_error};
use crate::observe::Roster;
use crate::steps::services::ServiceError;

#[async_trait]
impl Roster for Panel {
    async fn clusters(&self) -> Result<Vec<Cluster>, ServiceError> {
        self.db.clusters().await.map_err(|e| service_error(&e))
    }

    async fn hosts(&self) -> Result<Vec<Host>, ServiceError> {
        self.db.hosts().await.map_err(|e| service_error(&e))
    }
}
