//! What the leader looks at in one go.

use serde_json::Value;

use crate::api::resources;
use crate::api::store::{Store, StoreError};

/// Objects as of about now.
pub(super) struct World {
    pub(super) nodes: Vec<Value>,
    pub(super) node_leases: Vec<Value>,
    pub(super) pods: Vec<Value>,
    pub(super) deployments: Vec<Value>,
    pub(super) replicasets: Vec<Value>,
    pub(super) daemonsets: Vec<Value>,
    pub(super) statefulsets: Vec<Value>,
    pub(super) budgets: Vec<Value>,
    pub(super) namespaces: Vec<Value>,
}

impl World {
    /// Reads everything.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        let leases = store.list(resources::leases(), Some("kube-node-lease"));
        Ok(Self {
            nodes: store.list(resources::nodes(), None).await?.items,
            node_leases: leases.await?.items,
            pods: store.list(resources::pods(), None).await?.items,
            deployments: store.list(resources::deployments(), None).await?.items,
            replicasets: store.list(resources::replicasets(), None).await?.items,
            daemonsets: store.list(resources::daemonsets(), None).await?.items,
            statefulsets: store.list(resources::statefulsets(), None).await?.items,
            budgets: store.list(resources::budgets(), None).await?.items,
            namespaces: store.list(resources::namespaces(), None).await?.items,
        })
    }
}
