//! Join tokens: `K10<sha256 of the CA file>::<user>:<password>`, or the password alone.

use rand::Rng as _;
use sha2::{Digest as _, Sha256};

/// A token as given by a person or found on disk.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Lower-case hex SHA-256 of the cluster's CA file, when the token carries one.
    pub(crate) ca_hash: Option<String>,
    /// `server` or `node`, when the token carries one.
    pub(crate) user: Option<String>,
    /// The secret itself.
    pub(crate) password: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("ca_hash", &self.ca_hash)
            .field("user", &self.user)
            .finish()
    }
}

impl Token {
    /// Reads any of the forms k3s takes: full, `user:password`, or bare.
    ///
    /// # Errors
    /// The text k3s prints for a full token without credentials or with a short hash.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some(rest) = text.strip_prefix("K10") else {
            return Ok(match text.split_once(':') {
                Some((user, password)) => Self::short(Some(user), password),
                None => Self::short(None, text),
            });
        };
        let Some((hash, credentials)) = rest.split_once("::") else {
            return Err("invalid token format".to_owned());
        };
        if hash.len() != 64 {
            return Err("invalid token CA hash length".to_owned());
        }
        let Some((user, password)) = credentials.split_once(':') else {
            return Err("invalid token format".to_owned());
        };
        Ok(Self {
            ca_hash: Some(hash.to_owned()),
            ..Self::short(Some(user), password)
        })
    }

    fn short(user: Option<&str>, password: &str) -> Self {
        Self {
            ca_hash: None,
            user: user.map(str::to_owned),
            password: password.to_owned(),
        }
    }

    /// A new random password, 32 hex digits.
    pub(crate) fn random_password() -> String {
        hex(&rand::rng().random::<[u8; 16]>())
    }

    /// The content of `server/token`, with its line end.
    pub(crate) fn file(ca_pem: &str, password: &str) -> String {
        format!("K10{}::server:{password}\n", ca_hash(ca_pem))
    }
}

/// The hash in a token: SHA-256 over the bytes of the CA file as `/cacerts` serves it.
pub(crate) fn ca_hash(ca_pem: &str) -> String {
    hex(&Sha256::digest(ca_pem.as_bytes()))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let hash = "a".repeat(64);
        let full = Token::parse(&format!("K10{hash}::server:secret\n")).unwrap();
        assert_eq!(full.ca_hash.as_deref(), Some(hash.as_str()));
        assert_eq!(
            (full.user.as_deref(), full.password.as_str()),
            (Some("server"), "secret")
        );
        assert_eq!(Token::parse("secret").unwrap().password, "secret");
        assert!(Token::parse("K10abc::server:x").is_err());
        assert!(Token::parse("K10abc").is_err());
    }

    #[test]
    fn file_has_the_recorded_length() {
        assert_eq!(Token::file("pem", &Token::random_password()).len(), 109);
    }
}
