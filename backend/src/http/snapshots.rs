//! Snapshots that the panel has taken, and their files.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use coxswain_engine::plan::hex;
use coxswain_wire::{ClusterId, Snapshot, SnapshotId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::errors::{Answer, Failure};
use super::guard::Caller;
use super::input::Id;
use crate::app::App;
use crate::audit::Draft;
use crate::time::now;
use crate::world::{FileStream, WorldError};

/// No etcd database is larger: 8 GiB is what etcd itself warns of.
const LARGEST: u64 = 16 * 1024 * 1024 * 1024;

pub(super) async fn of_cluster(
    State(app): State<Arc<App>>,
    Id(id): Id<ClusterId>,
) -> Answer<Json<Vec<Snapshot>>> {
    if app.db.cluster(id).await?.is_none() {
        return Err(Failure::not_found(format!("cluster {id}")));
    }
    let mut all = app.db.snapshots().await?;
    all.retain(|snapshot| snapshot.cluster == id);
    Ok(Json(all))
}

/// The file, straight from the server's disk. It holds every Secret of the cluster, so this is for
/// administrators, and is audited before the first byte.
pub(super) async fn file(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<SnapshotId>,
) -> Answer<Response> {
    let snapshot = app
        .db
        .snapshot(id)
        .await?
        .ok_or_else(|| Failure::not_found(format!("snapshot {id}")))?;
    let permit = app.downloads.clone().try_acquire_owned().map_err(|_| {
        let message = "Other snapshots are being downloaded. Try again when they are through.";
        Failure {
            retry_after_s: Some(30),
            ..Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
        }
    })?;
    let name = snapshot.name().to_owned();
    let found = app
        .world
        .stream_file(snapshot.host, &snapshot.path, LARGEST)
        .await?;
    let Some(found) = found.filter(|found| found.size == snapshot.size) else {
        return Err(Failure::conflict(format!(
            "{name} is not on {} any more as it was noted. List all snapshots to see what is there.",
            snapshot.server
        )));
    };
    let subject = format!("snapshot {name}");
    let detail = format!("from {}, {} bytes", snapshot.server, snapshot.size);
    app.db
        .audit(
            now(),
            Draft::new(&caller.who(), "snapshot.downloaded", subject, detail),
        )
        .await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, snapshot.size.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", plain(&name)),
        ),
    ];
    let pieces = checked(found, snapshot).inspect_err(move |error| {
        tracing::error!(%name, %error, "the download of a snapshot broke off");
    });
    let pieces = pieces.map(move |piece| {
        let _held = &permit;
        piece
    });
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The same pieces; an error in place of the last one if the checksum is not the noted one, so that no
/// browser takes a changed file for a whole one.
fn checked(
    file: FileStream,
    snapshot: Snapshot,
) -> impl futures::Stream<Item = Result<Vec<u8>, WorldError>> {
    let start = (file.pieces, Sha256::new(), snapshot.size, snapshot);
    stream::try_unfold(start, |(mut pieces, mut sha, left, snapshot)| async move {
        let Some(piece) = pieces.next().await.transpose()? else {
            return Ok(None);
        };
        sha.update(&piece);
        let left = left.saturating_sub(piece.len() as u64);
        if left == 0 && hex(&sha.clone().finalize()) != snapshot.sha256 {
            return Err(WorldError::Unexpected {
                what: snapshot.path,
                detail: "its checksum is not the one that was noted".to_owned(),
            });
        }
        Ok(Some((piece, (pieces, sha, left, snapshot))))
    })
}

/// A name that needs no quoting in a header.
fn plain(name: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
            c
        } else {
            '_'
        }
    };
    name.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_header() {
        assert_eq!(plain("a-1.zip"), "a-1.zip");
        assert_eq!(plain("a\"\r\nb/é"), "a___b__");
    }
}
