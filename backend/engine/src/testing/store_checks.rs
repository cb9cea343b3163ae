//! What every [`Store`] must do. Each check gets an empty store and says what it found wrong.

use coxswain_wire::{RunStatus, Timestamp};

use super::checks::{Finding, approver, starter};
use crate::event::Event;
use crate::plan::{Plan, Stage};
use crate::store::{Append, Locks, Store, StoreError};

fn plan() -> Plan {
    Plan {
        workflow: "conformance".to_owned(),
        title: "Conformance".to_owned(),
        inputs: Default::default(),
        cluster: None,
        cluster_name: "none".to_owned(),
        locks: vec!["cluster:1".to_owned(), "host:1".to_owned()],
        stages: vec![Stage {
            title: "Nothing".to_owned(),
            gate: None,
            steps: vec![],
        }],
        warnings: vec![],
        outage: None,
        undo_outage: None,
    }
}

async fn create(store: &dyn Store) -> Result<coxswain_wire::RunId, Finding> {
    let plan = plan();
    let created = Event::Created {
        by: starter(),
        plan_sha256: plan.sha256(),
    };
    store
        .create(&plan, created, Timestamp(1), RunStatus::Running)
        .await
        .map_err(|e| e.to_string())
}

fn append(run: coxswain_wire::RunId, next_seq: u64, locks: Locks) -> Append {
    Append {
        run,
        next_seq,
        at: Timestamp(2),
        events: vec![Event::Paused { by: approver() }],
        status: RunStatus::Paused,
        steps_done: 0,
        locks,
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), Finding> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// What was appended is read back, in order, and an append at the wrong place changes nothing.
///
/// # Errors
/// What is wrong.
pub async fn guards_the_log(store: &dyn Store) -> Result<(), Finding> {
    let run = create(store).await?;
    store
        .append(append(run, 1, Locks::Keep))
        .await
        .map_err(|e| e.to_string())?;
    for wrong in [0, 1, 3] {
        let refused = store.append(append(run, wrong, Locks::Keep)).await;
        ensure(
            matches!(refused, Err(StoreError::Conflict(_))),
            "an append at the wrong place must conflict",
        )?;
    }
    let stored = store.load(run).await.map_err(|e| e.to_string())?;
    ensure(stored.plan == plan(), "the plan must come back as it was")?;
    ensure(stored.log.len() == 2, "refused appends must leave nothing")?;
    ensure(
        stored.log[1].event == Event::Paused { by: approver() },
        "events must come back as they were",
    )?;
    ensure(
        stored.log[1].seq == 1 && stored.log[1].at == Timestamp(2),
        "number and time must come back",
    )
}

/// Locks are taken all at once or not at all, together with the events, and given up.
///
/// # Errors
/// What is wrong.
pub async fn keeps_locks(store: &dyn Store) -> Result<(), Finding> {
    let (first, second) = (create(store).await?, create(store).await?);
    let take = |names: &[&str]| Locks::Take(names.iter().map(|n| (*n).to_owned()).collect());
    store
        .append(append(first, 1, take(&["host:1"])))
        .await
        .map_err(|e| e.to_string())?;
    let refused = store
        .append(append(second, 1, take(&["cluster:1", "host:1"])))
        .await;
    let named = matches!(&refused, Err(StoreError::LockHeld { resource, holder }) if resource == "host:1" && *holder == first);
    ensure(named, "a held lock must be refused and name its holder")?;
    let log = store.load(second).await.map_err(|e| e.to_string())?.log;
    ensure(log.len() == 1, "a refused lock must leave no event")?;
    let third = create(store).await?;
    store
        .append(append(third, 1, take(&["cluster:1"])))
        .await
        .map_err(|e| format!("a refused lock must leave no other lock: {e}"))?;
    store
        .append(append(first, 2, Locks::Release))
        .await
        .map_err(|e| e.to_string())?;
    store
        .append(append(second, 1, take(&["host:1"])))
        .await
        .map_err(|e| format!("a lock given up is free: {e}"))
}

/// Unfinished runs are listed, finished ones not.
///
/// # Errors
/// What is wrong.
pub async fn lists_unfinished(store: &dyn Store) -> Result<(), Finding> {
    let (open, over) = (create(store).await?, create(store).await?);
    let end = Append {
        events: vec![Event::Completed],
        status: RunStatus::Completed,
        locks: Locks::Release,
        ..append(over, 1, Locks::Keep)
    };
    store.append(end).await.map_err(|e| e.to_string())?;
    let listed = store.unfinished().await.map_err(|e| e.to_string())?;
    ensure(
        listed == [open],
        "exactly the unfinished run must be listed",
    )
}

/// Output goes on where it stopped: bytes that come twice are stored once, a gap is refused.
///
/// # Errors
/// What is wrong.
pub async fn resumes_output(store: &dyn Store) -> Result<(), Finding> {
    let run = create(store).await?;
    let open = || async { store.output(run, 0, 1).await.map_err(|e| e.to_string()) };
    let output = open().await?;
    output
        .append(0, b"one\n")
        .await
        .map_err(|e| e.to_string())?;
    output
        .append(0, b"one\ntwo\n")
        .await
        .map_err(|e| e.to_string())?;
    let again = open().await?;
    let position = again.position().await;
    ensure(position <= 8, "no more can be stored than came")?;
    ensure(
        again.append(position + 100, b"far").await.is_err(),
        "a gap must be refused",
    )?;
    let all = b"one\ntwo\nthree\n";
    let rest = &all[usize::try_from(position).map_err(|e| e.to_string())?..];
    again
        .append(position, rest)
        .await
        .map_err(|e| e.to_string())?;
    again.finish().await.map_err(|e| e.to_string())?;
    ensure(
        open().await?.position().await == all.len() as u64,
        "the position must be the end of what was stored",
    )
}
