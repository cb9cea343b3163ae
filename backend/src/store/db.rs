//! The connections: one writer, several readers.

use std::fs::{OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};
use tokio::sync::watch;

use super::DbError;
use crate::audit::Flaw;

/// A write transaction; rolled back when dropped.
pub type Tx = Transaction<'static, Sqlite>;

/// How long a statement waits for a lock, and a caller for a connection.
const BUSY: Duration = Duration::from_secs(10);
const READERS: u32 = 4;

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Db {
    writer: SqlitePool,
    pub(super) readers: SqlitePool,
    inventory: watch::Sender<u64>,
    /// Rises with every entry of the trail, before its commit.
    trail: watch::Sender<u64>,
    flaw: watch::Sender<Option<Flaw>>,
}

impl Db {
    /// Opens the database file, makes it if there is none, and brings it up to date.
    ///
    /// # Errors
    /// The file cannot be opened or was written by a newer panel.
    pub async fn open(file: &Path) -> Result<Self, DbError> {
        make_private(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // Without it, REPLACE would go past the append-only triggers.
            .pragma("recursive_triggers", "ON")
            .busy_timeout(BUSY);
        let trail = watch::Sender::new(0_u64);
        let grown = trail.clone();
        let writer = SqlitePoolOptions::new()
            .after_connect(move |connection, _| {
                let grown = grown.clone();
                Box::pin(async move {
                    let mut handle = connection.lock_handle().await?;
                    handle.set_update_hook(move |change| {
                        if change.table == "audit" {
                            grown.send_modify(|n| *n = n.wrapping_add(1));
                        }
                    });
                    Ok(())
                })
            })
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(BUSY)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("../migrations").run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(BUSY)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer,
            readers,
            inventory: watch::Sender::new(0),
            trail,
            flaw: watch::Sender::new(None),
        })
    }

    /// Begins a change. There is one writer, so callers queue here.
    ///
    /// # Errors
    /// The storage failed, or the queue did not move for ten seconds.
    pub async fn write(&self) -> Result<Tx, DbError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Commits a change of the inventory and tells those who watch it.
    pub(super) async fn commit_inventory(&self, tx: Tx) -> Result<(), DbError> {
        tx.commit().await?;
        self.inventory.send_modify(|n| *n = n.wrapping_add(1));
        Ok(())
    }

    /// Fires after each change of hosts, clusters or credentials.
    #[must_use]
    pub fn inventory_changed(&self) -> watch::Receiver<u64> {
        self.inventory.subscribe()
    }

    /// Fires when entries of the trail come, shortly before their commit.
    #[must_use]
    pub fn trail_grows(&self) -> watch::Receiver<u64> {
        self.trail.subscribe()
    }

    /// What the checks of the whole trail have found, for those who read a page of it.
    #[must_use]
    pub fn audit_flaw(&self) -> Option<Flaw> {
        self.flaw.borrow().clone()
    }

    /// Keeps the first thing that is found.
    pub fn set_audit_flaw(&self, flaw: Flaw) {
        self.flaw.send_if_modified(|first| {
            let fresh = first.is_none();
            first.get_or_insert(flaw);
            fresh
        });
    }

    /// Closes all connections and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Lets nobody else read the database, also where the folder is open to others. SQLite gives the files beside it the
/// same mode when it makes them; those of a panel that was killed may be there already.
fn make_private(file: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    for end in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(end);
        match std::fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("panel.db");
        let mode = |end: &str| {
            let path = folder.path().join(format!("panel.db{end}"));
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777
        };
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        let db = Db::open(&file).await.unwrap();
        assert_eq!(["", "-wal", "-shm"].map(mode), [0o600; 3]);
        db.close().await;
    }
}
