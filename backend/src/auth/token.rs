//! Random tokens: of sessions and of the set-up link. Only their hashes are stored.

use std::str::FromStr;

use coxswain_engine::plan::hex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::vault::random;

/// 256 random bits, as 64 hex digits. Neither printed by `Debug` nor serialised.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

/// SHA-256 of a token: what the database knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Hash of a token's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

impl Token {
    pub(super) fn new() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        random(bytes.as_mut_slice());
        Self(Zeroizing::new(hex(bytes.as_slice())))
    }

    /// The text, for the cookie or the link.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// What the page sends back with every change. Only who holds the token can make it.
    #[must_use]
    pub fn csrf(&self) -> String {
        let mut sha = Sha256::new();
        sha.update(b"coxswain-csrf-1:");
        sha.update(self.0.as_bytes());
        hex(&sha.finalize())
    }
}

/// From a cookie.
impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(())
        }
    }
}
