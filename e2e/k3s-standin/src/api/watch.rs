//! `?watch=true`: what is there, then every change, one JSON object a line.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};

use super::query::Query;
use super::resources::Resource;
use super::selector::Selector;
use super::status::{Failure, json_response};
use super::store::{List, Store, decode_value};
use super::table;
use crate::etcd::{WatchEvent, WatchItem};
use crate::net::body::{AnyBody, channel};

/// Lines queued towards a slow client.
const QUEUE: usize = 64;
/// Bookmarks are sent about once a minute.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Without `timeoutSeconds` a watch ends after half an hour.
const DEFAULT_TIMEOUT: u64 = 1800;

/// What is watched and how it is shown.
pub(super) struct Watch {
    pub(super) store: Store,
    pub(super) resource: &'static Resource,
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) as_table: bool,
}

impl Watch {
    /// Starts the watch and answers with its stream.
    pub(super) async fn answer(self, query: &Query) -> Result<Response<AnyBody>, Failure> {
        let fail = |error: &_| Failure::of_object(self.resource, "", error);
        let namespace = self.namespace.as_deref();
        let from = query
            .filled("resourceVersion")
            .filter(|version| *version != "0");
        let initial = query.switch("sendInitialEvents");
        let (first, start) = match from {
            Some(version) if !initial => {
                let version: u64 = version.parse().map_err(|_| {
                    Failure::bad_request(format!("invalid resource version \"{version}\""))
                })?;
                (None, version + 1)
            }
            _ => {
                let list = self
                    .store
                    .list(self.resource, namespace)
                    .await
                    .map_err(|e| fail(&e))?;
                let start = list.revision + 1;
                (Some(list), start)
            }
        };
        let changes = self
            .store
            .watch(self.resource, namespace, start)
            .await
            .map_err(|e| fail(&e))?;
        let seconds = query.number("timeoutSeconds").unwrap_or(DEFAULT_TIMEOUT);
        let end = Instant::now() + Duration::from_secs(seconds.clamp(1, 2 * DEFAULT_TIMEOUT));
        let (sender, body) = channel(QUEUE);
        let mut response = json_response(StatusCode::OK, &Value::Null);
        *response.body_mut() = body;
        let bookmarks = query.switch("allowWatchBookmarks");
        tokio::spawn(async move {
            // A closed channel means the client is gone, which is how watches end.
            let _: Option<()> = self
                .run(sender, first, changes, start - 1, end, (bookmarks, initial))
                .await;
        });
        Ok(response)
    }

    async fn run(
        self,
        sender: Sender<Bytes>,
        first: Option<List>,
        mut changes: tokio::sync::mpsc::Receiver<WatchItem>,
        mut revision: u64,
        end: Instant,
        (bookmarks, initial): (bool, bool),
    ) -> Option<()> {
        for object in first.into_iter().flat_map(|list| list.items) {
            if self.selector.matches(&object) {
                self.send(&sender, "ADDED", object).await?;
            }
        }
        if initial {
            self.bookmark(&sender, revision, true).await?;
        }
        let mut next_bookmark = Instant::now() + BOOKMARK_EVERY;
        loop {
            let item = tokio::select! {
                () = sender.closed() => return None,
                () = sleep_until(end) => return None,
                () = sleep_until(next_bookmark), if bookmarks => {
                    next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    self.bookmark(&sender, revision, false).await?;
                    continue;
                }
                item = changes.recv() => item?,
            };
            match item {
                WatchItem::Event(event) => {
                    revision = event.revision;
                    if let Some((kind, object)) = self.translate(&event) {
                        self.send(&sender, kind, object).await?;
                    }
                }
                WatchItem::Compacted => {
                    let gone = Failure::new(
                        StatusCode::GONE,
                        "Expired",
                        format!("too old resource version: {revision}"),
                    );
                    return self.line(&sender, "ERROR", &gone.to_value()).await;
                }
            }
        }
    }

    /// A change as this watcher sees it: entering and leaving the selection are ADDED and DELETED.
    fn translate(&self, event: &WatchEvent) -> Option<(&'static str, Value)> {
        let decode = |value: &Vec<u8>| decode_value(value, event.revision);
        let previous = event.previous.as_ref().and_then(decode);
        let was = previous
            .as_ref()
            .is_some_and(|object| self.selector.matches(object));
        match event.value.as_ref().and_then(decode) {
            Some(object) => match (was, self.selector.matches(&object)) {
                (true, true) => Some(("MODIFIED", object)),
                (false, true) => Some(("ADDED", object)),
                (true, false) => Some(("DELETED", object)),
                (false, false) => None,
            },
            None => was
                .then_some(previous)
                .flatten()
                .map(|object| ("DELETED", object)),
        }
    }

    async fn send(&self, sender: &Sender<Bytes>, kind: &str, object: Value) -> Option<()> {
        if self.as_table {
            let list = List {
                items: vec![object],
                revision: 0,
            };
            self.line(sender, kind, &table::of(self.resource, &list))
                .await
        } else {
            self.line(sender, kind, &object).await
        }
    }

    async fn bookmark(&self, sender: &Sender<Bytes>, revision: u64, first: bool) -> Option<()> {
        let mut object = json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if first {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        self.line(sender, "BOOKMARK", &object).await
    }

    async fn line(&self, sender: &Sender<Bytes>, kind: &str, object: &Value) -> Option<()> {
        let line = json!({"type": kind, "object": object}).to_string() + "\n";
        sender.send(Bytes::from(line)).await.ok()
    }
}
