//! SSH key pairs of the panel: made here, or pasted by a person.

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey};

use super::{Result, Secret, WorldError};

/// A key pair as credentials keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// OpenSSH's format, without passphrase.
    pub private_key: Secret,
    /// One line for `authorized_keys`, with the comment.
    pub public_key: String,
}

/// A new Ed25519 pair.
///
/// # Errors
/// [`WorldError::Local`] if the system has no randomness to give.
pub fn generate_key(comment: &str) -> Result<KeyPair> {
    let failed = |e: ssh_key::Error| WorldError::Local {
        what: "making an SSH key".to_owned(),
        detail: e.to_string(),
    };
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(one_line(comment));
    pair(&key).map_err(failed)
}

/// Reads a pasted private key: OpenSSH's format, any of its algorithms, no passphrase.
///
/// # Errors
/// [`WorldError::InvalidInput`] that says what to do.
pub fn parse_private_key(text: &str, comment: &str) -> Result<KeyPair> {
    let refuse = |detail: &str| WorldError::InvalidInput {
        what: "private key".to_owned(),
        detail: detail.to_owned(),
    };
    let text = text.trim();
    if text.contains("ENCRYPTED") {
        return Err(refuse(PASSPHRASE));
    }
    if !text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return Err(refuse(if text.contains("PRIVATE KEY-----") {
            "it is not in OpenSSH's format; convert a copy with `ssh-keygen -p -N '' -f FILE` and paste that"
        } else if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
            "this is a public key; paste the private one (the file without .pub)"
        } else {
            "this is no private key; it begins with -----BEGIN OPENSSH PRIVATE KEY-----"
        }));
    }
    let mut key = PrivateKey::from_openssh(format!("{text}\n")).map_err(|_| {
        refuse("it is damaged or of a kind that is not supported; paste the whole file")
    })?;
    if key.is_encrypted() {
        return Err(refuse(PASSPHRASE));
    }
    let comment = one_line(if key.comment().is_empty() {
        comment
    } else {
        key.comment()
    });
    key.set_comment(comment);
    pair(&key).map_err(|_| refuse("it is of a kind that is not supported"))
}

const PASSPHRASE: &str = "it is protected by a passphrase, which the panel could not ask for when it needs the key; \
     remove it from a copy with `ssh-keygen -p -N '' -f FILE` (the panel encrypts the key itself), or let the panel generate a pair";

/// `SHA256:…` of a public key line, as `ssh-keygen -lf` prints it.
///
/// # Errors
/// [`WorldError::InvalidInput`] if it is none.
pub fn fingerprint(public_key: &str) -> Result<String> {
    Ok(parse_public_key(public_key)?
        .fingerprint(HashAlg::Sha256)
        .to_string())
}

/// Algorithm of a public key line, e.g. `ssh-ed25519`.
///
/// # Errors
/// [`WorldError::InvalidInput`] if it is none.
pub fn algorithm(public_key: &str) -> Result<String> {
    Ok(parse_public_key(public_key)?.algorithm().to_string())
}

/// The public line of a private key in OpenSSH's format.
pub(super) fn public_of(private_key: &Secret) -> Result<String> {
    let broken = || WorldError::InvalidInput {
        what: "stored private key".to_owned(),
        detail: "it cannot be read".to_owned(),
    };
    let key = PrivateKey::from_openssh(private_key.expose()).map_err(|_| broken())?;
    key.public_key().to_openssh().map_err(|_| broken())
}

fn parse_public_key(line: &str) -> Result<PublicKey> {
    PublicKey::from_openssh(line).map_err(|_| WorldError::InvalidInput {
        what: "public key".to_owned(),
        detail: "not a public key in OpenSSH's one-line format".to_owned(),
    })
}

fn pair(key: &PrivateKey) -> ssh_key::Result<KeyPair> {
    Ok(KeyPair {
        private_key: Secret::new(key.to_openssh(LineEnding::LF)?.as_bytes()),
        public_key: key.public_key().to_openssh()?,
    })
}

/// A comment ends up in `authorized_keys`, where a line break would start another entry.
fn one_line(comment: &str) -> String {
    comment
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_pair_is_read_back() {
        let made = generate_key("coxswain\nssh-ed25519 AAAA evil").unwrap();
        assert_eq!(made.public_key.lines().count(), 1);
        let text = String::from_utf8(made.private_key.expose().to_vec()).unwrap();
        let read = parse_private_key(&text, "other").unwrap();
        assert_eq!(read.public_key, made.public_key);
        assert_eq!(public_of(&made.private_key).unwrap(), made.public_key);
        assert!(
            fingerprint(&made.public_key)
                .unwrap()
                .starts_with("SHA256:")
        );
        assert_eq!(algorithm(&made.public_key).unwrap(), "ssh-ed25519");
    }

    #[test]
    fn what_is_no_key_is_refused_in_words() {
        let words = |text: &str| parse_private_key(text, "").unwrap_err().to_string();
        assert!(words("ssh-ed25519 AAAA me").contains("public key"));
        assert!(words("hello").contains("no private key"));
        assert!(words("-----BEGIN RSA PRIVATE KEY-----\nAAAA").contains("ssh-keygen -p"));
        assert!(
            words("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----")
                .contains("damaged")
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let made = generate_key("x").unwrap();
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_ssh_keygen_makes_is_read() {
        let dir = tempfile::TempDir::new().unwrap();
        for (kind, passphrase) in [
            ("ed25519", ""),
            ("ecdsa", ""),
            ("rsa", ""),
            ("ed25519", "secret"),
        ] {
            let path = dir.path().join(format!("{kind}{passphrase}"));
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-C", "me@here", "-N", passphrase, "-f"])
                .arg(&path)
                .status();
            assert!(made.unwrap().success());
            let read = parse_private_key(&std::fs::read_to_string(&path).unwrap(), "");
            if passphrase.is_empty() {
                let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
                assert_eq!(read.unwrap().public_key, public.trim());
            } else {
                assert!(read.unwrap_err().to_string().contains("passphrase"));
            }
        }
    }
}
