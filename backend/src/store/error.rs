//! Why the database refused.

use thiserror::Error;

/// The storage failed or holds something it must not hold.
#[derive(Debug, Error)]
pub enum DbError {
    /// SQLite or the pool.
    #[error("the database failed")]
    Sql(#[from] sqlx::Error),
    /// Its files cannot be made, or not be kept from others.
    #[error("the database's files cannot be made private")]
    File(#[from] std::io::Error),
    /// A migration could not be applied.
    #[error("the database could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row does not decode.
    #[error("the database holds something impossible: {0}")]
    Corrupt(String),
}

impl DbError {
    /// For stored JSON and stored words.
    pub(super) fn corrupt(what: &str, why: impl std::fmt::Display) -> Self {
        DbError::Corrupt(format!("{what}: {why}"))
    }
}

/// Why a change was not made; nothing was stored.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// A value cannot be; `field` is its path in the request.
    #[error("{message}")]
    Field {
        /// e.g. `members[1].host`.
        field: String,
        /// For a person.
        message: String,
    },
    /// No such row.
    #[error("there is no {0}")]
    NotFound(String),
    /// Something else needs it, or it is not the time for it.
    #[error("{0}")]
    Conflict(String),
    /// The storage failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl ChangeError {
    /// A wrong field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        ChangeError::Field {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        ChangeError::Db(DbError::Sql(error))
    }
}
