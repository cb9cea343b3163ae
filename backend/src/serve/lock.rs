//! One panel per database: an exclusive lock of the operating system, held as long as the process lives.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why the panel cannot have the database for itself.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error(
        "another panel is working with {0}; a database has one panel. Stop that one, or give this one another --data-dir"
    )]
    Held(PathBuf),
    /// The lock file cannot be used.
    #[error("the lock file {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Held until dropped; the operating system lets go of it when the process dies.
#[derive(Debug)]
pub struct PanelLock {
    _file: File,
}

impl PanelLock {
    /// Takes the lock of a data folder.
    ///
    /// # Errors
    /// Another panel has it.
    pub fn take(data_dir: &Path) -> Result<Self, LockError> {
        let path = data_dir.join("coxswain.lock");
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // For people who look; the lock itself is not in the content.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_panel_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = PanelLock::take(folder.path()).unwrap();
        assert!(matches!(
            PanelLock::take(folder.path()),
            Err(LockError::Held(_))
        ));
        drop(first);
        assert!(PanelLock::take(folder.path()).is_ok());
    }
}
