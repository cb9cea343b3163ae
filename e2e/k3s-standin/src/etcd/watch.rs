//! Watches over the gateway: a streamed answer of one JSON object a line.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::gateway::{Etcd, EtcdError, decode64, encode64, number};
use super::kv::prefix_end;
use crate::net::client::{Call, Failure};

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchEvent {
    /// Key.
    pub(crate) key: String,
    /// New value; `None` when deleted.
    pub(crate) value: Option<Vec<u8>>,
    /// Value before the change, if the key existed.
    pub(crate) previous: Option<Vec<u8>>,
    /// Revision of the change.
    pub(crate) revision: u64,
}

/// What a watch yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WatchItem {
    /// A change.
    Event(WatchEvent),
    /// The start revision is no longer kept; the watch ends.
    Compacted,
}

/// Changes queued between the database and a slow reader.
const QUEUE: usize = 256;
/// A line longer than this is not ours.
const MAX_LINE: usize = 16 << 20;

impl Etcd {
    /// Changes of keys below `prefix` from `start` on. The channel closes when the stream breaks.
    ///
    /// # Errors
    /// When the watch cannot be started within the client's deadline.
    pub(crate) async fn watch(
        &self,
        prefix: &str,
        start: u64,
        head_timeout: Duration,
    ) -> Result<mpsc::Receiver<WatchItem>, EtcdError> {
        let request = json!({"create_request": {
            "key": encode64(prefix.as_bytes()),
            "range_end": encode64(&prefix_end(prefix)),
            "start_revision": start.to_string(),
            "prev_kv": true,
        }});
        let call = Call::post("/v3/watch", request.to_string().into_bytes(), head_timeout);
        let response = self
            .client
            .stream(call)
            .await
            .map_err(EtcdError::Transport)?;
        if !response.status().is_success() {
            return Err(EtcdError::Transport(Failure::Eof));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(forward(response.into_body(), sender));
        Ok(receiver)
    }
}

async fn forward(mut body: Incoming, sender: mpsc::Sender<WatchItem>) {
    let mut buffer = Vec::new();
    loop {
        let frame = tokio::select! {
            () = sender.closed() => return,
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else { return };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let Ok(value) = serde_json::from_slice::<Value>(&line) else {
                return;
            };
            for item in items(&value) {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        }
        if buffer.len() > MAX_LINE {
            return;
        }
    }
}

fn items(line: &Value) -> Vec<WatchItem> {
    let result = &line["result"];
    if number(&result["compact_revision"]) > 0 {
        return vec![WatchItem::Compacted];
    }
    let events = result["events"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    events
        .iter()
        .map(|event| WatchItem::Event(decode(event)))
        .collect()
}

fn decode(event: &Value) -> WatchEvent {
    let kv = &event["kv"];
    let deleted = event["type"] == json!("DELETE");
    WatchEvent {
        key: String::from_utf8_lossy(&decode64(&kv["key"])).into_owned(),
        value: (!deleted).then(|| decode64(&kv["value"])),
        previous: event.get("prev_kv").map(|kv| decode64(&kv["value"])),
        revision: number(&kv["mod_revision"]),
    }
}
