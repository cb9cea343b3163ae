//! A database that was put back from a backup knows less than the hosts have seen: its unfinished runs are
//! parked, and people decide.
//!
//! It is told by a count of starts that lies in the database and in a file beside it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use coxswain_engine::event::{Event, Recorded};
use coxswain_engine::state::RunState;
use coxswain_engine::store::{Append, Locks, Store};
use coxswain_wire::RunStatus;

use crate::audit::{Draft, Who};
use crate::store::{Db, RunStore};
use crate::time::now;

const FILE: &str = "starts";
const REASON: &str =
    "The database was restored from a backup: what this run did since then is not in its log.";

/// Counts this start. True if the database is older than the file beside it.
///
/// # Errors
/// Database or file cannot be written.
pub async fn count_start(db: &Db, data_dir: &Path) -> anyhow::Result<bool> {
    let file = data_dir.join(FILE);
    let stored = db.starts().await?;
    let noted: Option<u64> = match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().ok(),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    };
    let restored = match noted {
        Some(noted) => stored < noted,
        None => stored > 0,
    };
    let next = stored.max(noted.unwrap_or(0)) + 1;
    // The database first: a crash in between leaves it ahead, which is no sign of a restore.
    db.set_starts(next).await?;
    write(&file, next).with_context(|| file.display().to_string())?;
    if restored {
        let draft = Draft::new(
            &Who::engine(),
            "database.restored",
            "database",
            "unfinished runs are parked",
        );
        db.audit(now(), draft).await?;
    }
    Ok(restored)
}

fn write(file: &Path, starts: u64) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = File::create(&beside)?;
    writeln!(new, "{starts}")?;
    new.sync_all()?;
    fs::rename(beside, file)
}

/// Parks every unfinished run. Before the engine takes them up.
///
/// # Errors
/// The storage failed.
pub async fn park_unfinished(runs: &RunStore) -> anyhow::Result<()> {
    for run in runs.unfinished().await? {
        let stored = runs.load(run).await?;
        let (mut state, mut outputs) = RunState::replay(Arc::new(stored.plan), &stored.log);
        if state.status() == RunStatus::Parked {
            continue;
        }
        let (seq, at) = (state.next_seq, now());
        let event = Event::Parked {
            reason: REASON.to_owned(),
        };
        let recorded = Recorded {
            seq,
            at,
            event: event.clone(),
        };
        state
            .fold(&recorded, &mut outputs)
            .with_context(|| format!("run {run} cannot be parked"))?;
        runs.append(Append {
            run,
            next_seq: seq,
            at,
            events: vec![event],
            status: state.status(),
            steps_done: state.steps_done(),
            locks: Locks::Keep,
        })
        .await?;
    }
    Ok(())
}
