//! The endpoints of the service `kubernetes`: every API server announces itself by a key that expires.

use std::time::Duration;

use serde_json::{Value, json};

use super::Setup;
use crate::api::resources;
use crate::api::store::{Store, StoreError};
use crate::logging;

/// Prefix of the announcements.
const PREFIX: &str = "/registry/masterleases/";
/// An announcement lives this long.
const TTL: u64 = 15;
/// And is renewed this often.
const RENEW: Duration = Duration::from_secs(10);

/// Announces this server until the task is dropped.
pub(super) async fn announce(setup: Setup) {
    let key = format!("{PREFIX}{}", setup.address);
    loop {
        if let Err(error) = setup.store.etcd().put_expiring(&key, b"{}", TTL).await {
            logging::klog('E', "lease.go:1", format!("master lease: {error}"));
        }
        tokio::time::sleep(RENEW).await;
    }
}

/// Brings the Endpoints object in line with the announcements.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn reconcile(store: &Store) -> Result<(), StoreError> {
    let listing = store.etcd().list(PREFIX).await?;
    let addresses: Vec<Value> = listing
        .entries
        .iter()
        .filter_map(|entry| entry.key.strip_prefix(PREFIX))
        .map(|ip| json!({"ip": ip}))
        .collect();
    if addresses.is_empty() {
        return Ok(());
    }
    let subsets = json!([{
        "addresses": addresses,
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }]);
    let endpoints = resources::endpoints();
    if store
        .get(endpoints, Some("default"), "kubernetes")
        .await?
        .is_none()
    {
        let object = json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
            },
            "subsets": subsets,
        });
        return store.create(endpoints, object).await.map(drop);
    }
    store
        .modify(endpoints, Some("default"), "kubernetes", |object| {
            let changes = object["subsets"] != subsets;
            object["subsets"] = subsets.clone();
            Ok(changes)
        })
        .await
        .map(drop)
}
