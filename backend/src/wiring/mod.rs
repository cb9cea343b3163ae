//! The panel's own answers to the questions of world, steps, observer and workflows.

mod cluster_book;
mod drill_book;
mod host_book;
mod roster;
mod secrets;
mod snapshot_book;
mod workflows;

use std::sync::Arc;

use crate::steps::services::ServiceError;
use crate::store::Db;
use crate::vault::Vault;

pub use workflows::Workflows;

/// Database and vault, behind the traits of those who must not know them.
#[derive(Clone)]
pub struct Panel {
    db: Db,
    vault: Arc<Vault>,
}

impl Panel {
    /// Over this database and this vault.
    #[must_use]
    pub fn new(db: Db, vault: Arc<Vault>) -> Self {
        Self { db, vault }
    }
}

/// An error with its causes in one line: those who get it cannot look inside.
fn service_error(error: &(dyn std::error::Error + 'static)) -> ServiceError {
    let chain: Vec<String> = std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .collect();
    ServiceError(chain.join(": "))
}
