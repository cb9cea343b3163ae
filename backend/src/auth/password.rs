//! Password hashing: argon2id, off the async threads, few at a time.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use rand::RngCore;
use thiserror::Error;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// ASVS 5.0.0, appendix C: at least 46 MiB with one pass.
const MEMORY_KIB: u32 = 47_104;
/// Each hash takes its memory for a moment: this many at once.
const AT_ONCE: usize = 2;
/// Longest wait for one's turn.
const TURN: Duration = Duration::from_secs(10);
const SHORTEST: usize = 12;
const LONGEST: usize = 1024;

/// Why a password was not worked on.
#[derive(Debug, Error)]
pub enum PasswordError {
    /// Under 12 characters.
    #[error("A password has at least {SHORTEST} characters.")]
    TooShort,
    /// Over 1024 bytes.
    #[error("A password has at most {LONGEST} bytes.")]
    TooLong,
    /// Too many others at the same time.
    #[error("The panel is busy with other sign-ins; try again.")]
    Busy,
    /// The library failed.
    #[error("password hashing failed: {0}")]
    Broken(String),
}

/// Hashes and verifies passwords.
pub struct Passwords {
    params: Params,
    turns: Arc<Semaphore>,
    /// Verified when there is no such user, so that the answer takes as long.
    decoy: String,
}

impl Passwords {
    /// With the parameters for real passwords.
    ///
    /// # Errors
    /// The library failed.
    pub fn new() -> Result<Self, PasswordError> {
        Self::with(MEMORY_KIB)
    }

    /// Weak and quick: for tests only.
    ///
    /// # Errors
    /// The library failed.
    pub fn quick_for_tests() -> Result<Self, PasswordError> {
        Self::with(Params::MIN_M_COST)
    }

    fn with(memory_kib: u32) -> Result<Self, PasswordError> {
        let params = Params::new(memory_kib, 1, 1, None).map_err(broken)?;
        Ok(Self {
            decoy: decoy(&params)?,
            params,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// A PHC string with a new salt.
    ///
    /// # Errors
    /// The password is too short or too long.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, PasswordError> {
        if password.chars().count() < SHORTEST {
            return Err(PasswordError::TooShort);
        }
        if password.len() > LONGEST {
            return Err(PasswordError::TooLong);
        }
        let params = self.params.clone();
        self.in_turn(move || hash(&params, password.as_bytes()))
            .await
    }

    /// True if the password belongs to the hash. Without a hash it takes as long and is false.
    ///
    /// # Errors
    /// Too busy, or the library failed.
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        if password.len() > LONGEST {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let good = self
            .in_turn(move || {
                let hash = PasswordHash::new(&hash).map_err(broken)?;
                // Parameters come from the hash.
                Ok(Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok())
            })
            .await?;
        Ok(good && known)
    }

    async fn in_turn<T, F>(&self, work: F) -> Result<T, PasswordError>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, PasswordError> + Send + 'static,
    {
        let turn = tokio::time::timeout(TURN, self.turns.clone().acquire_owned())
            .await
            .map_err(|_| PasswordError::Busy)?
            .map_err(broken)?;
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
        .map_err(broken)?
    }
}

fn hash(params: &Params, password: &[u8]) -> Result<String, PasswordError> {
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    Ok(argon.hash_password(password).map_err(broken)?.to_string())
}

/// A hash that no password is known for. Random, not computed: the start of the panel does not wait for it.
fn decoy(params: &Params) -> Result<String, PasswordError> {
    let mut hash = [0; Params::DEFAULT_OUTPUT_LEN];
    rand::rng().fill_bytes(&mut hash);
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    rand::rng().fill_bytes(&mut salt);
    let decoy = PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(broken)?,
        salt: Some(Salt::new(&salt).map_err(broken)?),
        hash: Some(Output::new(&hash).map_err(broken)?),
    };
    Ok(decoy.to_string())
}

fn broken(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_is_good() {
        let passwords = Passwords::quick_for_tests().unwrap();
        let hash = passwords
            .hash(secret("correct horse battery"))
            .await
            .unwrap();
        assert!(
            passwords
                .verify(secret("correct horse battery"), Some(hash.clone()))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(secret("correct horse batterz"), Some(hash))
                .await
                .unwrap()
        );
        assert!(
            !passwords
                .verify(secret("nobody has this password"), None)
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn length_is_bounded_both_ways() {
        let passwords = Passwords::quick_for_tests().unwrap();
        assert!(matches!(
            passwords.hash(secret("elevenchars")).await,
            Err(PasswordError::TooShort)
        ));
        assert!(matches!(
            passwords.hash(secret(&"a".repeat(1025))).await,
            Err(PasswordError::TooLong)
        ));
    }

    /// All that decides how long verifying takes: algorithm, version, parameters, lengths of salt and hash.
    fn cost(hash: &str) -> String {
        let hash = PasswordHash::new(hash).unwrap();
        let lengths = (
            hash.salt.as_ref().map(|salt| salt.len()),
            hash.hash.as_ref().map(Output::len),
        );
        format!(
            "{} {:?} {} {lengths:?}",
            hash.algorithm, hash.version, hash.params
        )
    }

    #[tokio::test]
    async fn the_decoy_costs_what_a_real_hash_costs() {
        let passwords = Passwords::new().unwrap();
        let real = passwords
            .hash(secret("correct horse battery"))
            .await
            .unwrap();
        assert!(real.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"));
        assert_eq!(cost(&passwords.decoy), cost(&real));
        assert_ne!(passwords.decoy, Passwords::new().unwrap().decoy);
        // It is a hash like any other: a wrong password is all that is wrong.
        let decoy = PasswordHash::new(&passwords.decoy).unwrap();
        assert!(matches!(
            Argon2::default().verify_password(b"a guess", &decoy),
            Err(argon2::password_hash::Error::PasswordInvalid)
        ));
    }
}
