//! Table `user`.

use coxswain_wire::{Role, Timestamp, User, UserId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::append;
use super::{ChangeError, Db, DbError, Tx};
use crate::audit::{Draft, Who};

/// A user with what signing in needs.
#[derive(Clone)]
pub struct UserRow {
    /// As the API shows it.
    pub user: User,
    /// PHC string.
    pub password_hash: String,
}

pub(super) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Approver => "approver",
        Role::Admin => "admin",
    }
}

pub(super) fn role(word: &str) -> Result<Role, DbError> {
    Role::ALL
        .into_iter()
        .find(|r| role_word(*r) == word)
        .ok_or_else(|| DbError::corrupt("user.role", word))
}

fn user(row: &SqliteRow) -> Result<User, DbError> {
    Ok(User {
        id: UserId(row.try_get("id")?),
        name: row.try_get("name")?,
        role: role(row.try_get("role")?)?,
        kubeconfig: row.try_get("kubeconfig")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

impl Db {
    /// All users by name.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn users(&self) -> Result<Vec<User>, DbError> {
        let rows =
            sqlx::query("SELECT id, name, role, kubeconfig, created_at FROM user ORDER BY name")
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(user).collect()
    }

    /// True once the first user exists.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn has_users(&self) -> Result<bool, DbError> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user)")
            .fetch_one(&self.readers)
            .await?)
    }

    /// A user by sign-in name, capitals or not.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<UserRow>, DbError> {
        let row = sqlx::query(
            "SELECT id, name, role, kubeconfig, created_at, password_hash FROM user WHERE name = ?",
        )
        .bind(name)
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| {
            Ok(UserRow {
                user: user(&row)?,
                password_hash: row.try_get("password_hash")?,
            })
        })
        .transpose()
    }

    /// Makes a user.
    ///
    /// # Errors
    /// The name is taken.
    pub async fn create_user(
        &self,
        who: &Who,
        at: Timestamp,
        name: &str,
        role: Role,
        password_hash: &str,
    ) -> Result<User, ChangeError> {
        let mut tx = self.write().await?;
        let made = insert(&mut tx, at, name, role, password_hash).await?;
        let draft = Draft::new(who, "user.created", format!("user {name}"), role_word(role));
        append(&mut tx, at, draft).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Makes the first admin and spends the set-up secret. None if there is a user already or the secret's
    /// hash is not the stored one.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn create_first_user(
        &self,
        who: &Who,
        at: Timestamp,
        setup_sha256: &[u8],
        name: &str,
        password_hash: &str,
    ) -> Result<Option<User>, ChangeError> {
        let mut tx = self.write().await?;
        let spent = sqlx::query(
            "UPDATE meta SET setup_secret_sha256 = NULL
             WHERE setup_secret_sha256 = ? AND NOT EXISTS (SELECT 1 FROM user)",
        )
        .bind(setup_sha256)
        .execute(&mut *tx)
        .await?;
        if spent.rows_affected() == 0 {
            return Ok(None);
        }
        let made = insert(&mut tx, at, name, Role::Admin, password_hash).await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "setup.done", format!("user {name}"), "first admin"),
        )
        .await?;
        tx.commit().await?;
        Ok(Some(made))
    }

    /// Grants a user to download kubeconfigs, or takes that back. Safe to repeat.
    ///
    /// # Errors
    /// There is no such user, or their role does not take it.
    pub async fn set_user_kubeconfig(
        &self,
        who: &Who,
        at: Timestamp,
        id: UserId,
        granted: bool,
    ) -> Result<User, ChangeError> {
        let mut tx = self.write().await?;
        let mut changed = by_id(&mut tx, id).await?;
        if granted && !changed.role.takes_kubeconfig() {
            let why = match changed.role {
                Role::Admin => "An admin may download kubeconfigs anyway.",
                Role::Viewer | Role::Operator | Role::Approver => {
                    "Whoever has a kubeconfig is admin of the cluster: a viewer does not get it."
                }
            };
            return Err(ChangeError::field("kubeconfig", why));
        }
        if changed.kubeconfig != granted {
            sqlx::query("UPDATE user SET kubeconfig = ? WHERE id = ?")
                .bind(granted)
                .bind(id.0)
                .execute(&mut *tx)
                .await?;
            changed.kubeconfig = granted;
            let detail = if granted {
                "may download kubeconfigs"
            } else {
                "may not download kubeconfigs"
            };
            let subject = format!("user {}", changed.name);
            append(
                &mut tx,
                at,
                Draft::new(who, "user.changed", subject, detail),
            )
            .await?;
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Removes a user with their sessions.
    ///
    /// # Errors
    /// There is no such user, or it is the last admin.
    pub async fn delete_user(
        &self,
        who: &Who,
        at: Timestamp,
        id: UserId,
    ) -> Result<(), ChangeError> {
        let mut tx = self.write().await?;
        let gone = by_id(&mut tx, id).await?;
        sqlx::query("DELETE FROM user WHERE id = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        let admins: i64 = sqlx::query_scalar("SELECT count(*) FROM user WHERE role = 'admin'")
            .fetch_one(&mut *tx)
            .await?;
        if admins == 0 {
            return Err(ChangeError::Conflict(
                "This is the last admin; make another admin before removing this one.".to_owned(),
            ));
        }
        append(
            &mut tx,
            at,
            Draft::new(who, "user.deleted", format!("user {}", gone.name), ""),
        )
        .await?;
        Ok(tx.commit().await?)
    }
}

async fn by_id(tx: &mut Tx, id: UserId) -> Result<User, ChangeError> {
    let row = sqlx::query("SELECT id, name, role, kubeconfig, created_at FROM user WHERE id = ?")
        .bind(id.0)
        .fetch_optional(&mut **tx)
        .await?
        .ok_or_else(|| ChangeError::NotFound(format!("user {id}")))?;
    Ok(user(&row)?)
}

async fn insert(
    tx: &mut Tx,
    at: Timestamp,
    name: &str,
    role: Role,
    password_hash: &str,
) -> Result<User, ChangeError> {
    let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM user WHERE name = ?)")
        .bind(name)
        .fetch_one(&mut **tx)
        .await?;
    if taken {
        return Err(ChangeError::field(
            "name",
            format!("There is a user {name} already."),
        ));
    }
    let id =
        sqlx::query("INSERT INTO user (name, role, password_hash, created_at) VALUES (?, ?, ?, ?)")
            .bind(name)
            .bind(role_word(role))
            .bind(password_hash)
            .bind(at.0)
            .execute(&mut **tx)
            .await?
            .last_insert_rowid();
    Ok(User {
        id: UserId(id),
        name: name.to_owned(),
        role,
        kubeconfig: false,
        created_at: at,
    })
}
