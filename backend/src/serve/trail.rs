//! Keeps the trail's end sealed outside the database, and checks the trail: its end before anything else, all of it
//! once after the start, and everything new.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::audit::head::{HeadError, HeadFile};
use crate::audit::{Checker, Draft, Flaw, Who};
use crate::store::{Db, DbError, END_LOST};
use crate::time::now;

/// Entries that come one after the other are sealed together: this much of the end may be unsealed when the panel
/// dies.
const TOGETHER: Duration = Duration::from_secs(1);

/// Sealing and checking, until it is dropped.
pub struct TrailKeeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl TrailKeeper {
    /// Compares the end with what was sealed last, notes in the trail if they differ, and seals it as it is now.
    ///
    /// # Errors
    /// The database or the file cannot be used.
    pub async fn start(db: Db, file: HeadFile, first_start: bool) -> anyhow::Result<Self> {
        match file.read() {
            Ok(Some(head)) => {
                if let Some(flaw) = db.audit_end(&head).await? {
                    tell(&db, &flaw);
                    note(&db, &flaw).await?;
                }
            }
            Ok(None) if first_start => {}
            // So it is after the update from a panel that sealed nothing; there is nothing to be afraid of yet.
            Ok(None) => {
                note(
                    &db,
                    &unsealed(&db, "it was never sealed, or the seal is gone").await?,
                )
                .await?;
            }
            Err(error @ HeadError::Forged(_)) => {
                let flaw = unsealed(&db, &error.to_string()).await?;
                tell(&db, &flaw);
                note(&db, &flaw).await?;
            }
            Err(error @ HeadError::Io { .. }) => return Err(error.into()),
        }
        let file = Arc::new(file);
        seal(&db, &file).await?;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(db, file, stopped));
        Ok(Self { stop, task })
    }

    /// Seals the end for the last time.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the end of the audit trail was not sealed");
        }
    }
}

async fn unsealed(db: &Db, why: &str) -> Result<Flaw, DbError> {
    Ok(Flaw::Unsealed {
        why: why.to_owned(),
        last: db.audit_head().await?.seq,
    })
}

/// In the trail itself, for ever.
async fn note(db: &Db, flaw: &Flaw) -> Result<(), DbError> {
    let draft = Draft::new(&Who::engine(), END_LOST, "audit trail", flaw.to_string());
    db.audit(now(), draft).await
}

fn tell(db: &Db, flaw: &Flaw) {
    tracing::error!(%flaw, "the audit trail does not hold");
    db.set_audit_flaw(flaw.clone());
}

async fn seal(db: &Db, file: &Arc<HeadFile>) -> anyhow::Result<()> {
    let head = db.audit_head().await?;
    let file = file.clone();
    tokio::task::spawn_blocking(move || file.write(&head))
        .await?
        .context("the end of the audit trail cannot be sealed")
}

async fn keep(db: Db, file: Arc<HeadFile>, mut stop: watch::Receiver<bool>) {
    let mut grows = db.trail_grows();
    let mut checker = whole(&db).await;
    loop {
        let last = tokio::select! {
            grown = grows.changed() => grown.is_err(),
            _ = stop.changed() => true,
        };
        if !last {
            tokio::select! {
                () = sleep(TOGETHER) => {}
                _ = stop.changed() => {}
            }
            grows.mark_unchanged();
        }
        if let Err(error) = seal(&db, &file).await {
            tracing::error!(
                error = format!("{error:#}"),
                "it is tried again with the next entry"
            );
        }
        follow(&db, &mut checker).await;
        if last || *stop.borrow() {
            return;
        }
    }
}

/// Checks all of it. Gives what can follow from there; none if the chain is broken, or could not be read.
async fn whole(db: &Db) -> Option<Checker> {
    match db.audit_check(None).await {
        Ok(report) => {
            let broken = matches!(report.flaw, Some(Flaw::Entry { .. }));
            if let Some(flaw) = report.flaw {
                tell(db, &flaw);
            }
            (!broken).then(|| Checker::after(report.entries, report.head))
        }
        Err(error) => {
            tracing::error!(%error, "the audit trail cannot be checked");
            None
        }
    }
}

async fn follow(db: &Db, checker: &mut Option<Checker>) {
    let Some(from) = checker else { return };
    match db.audit_follow(from).await {
        Ok(None) => {}
        Ok(Some(flaw)) => {
            tell(db, &flaw);
            *checker = None;
        }
        Err(error) => tracing::error!(%error, "the audit trail cannot be checked"),
    }
}
