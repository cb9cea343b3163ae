//! Files and directories with exact modes.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// Creates `path` and its parents; the last one gets `mode` whatever the umask is, if it is new.
///
/// # Errors
/// What the file system says, with the path.
pub(crate) fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .with_context(|| format!("mkdir {}", parent.display()))?;
    }
    fs::create_dir(path).with_context(|| format!("mkdir {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("chmod {}", path.display()))
}

/// Copies a directory with all below it and the modes.
///
/// # Errors
/// What the file system says, with the path.
pub(crate) fn copy_dir(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(from)
        .with_context(|| format!("stat {}", from.display()))?
        .permissions()
        .mode();
    make_dir(to, mode & 0o7777)?;
    for entry in fs::read_dir(from).with_context(|| format!("open {}", from.display()))? {
        let path = entry?.path();
        let copy = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_dir(&path, &copy)?;
        } else {
            fs::copy(&path, &copy).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// Writes a file atomically with exactly `mode`.
///
/// # Errors
/// What the file system says, with the path.
pub(crate) fn write(path: &Path, mode: u32, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let part = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)?;
        file.write_all(content.as_ref())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Writes a file only if it is missing.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_new(path: &Path, mode: u32, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    if path.exists() {
        Ok(())
    } else {
        write(path, mode, content)
    }
}

/// Reads a text file.
///
/// # Errors
/// With the path.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("open {}", path.display()))
}

/// Removes a file; whether it was there.
///
/// # Errors
/// What the file system says, with the path.
pub(crate) fn remove_if_there(path: &Path) -> anyhow::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("remove {}", path.display())),
    }
}

/// Whether a directory exists and holds something.
pub(crate) fn has_entries(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}
