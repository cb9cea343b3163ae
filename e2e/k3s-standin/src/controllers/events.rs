//! Events about objects. Losing one is no harm, so failures are only logged. They are kept for an hour.

use rand::Rng as _;
use serde_json::{Value, json};

use super::objects;
use crate::api::resources;
use crate::api::store::{Store, StoreError};
use crate::logging::{self, rfc3339_now};

/// Records an event about `object`; `kind` is `Normal` or `Warning`.
pub(super) async fn record(
    store: &Store,
    object: &Value,
    kind: &str,
    reason: &str,
    message: &str,
    component: &str,
) {
    let namespace = objects::namespace(object).unwrap_or("default");
    let now = rfc3339_now();
    let name = format!(
        "{}.{:016x}",
        objects::name(object),
        rand::rng().random::<u64>()
    );
    let event = json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": object["apiVersion"], "kind": object["kind"],
            "name": objects::name(object), "namespace": objects::namespace(object),
            "uid": objects::uid(object), "resourceVersion": object["metadata"]["resourceVersion"],
        },
        "type": kind, "reason": reason, "message": message, "source": {"component": component},
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
        "eventTime": null, "reportingComponent": "", "reportingInstance": "",
    });
    if let Err(error) = store.create(resources::events(), event).await {
        logging::klog('E', "event.go:1", format!("event {reason}: {error}"));
    }
}

/// The API server's default for `--event-ttl`, seconds.
const KEPT: f64 = 3600.0;

/// Removes old events.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn prune(store: &Store) -> Result<(), StoreError> {
    for event in store.list(resources::events(), None).await?.items {
        let age = objects::seconds_since(&event["metadata"]["creationTimestamp"]);
        if age.is_some_and(|age| age > KEPT) {
            store.remove(resources::events(), &event).await?;
        }
    }
    Ok(())
}
