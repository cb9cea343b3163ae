//! What a cluster keeps in its database for servers to come: the shared files, under the hash of the server token. A
//! snapshot carries them, which is why it is of no use without the token of its time.

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::etcd::{Entry, Etcd, Saved};
use crate::paths::Paths;
use crate::pki::files::{self, Shared};
use crate::token::hex;

const PREFIX: &str = "/bootstrap/";

fn key(password: &str) -> String {
    let digest = hex(&Sha256::digest(password));
    format!("{PREFIX}{}", digest.get(..12).unwrap_or_default())
}

/// The data that belongs to this token; `None` if the database has none at all.
///
/// # Errors
/// When it belongs to another token, or the database does not answer.
async fn find(etcd: &Etcd, password: &str) -> anyhow::Result<Option<Entry>> {
    let entries = etcd.list(PREFIX).await.context("bootstrap data")?.entries;
    let own = key(password);
    if !entries.is_empty() && !entries.iter().any(|entry| entry.key == own) {
        bail!("bootstrap data already found and encrypted with different token");
    }
    Ok(entries.into_iter().find(|entry| entry.key == own))
}

/// At a start: the data must be this token's; a new cluster saves it.
///
/// # Errors
/// As [`find`].
pub(super) async fn check(etcd: &Etcd, paths: &Paths, password: &str) -> anyhow::Result<()> {
    if find(etcd, password).await?.is_none() {
        let shared = serde_json::to_vec(&files::read_shared(paths)?).context("bootstrap data")?;
        save(etcd, &key(password), &shared).await?;
    }
    Ok(())
}

/// After a reset: the files come from the database. Returns whether the cluster's CA is another one now.
///
/// # Errors
/// As [`find`], or when files cannot be written.
pub(super) async fn restore(etcd: &Etcd, paths: &Paths, password: &str) -> anyhow::Result<bool> {
    let Some(entry) = find(etcd, password).await? else {
        return Ok(false);
    };
    let shared: Shared = serde_json::from_slice(&entry.value).context("bootstrap data")?;
    let before = files::read_shared(paths).ok();
    files::write_shared(paths, &shared)?;
    Ok(before.is_some_and(|before| before.files != shared.files))
}

/// The data belongs to another token from now on.
///
/// # Errors
/// As [`find`].
pub(super) async fn rotate(etcd: &Etcd, old: &str, new: &str) -> anyhow::Result<()> {
    let (from, to) = (key(old), key(new));
    if from == to {
        return Ok(());
    }
    let Some(entry) = find(etcd, old).await? else {
        bail!("no bootstrap data found");
    };
    save(etcd, &to, &entry.value).await?;
    match etcd
        .delete(&from, entry.revision)
        .await
        .context("bootstrap data")?
    {
        Saved::Done(_) | Saved::Conflict(None) => Ok(()),
        Saved::Conflict(Some(_)) => bail!("bootstrap data changed while the token was rotated"),
    }
}

async fn save(etcd: &Etcd, key: &str, value: &[u8]) -> anyhow::Result<()> {
    match etcd.save(key, value, 0).await.context("bootstrap data")? {
        // Another server was first; it has the same files.
        Saved::Done(_) | Saved::Conflict(Some(_)) => Ok(()),
        Saved::Conflict(None) => bail!("bootstrap data vanished while it was saved"),
    }
}
