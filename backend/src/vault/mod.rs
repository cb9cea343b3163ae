//! Secrets at rest. Each value is sealed by a data key of its own, which is sealed by the vault's key; that
//! key lies outside the database. Without the right key the panel does not start.

mod key;
mod known;
mod masked;
mod seal;

use std::sync::Arc;

use coxswain_wire::SecretId;
use thiserror::Error;
use zeroize::Zeroizing;

pub use key::{KeyError, KeySource, derived_key};
pub use known::Known;
pub(crate) use seal::random;

use crate::audit::{Draft, Who};
use crate::store::{Db, DbError, SealedSecret, Tx};
use crate::time::now;
use crate::world::Secret;
use key::MasterKey;

const CHECK_KIND: &str = "vault_check";

/// Kind of an SSH private key.
pub const SSH_PRIVATE_KEY: &str = "ssh_private_key";

/// Why the vault cannot do its work.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no key, or it cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database belongs to another key.
    #[error(
        "the vault key in {key} does not open this database's secrets; put the right key there (the panel never makes a new one for a database that holds secrets)"
    )]
    WrongKey {
        /// Where the key came from.
        key: String,
    },
    /// The database holds secrets but the key is not there.
    #[error(
        "the database holds secrets but there is no vault key at {key}; put it back (without it the secrets cannot be opened, and the panel does not start)"
    )]
    NoKey {
        /// Where it was looked for.
        key: String,
    },
    /// A value lies in the database as it is.
    #[error("secret {0} lies in the database unencrypted; the panel does not start")]
    Plaintext(SecretId),
    /// Changed in the database, or moved to another row.
    #[error("secret {0} does not open: its row was changed")]
    Damaged(SecretId),
    /// There is none.
    #[error("there is no secret {0}")]
    NotFound(SecretId),
    /// The storage failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Puts secrets into the database and takes them out.
pub struct Vault {
    db: Db,
    key: MasterKey,
    known: Arc<Known>,
}

impl Vault {
    /// Opens the vault and tests it: every stored secret must open, and none may lie there in plain. The
    /// key is made if, and only if, the database has never held a secret. `known` learns all values.
    ///
    /// # Errors
    /// No key, the wrong key, or a damaged row: the panel must not start.
    pub async fn open(db: Db, source: &KeySource, known: Arc<Known>) -> Result<Self, VaultError> {
        let stored = db.secrets().await?;
        let check = db.vault_check().await?;
        let key = match key::load(source)? {
            Some(key) => key,
            None if stored.is_empty() => key::create(source)?,
            None => {
                return Err(VaultError::NoKey {
                    key: source.to_string(),
                });
            }
        };
        let vault = Self { db, key, known };
        for (nth, sealed) in stored.iter().enumerate() {
            let value = vault.unseal(sealed).map_err(|error| {
                // The first row is the check of the very first start.
                if nth == 0 {
                    VaultError::WrongKey {
                        key: source.to_string(),
                    }
                } else {
                    error
                }
            })?;
            if seal::contains(&sealed.ciphertext, value.expose())
                || seal::contains(&sealed.wrapped_key, value.expose())
            {
                return Err(VaultError::Plaintext(sealed.id));
            }
            if Some(sealed.id) != check {
                vault.learn(&sealed.kind, &value);
            }
        }
        if check.is_none() {
            vault.make_check().await?;
        }
        Ok(vault)
    }

    /// Stores a value and gives its number.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn put(&self, kind: &str, value: &Secret) -> Result<SecretId, VaultError> {
        let mut tx = self.db.write().await?;
        let sealed = self.seal(&mut tx, kind, value).await?;
        let id = sealed.id;
        Db::insert_secret(&mut tx, now(), &sealed).await?;
        let draft = Draft::new(
            &Who::engine(),
            "secret.stored",
            format!("secret {id}"),
            kind,
        );
        self.db.commit_with(tx, now(), draft).await?;
        Ok(id)
    }

    /// Seals a value for the row it will get in this change; the caller stores it. The value counts as known
    /// from here on.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn seal(
        &self,
        tx: &mut Tx,
        kind: &str,
        value: &Secret,
    ) -> Result<SealedSecret, VaultError> {
        self.learn(kind, value);
        let id = Db::next_secret_id(tx).await?;
        Ok(seal::seal(&self.key, id, kind, value.expose()))
    }

    /// Takes a value out.
    ///
    /// # Errors
    /// There is none, or its row was changed.
    pub async fn get(&self, id: SecretId) -> Result<Secret, VaultError> {
        let sealed = self.db.secret(id).await?.ok_or(VaultError::NotFound(id))?;
        self.unseal(&sealed)
    }

    /// A key for something else, derived from the vault's.
    #[must_use]
    pub fn derived_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        self.key.derive(purpose)
    }

    /// All values, for redactors.
    #[must_use]
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    fn learn(&self, kind: &str, value: &Secret) {
        for part in masked::parts(kind, value.expose()) {
            self.known.learn(&part);
        }
    }

    fn unseal(&self, sealed: &SealedSecret) -> Result<Secret, VaultError> {
        seal::unseal(&self.key, sealed).ok_or(VaultError::Damaged(sealed.id))
    }

    async fn make_check(&self) -> Result<(), VaultError> {
        let mut value = vec![0; 32];
        seal::random(&mut value);
        let mut tx = self.db.write().await?;
        let id = Db::next_secret_id(&mut tx).await?;
        let sealed = seal::seal(&self.key, id, CHECK_KIND, &value);
        Db::insert_secret(&mut tx, now(), &sealed).await?;
        Db::set_vault_check(&mut tx, id).await?;
        let draft = Draft::new(&Who::engine(), "vault.created", "vault", "");
        Ok(self.db.commit_with(tx, now(), draft).await?)
    }
}
