//! Table `secret`: sealed values only.

use coxswain_wire::{SecretId, Timestamp};
use sqlx::Row;

use super::{Db, DbError, Tx};

/// A value as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its number.
    pub id: SecretId,
    /// What it is, e.g. `ssh_private_key`; bound into the ciphertext.
    pub kind: String,
    /// Its data key, sealed by the vault's key.
    pub wrapped_key: Vec<u8>,
    /// The value, sealed by its data key.
    pub ciphertext: Vec<u8>,
}

impl Db {
    /// The number that the next secret of this transaction will have: it is sealed before it is stored.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn next_secret_id(tx: &mut Tx) -> Result<SecretId, DbError> {
        let last: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'secret'")
                .fetch_optional(&mut **tx)
                .await?;
        Ok(SecretId(last.unwrap_or(0) + 1))
    }

    /// Stores a sealed value inside a change.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn insert_secret(
        tx: &mut Tx,
        at: Timestamp,
        sealed: &SealedSecret,
    ) -> Result<(), DbError> {
        sqlx::query("INSERT INTO secret (id, kind, wrapped_key, ciphertext, created_at) VALUES (?, ?, ?, ?, ?)")
            .bind(sealed.id.0)
            .bind(&sealed.kind)
            .bind(&sealed.wrapped_key)
            .bind(&sealed.ciphertext)
            .bind(at.0)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// One sealed value.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn secret(&self, id: SecretId) -> Result<Option<SealedSecret>, DbError> {
        let row = sqlx::query("SELECT id, kind, wrapped_key, ciphertext FROM secret WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.as_ref().map(sealed).transpose()?)
    }

    /// All sealed values.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn secrets(&self) -> Result<Vec<SealedSecret>, DbError> {
        let rows = sqlx::query("SELECT id, kind, wrapped_key, ciphertext FROM secret ORDER BY id")
            .fetch_all(&self.readers)
            .await?;
        Ok(rows.iter().map(sealed).collect::<Result<_, _>>()?)
    }
}

fn sealed(row: &sqlx::sqlite::SqliteRow) -> Result<SealedSecret, sqlx::Error> {
    Ok(SealedSecret {
        id: SecretId(row.try_get("id")?),
        kind: row.try_get("kind")?,
        wrapped_key: row.try_get("wrapped_key")?,
        ciphertext: row.try_get("ciphertext")?,
    })
}
