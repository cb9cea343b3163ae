//! Listing, deleting and pruning this node's snapshots. Only the list needs no API server.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, bail};

use super::{Job, save};
use crate::cli::runtime;
use crate::fsutil::remove_if_there;
use crate::kubectl::aligned;
use crate::logging::{self, rfc3339};
use crate::output;

/// A snapshot file.
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) size: u64,
    pub(super) created: String,
}

/// Files of the snapshot directory, by name.
///
/// # Errors
/// When the directory cannot be read; a missing one is empty.
pub(super) fn snapshots(job: &Job) -> anyhow::Result<Vec<Snapshot>> {
    if !job.directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&job.directory).context("snapshot directory")? {
        let entry = entry.context("snapshot directory")?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = entry.metadata().context("snapshot")?;
        if !metadata.is_file() || name.ends_with(".part") {
            continue;
        }
        let created = jiff::Timestamp::from_second(metadata.mtime()).context("snapshot time")?;
        found.push(Snapshot {
            location: format!("file://{}", job.settings.paths.shown(&entry.path())),
            size: metadata.len(),
            created: rfc3339(created),
            name,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Runs `ls`.
pub(super) fn list(job: &Job) -> anyhow::Result<()> {
    let heading = ["Name", "Location", "Size", "Created"]
        .map(str::to_owned)
        .to_vec();
    let rows = snapshots(job)?
        .into_iter()
        .map(|row| vec![row.name, row.location, row.size.to_string(), row.created]);
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    output::text(aligned(&rows, 1));
    Ok(())
}

/// Runs `delete <name>…`.
pub(super) fn delete(job: &Job) -> anyhow::Result<()> {
    if job.words.is_empty() {
        bail!("no snapshots given for removal");
    }
    with_api(job, || {
        logging::info("Removing the given locally stored etcd snapshot(s)");
        for name in &job.words {
            let file = job.directory.join(name);
            if name.contains('/') || !remove_if_there(&file)? {
                logging::info(format!("Snapshot {name}, does not exist"));
            }
        }
        Ok(())
    })
}

/// Runs `prune --snapshot-retention N`.
pub(super) fn prune(job: &Job) -> anyhow::Result<()> {
    with_api(job, || retain(job))
}

/// Removes all but the newest of this name.
///
/// # Errors
/// What the file system says.
pub(super) fn retain(job: &Job) -> anyhow::Result<()> {
    if job.retention < 1 {
        return Ok(());
    }
    let prefix = format!("{}-{}", job.name, job.node);
    logging::info(format!(
        "Applying local snapshot retention policy: retention: {}, snapshotPrefix: {prefix}, directory: {}",
        job.retention,
        job.settings.paths.shown(&job.directory)
    ));
    let mut ours = snapshots(job)?;
    ours.retain(|row| row.name.starts_with(&prefix));
    // Their names end in the time.
    for old in ours.iter().rev().skip(job.retention) {
        let file = job.directory.join(&old.name);
        logging::info(format!(
            "Removing local snapshot {}",
            job.settings.paths.shown(&file)
        ));
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
    }
    Ok(())
}

/// Does something to the files between a look for the API server, without which nothing is done, and the bookkeeping.
fn with_api(job: &Job, change: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let api = save::api(job)?;
        save::register(&api).await?;
        change()?;
        save::reconcile(job, &api).await
    });
    runtime.shutdown_background();
    outcome
}
