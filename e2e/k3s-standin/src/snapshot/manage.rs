//! Listing, deleting and pruning this node's snapshots.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, bail};

use super::{Job, save};
use crate::cli::runtime;
use crate::kubectl::aligned;
use crate::logging::{self, rfc3339};
use crate::output;

/// A snapshot file.
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) size: u64,
    pub(super) created: String,
    seconds: i64,
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
            seconds: metadata.mtime(),
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
    if job.flags.words.is_empty() {
        bail!("no snapshots given for removal");
    }
    logging::info("Removing the given locally stored etcd snapshot(s)");
    for name in &job.flags.words {
        if name.contains('/') {
            bail!("invalid snapshot name {name}");
        }
        let file = job.directory.join(name);
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        logging::info(format!(
            "Removed the given locally stored etcd snapshot {name}"
        ));
    }
    reconcile(job)
}

/// Runs `prune --snapshot-retention N`: keeps the newest of this name.
pub(super) fn prune(job: &Job) -> anyhow::Result<()> {
    let keep: usize = job
        .flags
        .value("snapshot-retention")
        .unwrap_or("5")
        .parse()
        .context("snapshot-retention")?;
    let prefix = format!(
        "{}-{}-",
        job.flags.value("name").unwrap_or("on-demand"),
        job.node
    );
    logging::info(format!(
        "Applying local snapshot retention policy: retention: {keep}, snapshotPrefix: {prefix}, directory: {}",
        job.settings.paths.shown(&job.directory)
    ));
    let mut ours: Vec<Snapshot> = snapshots(job)?
        .into_iter()
        .filter(|row| row.name.starts_with(&prefix))
        .collect();
    ours.sort_by_key(|row| std::cmp::Reverse(row.seconds));
    for old in ours.iter().skip(keep) {
        let file = job.directory.join(&old.name);
        fs::remove_file(&file).with_context(|| format!("remove {}", file.display()))?;
        logging::info(format!("Removing local snapshot {}", old.name));
    }
    reconcile(job)
}

fn reconcile(job: &Job) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async { save::reconcile(job, &save::api(job)?).await });
    runtime.shutdown_background();
    outcome
}
