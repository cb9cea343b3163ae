//! Table `session`.

use coxswain_wire::{Timestamp, User, UserId};
use sqlx::Row;

use super::audit::append;
use super::users::role;
use super::{Db, DbError};
use crate::audit::{Draft, Who};

/// A session with its user as they are now.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Who.
    pub user: User,
    /// When they signed in.
    pub created_at: Timestamp,
    /// When the session was last used, as far as stored.
    pub last_used_at: Timestamp,
}

impl Db {
    /// Stores a new session and sweeps those unused since `dead_before`.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn create_session(
        &self,
        at: Timestamp,
        token_sha256: [u8; 32],
        user: &User,
        address: &str,
        dead_before: Timestamp,
    ) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM session WHERE last_used_at < ?")
            .bind(dead_before.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO session (token_sha256, user, created_at, last_used_at, address) VALUES (?, ?, ?, ?, ?)")
            .bind(token_sha256.as_slice())
            .bind(user.id.0)
            .bind(at.0)
            .bind(at.0)
            .bind(address)
            .execute(&mut *tx)
            .await?;
        let who = Who {
            actor: user.name.clone(),
            address: address.to_owned(),
        };
        append(
            &mut tx,
            at,
            Draft::new(&who, "session.started", format!("user {}", user.name), ""),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    /// The session of a token.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn session(&self, token_sha256: [u8; 32]) -> Result<Option<SessionRow>, DbError> {
        let row = sqlx::query(
            "SELECT u.id, u.name, u.role, u.kubeconfig, u.created_at AS user_created_at, s.created_at, s.last_used_at
             FROM session s JOIN user u ON u.id = s.user WHERE s.token_sha256 = ?",
        )
        .bind(token_sha256.as_slice())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let user = User {
            id: UserId(row.try_get("id")?),
            name: row.try_get("name")?,
            role: role(row.try_get("role")?)?,
            kubeconfig: row.try_get("kubeconfig")?,
            created_at: Timestamp(row.try_get("user_created_at")?),
        };
        Ok(Some(SessionRow {
            user,
            created_at: Timestamp(row.try_get("created_at")?),
            last_used_at: Timestamp(row.try_get("last_used_at")?),
        }))
    }

    /// Notes that a session was used.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn touch_session(
        &self,
        token_sha256: [u8; 32],
        at: Timestamp,
    ) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "UPDATE session SET last_used_at = max(last_used_at, ?) WHERE token_sha256 = ?",
        )
        .bind(at.0)
        .bind(token_sha256.as_slice())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn end_session(
        &self,
        who: &Who,
        at: Timestamp,
        token_sha256: [u8; 32],
    ) -> Result<(), DbError> {
        let mut tx = self.write().await?;
        sqlx::query("DELETE FROM session WHERE token_sha256 = ?")
            .bind(token_sha256.as_slice())
            .execute(&mut *tx)
            .await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "session.ended", format!("user {}", who.actor), ""),
        )
        .await?;
        Ok(tx.commit().await?)
    }
}
