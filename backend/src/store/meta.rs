//! Table `meta`: its only row.

use coxswain_wire::{SecretId, Timestamp};
use sqlx::Row;

use super::run_rows::signed;
use super::{Db, DbError, Tx};

impl Db {
    /// Makes the row at the very first start. True if this was it.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn first_start(&self, at: Timestamp) -> Result<bool, DbError> {
        let mut tx = self.write().await?;
        let made =
            sqlx::query("INSERT INTO meta (id, created_at) VALUES (1, ?) ON CONFLICT DO NOTHING")
                .bind(at.0)
                .execute(&mut *tx)
                .await?;
        tx.commit().await?;
        Ok(made.rows_affected() == 1)
    }

    /// How often a panel has started on this database.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn starts(&self) -> Result<u64, DbError> {
        let starts: i64 = sqlx::query_scalar("SELECT coalesce(max(starts), 0) FROM meta")
            .fetch_one(&self.readers)
            .await?;
        u64::try_from(starts).map_err(|e| DbError::corrupt("meta.starts", e))
    }

    /// Sets it.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn set_starts(&self, starts: u64) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query("UPDATE meta SET starts = ?")
            .bind(signed(starts))
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// The secret that proves which vault key the database belongs to.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn vault_check(&self) -> Result<Option<SecretId>, DbError> {
        let row = sqlx::query("SELECT vault_check FROM meta")
            .fetch_optional(&self.readers)
            .await?;
        Ok(match row {
            Some(row) => row.try_get::<Option<i64>, _>("vault_check")?.map(SecretId),
            None => None,
        })
    }

    /// Sets it, once, inside a change.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn set_vault_check(tx: &mut Tx, secret: SecretId) -> Result<(), DbError> {
        sqlx::query("UPDATE meta SET vault_check = ? WHERE vault_check IS NULL")
            .bind(secret.0)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Replaces the hash of the one-time set-up secret. False, and nothing is stored, once a user exists.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn set_setup_secret(&self, sha256: [u8; 32]) -> Result<bool, DbError> {
        let mut tx = self.write().await?;
        let changed = sqlx::query(
            "UPDATE meta SET setup_secret_sha256 = ? WHERE NOT EXISTS (SELECT 1 FROM user)",
        )
        .bind(sha256.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(changed.rows_affected() == 1)
    }

    /// The hash of the one-time set-up secret, if set-up is still to be done.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn setup_secret(&self) -> Result<Option<Vec<u8>>, DbError> {
        let row = sqlx::query("SELECT setup_secret_sha256 FROM meta")
            .fetch_optional(&self.readers)
            .await?;
        Ok(match row {
            Some(row) => row.try_get("setup_secret_sha256")?,
            None => None,
        })
    }
}
