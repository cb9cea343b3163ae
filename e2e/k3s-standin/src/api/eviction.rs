//! Deleting: grace for pods, finalizers for all, and the eviction subresource.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::resources::{self, Resource};
use super::selector::Selector;
use super::status::{self, Failure};
use super::store::{Store, StoreError, deleting};
use crate::logging::rfc3339;

/// What a deletion asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    /// Seconds a pod may take; the pod's own wish if not given.
    pub(crate) grace: Option<i64>,
    /// Only if the object still has this uid.
    pub(crate) uid: Option<String>,
}

impl DeleteOptions {
    /// From a `DeleteOptions` or `Eviction` body.
    pub(crate) fn from_value(value: &Value) -> Self {
        Self {
            grace: value["gracePeriodSeconds"].as_i64(),
            uid: value["preconditions"]["uid"].as_str().map(str::to_owned),
        }
    }
}

/// Deletes one object, or marks it for deletion where somebody has to do something first.
///
/// # Errors
/// When it is not there, is another one by now, or the database does not answer.
pub(crate) async fn delete(
    store: &Store,
    resource: &'static Resource,
    namespace: Option<&str>,
    name: &str,
    options: &DeleteOptions,
) -> Result<Value, StoreError> {
    loop {
        let Some(mut object) = store.get(resource, namespace, name).await? else {
            return Err(StoreError::NotFound);
        };
        if options
            .uid
            .as_deref()
            .is_some_and(|uid| object["metadata"]["uid"] != json!(uid))
        {
            return Err(StoreError::Conflict);
        }
        let grace = grace_seconds(resource, &object, options);
        let waits = has_finalizers(&object) || grace > 0 || resource.plural == "namespaces";
        if !waits {
            match store.remove(resource, &object).await {
                Ok(()) => {
                    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                    return Ok(status::deleted(resource, name, uid));
                }
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
        if deleting(&object) && !shortens(&object, grace) {
            return Ok(object);
        }
        let at = Timestamp::now() + SignedDuration::from_secs(grace);
        object["metadata"]["deletionTimestamp"] = json!(rfc3339(at));
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if resource.plural == "namespaces" {
            object["status"]["phase"] = json!("Terminating");
        }
        match store.update(resource, object).await {
            Err(StoreError::Conflict) => {}
            other => return other,
        }
    }
}

fn shortens(object: &Value, grace: i64) -> bool {
    object["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|old| grace < old)
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

/// Only pods that run somewhere need time.
fn grace_seconds(resource: &Resource, object: &Value, options: &DeleteOptions) -> i64 {
    if resource.plural != "pods" || !object["spec"]["nodeName"].is_string() {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(30);
    options.grace.unwrap_or(own).max(0)
}

/// `POST …/pods/<name>/eviction`. Disruption budgets are honoured as far as they count pods.
///
/// # Errors
/// 404 for a missing pod, 429 when a budget forbids it.
pub(crate) async fn evict(
    store: &Store,
    namespace: &str,
    name: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let pods = resources::pods();
    let fail = |error: &StoreError| Failure::of_object(pods, name, error);
    let pod = store
        .get(pods, Some(namespace), name)
        .await
        .map_err(|error| fail(&error))?
        .ok_or_else(|| fail(&StoreError::NotFound))?;
    if let Some(text) = forbidding_budget(store, namespace, &pod)
        .await
        .map_err(|e| fail(&e))?
    {
        return Err(Failure {
            budget: Some(text),
            ..Failure::new(
                hyper::StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
            )
        });
    }
    let options = DeleteOptions::from_value(&body["deleteOptions"]);
    delete(store, pods, Some(namespace), name, &options)
        .await
        .map_err(|error| fail(&error))?;
    Ok(
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    )
}

/// Why a budget forbids losing `pod`, if one does.
async fn forbidding_budget(
    store: &Store,
    namespace: &str,
    pod: &Value,
) -> Result<Option<String>, StoreError> {
    let budgets = store
        .list(resources::budgets(), Some(namespace))
        .await?
        .items;
    if budgets.is_empty() || !ready(pod) {
        return Ok(None);
    }
    let pods = store.list(resources::pods(), Some(namespace)).await?.items;
    for budget in budgets {
        let coverage = Coverage::of(&budget, &pods);
        if Coverage::selector(&budget).matches(pod) && coverage.allowed() < 1 {
            return Ok(Some(format!(
                "The disruption budget {} needs {} healthy pods and has {} currently",
                budget["metadata"]["name"].as_str().unwrap_or_default(),
                coverage.needed,
                coverage.healthy
            )));
        }
    }
    Ok(None)
}

/// What a disruption budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Pods it covers.
    pub(crate) total: i64,
    /// Of these, ready and not ending.
    pub(crate) healthy: i64,
    /// How many must be healthy.
    pub(crate) needed: i64,
}

impl Coverage {
    fn selector(budget: &Value) -> Selector {
        Selector::of_labels(&budget["spec"]["selector"])
    }

    /// Counts the pods of the budget's namespace.
    pub(crate) fn of(budget: &Value, pods: &[Value]) -> Self {
        let selector = Self::selector(budget);
        let covered = pods
            .iter()
            .filter(|pod| pod["metadata"]["namespace"] == budget["metadata"]["namespace"])
            .filter(|pod| selector.matches(pod));
        let (mut total, mut healthy) = (0, 0);
        for pod in covered {
            total += 1;
            healthy += i64::from(ready(pod) && !deleting(pod));
        }
        let spec = &budget["spec"];
        let needed = match amount(&spec["minAvailable"], total) {
            Some(minimum) => minimum,
            None => total - amount(&spec["maxUnavailable"], total).unwrap_or(1),
        };
        Self {
            total,
            healthy,
            needed: needed.max(0),
        }
    }

    /// How many may be evicted now.
    pub(crate) fn allowed(self) -> i64 {
        (self.healthy - self.needed).max(0)
    }
}

/// A number, or a percentage of `total` rounded up.
fn amount(value: &Value, total: i64) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    Some((total * percent + 99) / 100)
}

fn ready(pod: &Value) -> bool {
    pod["status"]["conditions"].as_array().is_some_and(|list| {
        list.iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
}
