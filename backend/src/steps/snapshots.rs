//! A look at the etcd snapshots on a server's disk, without k3s's help: it also works while no API answers.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_k3s::preflight::HostFacts;
use coxswain_k3s::snapshot::{SnapshotFile, directories, parse_files};
use coxswain_wire::{HostId, Timestamp};

use super::configured::Configured;
use super::sections::value;
use crate::world::{RemoteCommand, Result, Script, World, WorldError};

/// `$1…` directories. Prints size, last change and path of each file.
pub(crate) const LOOK: Script = Script {
    name: "look-at-snapshots",
    text: r#"for dir; do
    for file in "$dir"/*; do
        if [ -f "$file" ] && [ ! -L "$file" ]; then stat -c '%s %Y %n' "$file"; fi
    done
done
exit 0
"#,
};

/// `$1` a file.
pub(crate) const HASH: Script = Script {
    name: "hash-snapshot",
    text: "exec sha256sum <\"$1\"\n",
};

/// `$1` the directory that a snapshot will lie in, there or not yet. A snapshot is as large as the database.
pub(crate) const ROOM: Script = Script {
    name: "room-for-snapshot",
    text: r#"at=$1
while [ ! -d "$at" ]; do
    at=${at%/*}
    [ -n "$at" ] || at=/
done
echo "free=$(stat -f -c '%a %S' "$at")"
echo "database=$(stat -c %s /var/lib/rancher/k3s/server/db/etcd/member/snap/db 2>/dev/null)"
"#,
};

/// Reading a large snapshot from a slow disk.
const HASH_TAKES: Duration = Duration::from_secs(300);

/// A server as far as its snapshots are concerned.
pub(crate) struct SnapshotPlace {
    /// Where they lie, or may lie.
    pub(crate) directories: Vec<String>,
    /// k3s copies them to S3.
    pub(crate) copied: bool,
    /// What else was seen of the host.
    pub(crate) facts: HostFacts,
}

/// Where the snapshots of a server lie, by its unit file and configuration.
pub(crate) async fn place(
    world: &dyn World,
    host: HostId,
) -> std::result::Result<SnapshotPlace, StepFailure> {
    let told = Configured::take(world, host, "k3s.service").await?;
    Ok(SnapshotPlace {
        directories: directories(&told.settings),
        copied: told.settings.is_on("etcd-s3"),
        facts: told.facts,
    })
}

/// The snapshots in these directories.
pub(crate) async fn look(
    world: &dyn World,
    host: HostId,
    directories: &[String],
) -> Result<Vec<SnapshotFile>> {
    let command = RemoteCommand::script(LOOK).args(directories).sudo();
    let answer = world.run(host, command).await?.ok(LOOK.name)?;
    Ok(parse_files(&answer.text()))
}

/// SHA-256 of a file, hex.
pub(crate) async fn sha256(world: &dyn World, host: HostId, path: &str) -> Result<String> {
    let command = RemoteCommand::script(HASH)
        .arg(path)
        .sudo()
        .timeout(HASH_TAKES);
    let answer = world.run(host, command).await?.ok(HASH.name)?.text();
    let hash = answer.split_whitespace().next().unwrap_or_default();
    if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(hash.to_ascii_lowercase());
    }
    Err(WorldError::Unexpected {
        what: HASH.name.to_owned(),
        detail: "no SHA-256".to_owned(),
    })
}

/// Bytes that are free where snapshots lie, and bytes of the database, if there is one.
pub(crate) async fn room(
    world: &dyn World,
    host: HostId,
    directory: &str,
) -> Result<(u64, Option<u64>)> {
    let command = RemoteCommand::script(ROOM).arg(directory).sudo();
    let answer = world.run(host, command).await?.ok(ROOM.name)?.text();
    let free = value(&answer, "free").and_then(|v| {
        let (blocks, size) = v.trim().split_once(' ')?;
        let blocks: u64 = blocks.parse().ok()?;
        blocks.checked_mul(size.trim().parse().ok()?)
    });
    let database = value(&answer, "database").and_then(|v| v.trim().parse().ok());
    let free = free.ok_or_else(|| WorldError::Unexpected {
        what: ROOM.name.to_owned(),
        detail: "the free space cannot be read".to_owned(),
    })?;
    Ok((free, database))
}

/// When k3s made it.
pub(crate) fn made(file: &SnapshotFile) -> Timestamp {
    Timestamp(file.made().saturating_mul(1000))
}
