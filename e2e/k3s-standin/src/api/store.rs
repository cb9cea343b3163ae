//! Objects in the database: JSON values, `resourceVersion` = revision of the last change.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::object;
use super::resources::Resource;
use crate::etcd::{Entry, Etcd, EtcdError, Saved, WatchItem};

/// Why an operation on an object failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// No such object.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The object changed since it was read.
    Conflict,
    /// The object makes no sense.
    Invalid(String),
    /// The database did not answer, or refused.
    Database(EtcdError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::AlreadyExists => f.write_str("already exists"),
            Self::Conflict => f.write_str("the object has been modified"),
            Self::Invalid(text) => f.write_str(text),
            Self::Database(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<EtcdError> for StoreError {
    fn from(error: EtcdError) -> Self {
        Self::Database(error)
    }
}

/// A list of objects with the revision it was read at.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// Objects in order of namespace and name.
    pub(crate) items: Vec<Value>,
    /// `resourceVersion` of the list.
    pub(crate) revision: u64,
}

/// All objects.
#[derive(Clone)]
pub(crate) struct Store {
    etcd: Etcd,
}

/// Tries of a read-change-write round against other writers.
const MAX_TRIES: usize = 16;
/// How long a doorbell waits before it watches again after its watch broke.
const DOORBELL_RETRY: Duration = Duration::from_millis(500);
/// Wait for the head of a watch's answer.
const WATCH_HEAD: Duration = Duration::from_secs(5);

impl Store {
    /// Over a database client.
    pub(crate) fn new(etcd: Etcd) -> Self {
        Self { etcd }
    }

    /// The same store with another deadline per request.
    pub(crate) fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            etcd: self.etcd.with_timeout(timeout),
        }
    }

    /// The database client.
    pub(crate) fn etcd(&self) -> &Etcd {
        &self.etcd
    }

    /// One object.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn get(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, StoreError> {
        Ok(self
            .etcd
            .get(&resource.key(namespace, name))
            .await?
            .as_ref()
            .and_then(decode))
    }

    /// All objects of a kind, or those of one namespace.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
    ) -> Result<List, StoreError> {
        let listing = self.etcd.list(&resource.prefix(namespace)).await?;
        let items = listing.entries.iter().filter_map(decode).collect();
        Ok(List {
            items,
            revision: listing.revision,
        })
    }

    /// Creates an object; fills in uid, creation time and defaults.
    ///
    /// # Errors
    /// When the name is taken or bad, or the database does not answer.
    pub(crate) async fn create(
        &self,
        resource: &Resource,
        mut object: Value,
    ) -> Result<Value, StoreError> {
        object::prepare(resource, &mut object).map_err(StoreError::Invalid)?;
        let key = key_of(resource, &object);
        match self.etcd.save(&key, &encode(&object), 0).await? {
            Saved::Done(revision) => Ok(stamped(object, revision)),
            Saved::Conflict(_) => Err(StoreError::AlreadyExists),
        }
    }

    /// Replaces an object if its `resourceVersion` is still current. An object that is being deleted and has no
    /// finalizer left vanishes.
    ///
    /// # Errors
    /// When it changed meanwhile or vanished, or the database does not answer.
    pub(crate) async fn update(
        &self,
        resource: &Resource,
        object: Value,
    ) -> Result<Value, StoreError> {
        let key = key_of(resource, &object);
        let revision = version_of(&object).ok_or(StoreError::Conflict)?;
        let gone = deleting(&object) && !has_finalizers(&object) && vanishes(resource, &object);
        let saved = if gone {
            self.etcd.delete(&key, revision).await?
        } else {
            self.etcd.save(&key, &encode(&object), revision).await?
        };
        match saved {
            Saved::Done(revision) => Ok(stamped(object, revision)),
            Saved::Conflict(None) => Err(StoreError::NotFound),
            Saved::Conflict(Some(_)) => Err(StoreError::Conflict),
        }
    }

    /// Reads, changes and writes an object, again if somebody else was faster. `change` says whether it changed
    /// anything; nothing is written otherwise.
    ///
    /// # Errors
    /// When the object does not exist, `change` refuses, or the database does not answer.
    pub(crate) async fn modify<F>(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        name: &str,
        mut change: F,
    ) -> Result<Value, StoreError>
    where
        F: FnMut(&mut Value) -> Result<bool, StoreError>,
    {
        for _ in 0..MAX_TRIES {
            let mut object = self
                .get(resource, namespace, name)
                .await?
                .ok_or(StoreError::NotFound)?;
            if !change(&mut object)? {
                return Ok(object);
            }
            match self.update(resource, object).await {
                Err(StoreError::Conflict) => {}
                other => return other,
            }
        }
        Err(StoreError::Conflict)
    }

    /// Deletes an object at once if it is still as given.
    ///
    /// # Errors
    /// When it changed meanwhile, or the database does not answer.
    pub(crate) async fn remove(
        &self,
        resource: &Resource,
        object: &Value,
    ) -> Result<(), StoreError> {
        let revision = version_of(object).ok_or(StoreError::Conflict)?;
        match self
            .etcd
            .delete(&key_of(resource, object), revision)
            .await?
        {
            Saved::Done(_) => Ok(()),
            Saved::Conflict(None) => Err(StoreError::NotFound),
            Saved::Conflict(Some(_)) => Err(StoreError::Conflict),
        }
    }

    /// Changes of a kind (of one namespace) from `revision` on.
    ///
    /// # Errors
    /// When the watch cannot be started.
    pub(crate) async fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<mpsc::Receiver<WatchItem>, StoreError> {
        Ok(self
            .etcd
            .watch(&resource.prefix(namespace), revision, WATCH_HEAD)
            .await?)
    }

    /// Something that rings after every change of these kinds, and every `period` anyway.
    pub(crate) fn doorbell(&self, resources: &[&'static Resource], period: Duration) -> Doorbell {
        let bell = Arc::new(Notify::new());
        let tasks = resources
            .iter()
            .map(|resource| {
                let (store, bell, resource) = (self.clone(), bell.clone(), *resource);
                tokio::spawn(async move {
                    loop {
                        // 0: from now on. Changes between two watches are caught by the ring after the start.
                        if let Ok(mut changes) = store.watch(resource, None, 0).await {
                            bell.notify_one();
                            while let Some(WatchItem::Event(_)) = changes.recv().await {
                                bell.notify_one();
                            }
                        }
                        tokio::time::sleep(DOORBELL_RETRY).await;
                    }
                })
            })
            .collect();
        Doorbell {
            bell,
            tasks,
            period,
        }
    }
}

/// Rings when objects change; silent once dropped.
pub(crate) struct Doorbell {
    bell: Arc<Notify>,
    period: Duration,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Doorbell {
    /// Waits for the next ring, at most one period.
    pub(crate) async fn rung(&self) {
        // Either way it is time to look.
        drop(tokio::time::timeout(self.period, self.bell.notified()).await);
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Whether an object waits to be deleted.
pub(crate) fn deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn has_finalizers(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

/// Pods with a grace period stay until the kubelet has stopped them.
fn vanishes(resource: &Resource, object: &Value) -> bool {
    resource.plural != "pods"
        || object["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(0)
            == 0
}

fn key_of(resource: &Resource, object: &Value) -> String {
    let metadata = &object["metadata"];
    resource.key(
        metadata["namespace"].as_str(),
        metadata["name"].as_str().unwrap_or_default(),
    )
}

/// The revision in an object's `resourceVersion`.
pub(crate) fn version_of(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

fn encode(object: &Value) -> Vec<u8> {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object.to_string().into_bytes()
}

/// An object from its value and revision in the database.
pub(crate) fn decode_value(value: &[u8], revision: u64) -> Option<Value> {
    serde_json::from_slice(value)
        .ok()
        .map(|object| stamped(object, revision))
}

fn decode(entry: &Entry) -> Option<Value> {
    decode_value(&entry.value, entry.revision)
}

fn stamped(mut object: Value, revision: u64) -> Value {
    object["metadata"]["resourceVersion"] = json!(revision.to_string());
    object
}
