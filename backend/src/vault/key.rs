//! The vault's key: 32 random bytes, as 64 hex digits in a file that only the panel's user can read, or as
//! a systemd credential.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coxswain_engine::plan::hex;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use super::seal::random;

/// Where the key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file of mode 0600; made at the very first start.
    File(PathBuf),
    /// A file that systemd gives (`LoadCredential=`, `LoadCredentialEncrypted=`); never made by the panel.
    Credential(PathBuf),
}

impl KeySource {
    fn path(&self) -> &Path {
        match self {
            KeySource::File(path) | KeySource::Credential(path) => path,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the vault key {path} cannot be used")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error(
        "the vault key {path} has mode {mode:04o}; others may read it. Set it to 0600, and think about who could have read it"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not 64 hex digits.
    #[error("the vault key {path} is not 64 hex digits")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The key itself; wiped from memory when dropped.
pub(super) struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for something else, from which this one cannot be told.
    pub(super) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.bytes()).expect("any length is a key");
        mac.update(b"coxswain-derived-key-1:");
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// The key, none if the file is not there.
pub(super) fn load(source: &KeySource) -> Result<Option<MasterKey>, KeyError> {
    let path = source.path();
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o7777;
    match source {
        // systemd sees to the credential's mode.
        KeySource::Credential(_) => {}
        KeySource::File(_) if mode & 0o077 != 0 => {
            return Err(KeyError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        KeySource::File(_) => {}
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    file.take(128).read_to_string(&mut text).map_err(io)?;
    parse(text.trim())
        .map(Some)
        .ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
        })
}

/// A key for something else that is derived from the vault's, none if there is no vault key.
///
/// # Errors
/// The vault's key cannot be used.
pub fn derived_key(
    source: &KeySource,
    purpose: &str,
) -> Result<Option<Zeroizing<[u8; 32]>>, KeyError> {
    Ok(load(source)?.map(|key| key.derive(purpose)))
}

fn parse(text: &str) -> Option<MasterKey> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(MasterKey(key))
}

/// Makes the key. Only for a database that has never held a secret.
pub(super) fn create(source: &KeySource) -> Result<MasterKey, KeyError> {
    let path = source.path();
    let io = |source| KeyError::Io {
        path: path.to_owned(),
        source,
    };
    match source {
        KeySource::File(_) => {}
        KeySource::Credential(_) => return Err(io(std::io::ErrorKind::NotFound.into())),
    }
    let mut key = MasterKey(Zeroizing::new([0; 32]));
    random(key.0.as_mut_slice());
    let text = Zeroizing::new(hex(key.bytes()) + "\n");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(io)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io)?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(io)?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_once_with_mode_0600_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let source = KeySource::File(folder.path().join("vault.key"));
        assert!(load(&source).unwrap().is_none());
        let made = create(&source).unwrap();
        assert_eq!(load(&source).unwrap().unwrap().bytes(), made.bytes());
        assert!(create(&source).is_err());
        let mode = std::fs::metadata(source.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        create(&KeySource::File(path.clone())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            load(&KeySource::File(path)),
            Err(KeyError::Open { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_cut_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        create(&KeySource::File(path.clone())).unwrap();
        std::fs::write(&path, "abcd\n").unwrap();
        assert!(matches!(
            load(&KeySource::File(path)),
            Err(KeyError::Malformed { .. })
        ));
    }
}
