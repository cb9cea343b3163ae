//! etcd's own snapshot, streamed over the gateway.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;

use super::gateway::{Etcd, EtcdError, decode64, number};
use crate::net::client::{Call, Failure};

/// A piece of a snapshot.
pub(crate) struct Blob {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Bytes still to come after it.
    pub(crate) remaining: u64,
}

/// Pieces queued towards a slow disk.
const QUEUE: usize = 16;

impl Etcd {
    /// The database as a file, piece by piece; the last piece is its SHA-256.
    ///
    /// # Errors
    /// When the stream cannot be started.
    pub(crate) async fn snapshot(
        &self,
    ) -> Result<mpsc::Receiver<Result<Blob, EtcdError>>, EtcdError> {
        let call = Call::post("/v3/maintenance/snapshot", b"{}".to_vec(), self.timeout());
        let response = self
            .client
            .stream(call)
            .await
            .map_err(EtcdError::Transport)?;
        if !response.status().is_success() {
            return Err(EtcdError::Refused(format!(
                "snapshot: {}",
                response.status()
            )));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(forward(response.into_body(), sender));
        Ok(receiver)
    }
}

async fn forward(mut body: Incoming, sender: mpsc::Sender<Result<Blob, EtcdError>>) {
    let mut buffer = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The reader may be gone as well.
            drop(sender.send(Err(EtcdError::Transport(Failure::Eof))).await);
            return;
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        buffer.extend_from_slice(&data);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let Ok(value) = serde_json::from_slice::<Value>(&line) else {
                return;
            };
            let result = &value["result"];
            let blob = Blob {
                bytes: decode64(&result["blob"]),
                remaining: number(&result["remaining_bytes"]),
            };
            if sender.send(Ok(blob)).await.is_err() {
                return;
            }
        }
    }
}
