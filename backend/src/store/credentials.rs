//! Table `credential`.

use coxswain_wire::{Credential, CredentialId, SecretId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::audit::append;
use super::{ChangeError, Db, DbError, SealedSecret, Tx};
use crate::audit::{Draft, Who};

fn credential(row: &SqliteRow) -> Result<Credential, sqlx::Error> {
    Ok(Credential {
        id: CredentialId(row.try_get("id")?),
        name: row.try_get("name")?,
        public_key: row.try_get("public_key")?,
        created_at: Timestamp(row.try_get("created_at")?),
    })
}

impl Db {
    /// All credentials by name.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn credentials(&self) -> Result<Vec<Credential>, DbError> {
        let rows =
            sqlx::query("SELECT id, name, public_key, created_at FROM credential ORDER BY name")
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.iter().map(credential).collect::<Result<_, _>>()?)
    }

    /// Stores a credential with its sealed private key, in the transaction the key was sealed for.
    ///
    /// # Errors
    /// The name or the key is there already.
    pub async fn create_credential(
        &self,
        mut tx: Tx,
        who: &Who,
        at: Timestamp,
        name: &str,
        public_key: &str,
        private_key: &SealedSecret,
    ) -> Result<Credential, ChangeError> {
        let taken: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM credential WHERE name = ?)")
                .bind(name)
                .fetch_one(&mut *tx)
                .await?;
        if taken {
            return Err(ChangeError::field(
                "name",
                format!("There is a credential {name} already."),
            ));
        }
        Db::insert_secret(&mut tx, at, private_key).await?;
        let id = sqlx::query("INSERT INTO credential (name, public_key, private_key, created_at) VALUES (?, ?, ?, ?)")
            .bind(name)
            .bind(public_key)
            .bind(private_key.id.0)
            .bind(at.0)
            .execute(&mut *tx)
            .await?
            .last_insert_rowid();
        append(
            &mut tx,
            at,
            Draft::new(
                who,
                "credential.created",
                format!("credential {name}"),
                public_key,
            ),
        )
        .await?;
        self.commit_inventory(tx).await?;
        Ok(Credential {
            id: CredentialId(id),
            name: name.to_owned(),
            public_key: public_key.to_owned(),
            created_at: at,
        })
    }

    /// Removes a credential and its private key; gives the key's number.
    ///
    /// # Errors
    /// There is none, or a host uses it.
    pub async fn delete_credential(
        &self,
        who: &Who,
        at: Timestamp,
        id: CredentialId,
    ) -> Result<SecretId, ChangeError> {
        let mut tx = self.write().await?;
        let row = sqlx::query("SELECT name, private_key FROM credential WHERE id = ?")
            .bind(id.0)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| ChangeError::NotFound(format!("credential {id}")))?;
        let (name, key): (String, i64) = (row.try_get("name")?, row.try_get("private_key")?);
        let user: Option<String> =
            sqlx::query_scalar("SELECT name FROM host WHERE credential = ? ORDER BY name LIMIT 1")
                .bind(id.0)
                .fetch_optional(&mut *tx)
                .await?;
        if let Some(host) = user {
            return Err(ChangeError::Conflict(format!(
                "Host {host} signs in with {name}; give the host another credential first."
            )));
        }
        sqlx::query("DELETE FROM credential WHERE id = ?")
            .bind(id.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM secret WHERE id = ?")
            .bind(key)
            .execute(&mut *tx)
            .await?;
        append(
            &mut tx,
            at,
            Draft::new(who, "credential.deleted", format!("credential {name}"), ""),
        )
        .await?;
        self.commit_inventory(tx).await?;
        Ok(SecretId(key))
    }
}
