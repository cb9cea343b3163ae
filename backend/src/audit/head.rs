//! Where the trail ends, sealed outside the database: who can write the database alone can neither take entries
//! off the end nor make the chain anew without its being seen.
//!
//! The file is written after the commit, so it may be behind by what came last, and is never ahead. (It is also
//! where signed checkpoints that are shipped elsewhere would start from.)

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use coxswain_engine::plan::hex;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

const DOMAIN: &[u8] = b"coxswain-audit-head-1";
/// What the key is derived for.
pub const KEY_PURPOSE: &str = "audit-head";
/// Name of the file in the data folder.
pub const FILE: &str = "audit.head";

/// The last entry of a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    seq: i64,
    hash: String,
    mac: String,
}

/// Why the file cannot be used.
#[derive(Debug, Error)]
pub enum HeadError {
    /// It cannot be read.
    #[error("the sealed end of the trail, {path}, cannot be read")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The panel with this key has not written it.
    #[error("the sealed end of the trail, {0}, was not sealed with this vault key")]
    Forged(PathBuf),
}

/// The file with the sealed head.
pub struct HeadFile {
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
}

impl HeadFile {
    /// The file of a data folder, under a key that is derived from the vault's for [`KEY_PURPOSE`].
    #[must_use]
    pub fn new(data_dir: &Path, key: Zeroizing<[u8; 32]>) -> Self {
        Self {
            path: data_dir.join(FILE),
            key,
        }
    }

    /// What was sealed last; none if there is no file.
    ///
    /// # Errors
    /// It cannot be read, or somebody else has written it.
    pub fn read(&self) -> Result<Option<Head>, HeadError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(HeadError::Io {
                    path: self.path.clone(),
                    source,
                });
            }
        };
        let forged = || HeadError::Forged(self.path.clone());
        let Sealed { seq, hash, mac } = serde_json::from_str(&text).map_err(|_| forged())?;
        let head = Head { seq, hash };
        let own = bool::from(self.mac(&head).as_bytes().ct_eq(mac.as_bytes()));
        if own { Ok(Some(head)) } else { Err(forged()) }
    }

    /// Seals a head that is committed.
    ///
    /// # Errors
    /// The file cannot be written; the one before is still there.
    pub fn write(&self, head: &Head) -> io::Result<()> {
        let sealed = Sealed {
            seq: head.seq,
            hash: head.hash.clone(),
            mac: self.mac(head),
        };
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(serde_json::to_string(&sealed)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
            Some(_) | None => Ok(()),
        }
    }

    fn mac(&self, Head { seq, hash }: &Head) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.as_slice()).expect("any length is a key");
        for part in [DOMAIN, seq.to_string().as_bytes(), hash.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        hex(&mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, key: u8) -> HeadFile {
        HeadFile::new(folder, Zeroizing::new([key; 32]))
    }

    #[test]
    fn only_the_key_seals() {
        let folder = tempfile::tempdir().unwrap();
        let own = file(folder.path(), 1);
        assert_eq!(own.read().unwrap(), None);
        let head = |seq| Head {
            seq,
            hash: "a".repeat(64),
        };
        own.write(&head(7)).unwrap();
        own.write(&head(8)).unwrap();
        assert_eq!(own.read().unwrap(), Some(head(8)));
        assert!(matches!(
            file(folder.path(), 2).read(),
            Err(HeadError::Forged(_))
        ));
        let path = folder.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        for changed in [
            text.replace(":8,", ":7,"),
            text.replace("aa", "ab"),
            String::new(),
        ] {
            fs::write(&path, changed).unwrap();
            assert!(matches!(own.read(), Err(HeadError::Forged(_))));
        }
    }
}
