//! Who is there: first start, sign-in, sessions. What a role may do is [`coxswain_wire::Role::allows`].

mod password;
mod refusals;
mod throttle;
mod token;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use coxswain_wire::{Role, Session, Timestamp, User};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

pub use password::{PasswordError, Passwords};
pub use throttle::Throttle;
pub use token::{Token, TokenHash};

use refusals::Refusals;

use crate::audit::{Draft, Who};
use crate::store::{ChangeError, Db, DbError};
use crate::time::now;

/// A session ends when it was not used for this long.
pub const IDLE: Duration = Duration::from_secs(8 * 3600);
/// A session ends this long after sign-in, used or not.
pub const ABSOLUTE: Duration = Duration::from_secs(24 * 3600);
/// Use of a session is noted at most this often.
const TOUCH: Duration = Duration::from_secs(60);

/// Why somebody is not let in.
#[derive(Debug, Error)]
pub enum AuthError {
    /// Name or password; which of them is not said.
    #[error("Name or password is wrong.")]
    Wrong,
    /// The set-up secret is not, or no longer, valid.
    #[error(
        "This set-up link is not valid. Each start of the panel prints a new one while no user exists."
    )]
    SetupRefused,
    /// Too many tries.
    #[error("Too many tries; wait {} s.", .0.as_secs().max(1))]
    Throttled(Duration),
    /// A field of the request.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The password cannot be worked on.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The storage failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A caller who has signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who, what they may do, and their CSRF token.
    pub session: Session,
    /// Names the session in the database.
    pub token: TokenHash,
}

/// Signs people in and knows their sessions.
pub struct Auth {
    db: Db,
    passwords: Passwords,
    throttle: Throttle,
    refusals: Refusals,
}

impl Auth {
    /// Users and sessions of `db`.
    #[must_use]
    pub fn new(db: Db, passwords: Passwords, throttle: Throttle) -> Self {
        Self {
            refusals: Refusals::new(db.clone()),
            db,
            passwords,
            throttle,
        }
    }

    /// Makes a new set-up secret; the one before is void. None once a user exists.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn new_setup_secret(&self) -> Result<Option<Token>, DbError> {
        let secret = Token::new();
        let set = self.db.set_setup_secret(secret.hash().0).await?;
        Ok(set.then_some(secret))
    }

    /// Makes the first admin and signs them in.
    ///
    /// # Errors
    /// The secret is not valid, or name or password cannot be.
    pub async fn set_up(
        &self,
        secret: &str,
        name: &str,
        password: Zeroizing<String>,
        address: IpAddr,
    ) -> Result<(Session, Token), AuthError> {
        self.throttle
            .check("", address, Instant::now())
            .map_err(AuthError::Throttled)?;
        let who = Who {
            actor: name.to_owned(),
            address: address.to_string(),
        };
        let given = TokenHash::of(secret);
        let stored = self.db.setup_secret().await?;
        if !stored.is_some_and(|stored| bool::from(stored.as_slice().ct_eq(given.0.as_slice()))) {
            let draft = Draft::new(&Who::anonymous(&who.address), "setup.refused", "setup", "");
            self.refusals.note(draft, "setup").await?;
            return Err(AuthError::SetupRefused);
        }
        check_name(name)?;
        let hash = self.passwords.hash(password).await?;
        let user = self
            .db
            .create_first_user(&who, now(), &given.0, name, &hash)
            .await?
            .ok_or(AuthError::SetupRefused)?;
        Ok(self.begin(&user, address).await?)
    }

    /// Signs somebody in.
    ///
    /// # Errors
    /// Wrong name or password, or too many tries.
    pub async fn sign_in(
        &self,
        name: &str,
        password: Zeroizing<String>,
        address: IpAddr,
    ) -> Result<(Session, Token), AuthError> {
        if let Err(wait) = self.throttle.check(name, address, Instant::now()) {
            tracing::warn!(%address, "sign-in throttled");
            return Err(AuthError::Throttled(wait));
        }
        let row = self.db.user_by_name(name).await?;
        let hash = row.as_ref().map(|row| row.password_hash.clone());
        let good = self.passwords.verify(password, hash).await?;
        match row {
            Some(row) if good => {
                self.throttle.forgive(name, address);
                Ok(self.begin(&row.user, address).await?)
            }
            other => {
                // A name that is unknown may be a password typed into the wrong field.
                let subject = other.map_or_else(
                    || "unknown user".to_owned(),
                    |row| format!("user {}", row.user.name),
                );
                let draft = Draft::new(
                    &Who::anonymous(address.to_string()),
                    "session.refused",
                    subject.as_str(),
                    "",
                );
                self.refusals.note(draft, &subject).await?;
                Err(AuthError::Wrong)
            }
        }
    }

    async fn begin(&self, user: &User, address: IpAddr) -> Result<(Session, Token), DbError> {
        let token = Token::new();
        let at = now();
        let dead_before = Timestamp(at.0 - millis(IDLE));
        self.db
            .create_session(at, token.hash().0, user, &address.to_string(), dead_before)
            .await?;
        // Who looks at the trail now finds the numbers there.
        self.refusals.settle().await?;
        Ok((session(user, token.csrf()), token))
    }

    /// Notes that somebody who is signed in asked for what their role does not allow.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn note_forbidden(&self, who: &Who, what: String) -> Result<(), DbError> {
        let draft = Draft::new(who, "request.forbidden", what, "");
        let concerns = format!("user {}", who.actor);
        self.refusals.note(draft, &concerns).await
    }

    /// The session of a token, while it lives. Role and name are those of this moment.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn session(&self, token: &Token) -> Result<Option<SignedIn>, DbError> {
        let hash = token.hash();
        let Some(user) = self.alive(hash).await? else {
            return Ok(None);
        };
        Ok(Some(SignedIn {
            session: session(&user, token.csrf()),
            token: hash,
        }))
    }

    /// The user of a session, while it lives. Does not count as use.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn still(&self, token: TokenHash) -> Result<Option<User>, DbError> {
        Ok(self.row(token).await?.map(|row| row.user))
    }

    async fn alive(&self, token: TokenHash) -> Result<Option<User>, DbError> {
        let Some(row) = self.row(token).await? else {
            return Ok(None);
        };
        let at = now();
        if at.0 - row.last_used_at.0 > millis(TOUCH) {
            self.db.touch_session(token.0, at).await?;
        }
        Ok(Some(row.user))
    }

    async fn row(&self, token: TokenHash) -> Result<Option<crate::store::SessionRow>, DbError> {
        let at = now().0;
        Ok(self.db.session(token.0).await?.filter(|row| {
            at - row.last_used_at.0 <= millis(IDLE) && at - row.created_at.0 <= millis(ABSOLUTE)
        }))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The storage failed.
    pub async fn sign_out(&self, who: &Who, token: TokenHash) -> Result<(), DbError> {
        self.db.end_session(who, now(), token.0).await
    }

    /// Makes a user.
    ///
    /// # Errors
    /// Name or password cannot be, or the name is taken.
    pub async fn create_user(
        &self,
        who: &Who,
        name: &str,
        password: Zeroizing<String>,
        role: Role,
    ) -> Result<User, AuthError> {
        check_name(name)?;
        let hash = self.passwords.hash(password).await?;
        Ok(self.db.create_user(who, now(), name, role, &hash).await?)
    }
}

fn session(user: &User, csrf: String) -> Session {
    Session {
        user: user.id,
        name: user.name.clone(),
        role: user.role,
        kubeconfig: user.kubeconfig,
        csrf,
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Names that the audit trail uses for itself.
const RESERVED: [&str; 2] = ["engine", "anonymous"];

fn check_name(name: &str) -> Result<(), ChangeError> {
    let fits = (1..=64).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !fits {
        return Err(ChangeError::field(
            "name",
            "A name has 1 to 64 of letters, digits, '.', '-' and '_'.",
        ));
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(ChangeError::field(
            "name",
            format!("{name} is a word of the audit trail; choose another name."),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "ann", "Ann.B-c_9"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a b",
            "ä",
            "a\n",
            "a@b",
            "Engine",
            "anonymous",
            &"a".repeat(65),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
