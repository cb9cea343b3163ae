//! Sealing: XChaCha20-Poly1305 twice, the place of each ciphertext bound in as additional data.
//!
//! A sealed text is a version byte, 24 random bytes of nonce, and the ciphertext with its tag. The
//! additional data are the version, table, row, field and kind, each preceded by its length: a ciphertext
//! moved to another row or field does not open.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use coxswain_wire::SecretId;
use zeroize::Zeroizing;

use super::key::MasterKey;
use crate::store::SealedSecret;
use crate::world::Secret;

const VERSION: u8 = 1;
const NONCE: usize = 24;

#[derive(Clone, Copy)]
enum Field {
    WrappedKey,
    Ciphertext,
}

/// Fills with random bytes of the operating system.
pub(crate) fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("Linux gives random bytes once it has booted");
}

pub(super) fn seal(master: &MasterKey, id: SecretId, kind: &str, value: &[u8]) -> SealedSecret {
    let mut data_key = Zeroizing::new([0; 32]);
    random(data_key.as_mut_slice());
    SealedSecret {
        id,
        kind: kind.to_owned(),
        wrapped_key: encrypt(
            master.bytes(),
            &place(id, Field::WrappedKey, kind),
            data_key.as_slice(),
        ),
        ciphertext: encrypt(&data_key, &place(id, Field::Ciphertext, kind), value),
    }
}

pub(super) fn unseal(master: &MasterKey, sealed: &SealedSecret) -> Option<Secret> {
    let SealedSecret {
        id,
        kind,
        wrapped_key,
        ciphertext,
    } = sealed;
    let opened = decrypt(
        master.bytes(),
        &place(*id, Field::WrappedKey, kind),
        wrapped_key,
    )?;
    let mut data_key = Zeroizing::new([0; 32]);
    if opened.len() != data_key.len() {
        return None;
    }
    data_key.copy_from_slice(&opened);
    let value = decrypt(&data_key, &place(*id, Field::Ciphertext, kind), ciphertext)?;
    Some(Secret::new(value.as_slice()))
}

/// Shorter values stand in random bytes by chance.
const MIN_TOLD: usize = 8;

/// True if `value` stands in `raw` as it is; a value of fewer than [`MIN_TOLD`] bytes cannot be told from chance.
pub(super) fn contains(raw: &[u8], value: &[u8]) -> bool {
    value.len() >= MIN_TOLD && raw.windows(value.len()).any(|window| window == value)
}

fn place(id: SecretId, field: Field, kind: &str) -> Vec<u8> {
    let field = match field {
        Field::WrappedKey => "wrapped_key",
        Field::Ciphertext => "ciphertext",
    };
    let id = id.to_string();
    let mut data = vec![VERSION];
    for part in ["coxswain-vault", "secret", &id, field, kind] {
        data.extend((part.len() as u64).to_be_bytes());
        data.extend(part.as_bytes());
    }
    data
}

fn encrypt(key: &[u8; 32], place: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    random(&mut nonce);
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(
            &XNonce::from(nonce),
            Payload {
                msg: plain,
                aad: place,
            },
        )
        .expect("fails only beyond 256 GiB");
    let mut out = vec![VERSION];
    out.extend(nonce);
    out.extend(sealed);
    out
}

fn decrypt(key: &[u8; 32], place: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (version, rest) = sealed.split_first()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
    if *version != VERSION {
        return None;
    }
    XChaCha20Poly1305::new(key.into())
        .decrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: sealed,
                aad: place,
            },
        )
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (MasterKey, SealedSecret) {
        let master = MasterKey::from_bytes([7; 32]);
        let sealed = seal(
            &master,
            SecretId(3),
            "server_token",
            b"K10abc::server:hello",
        );
        (master, sealed)
    }

    #[test]
    fn opens_what_it_sealed() {
        let (master, sealed) = sealed();
        assert_eq!(
            unseal(&master, &sealed).unwrap().expose(),
            b"K10abc::server:hello"
        );
        assert!(!contains(&sealed.ciphertext, b"::server"));
        assert!(contains(b"in plain: ::server:", b"::server"));
    }

    #[test]
    fn another_key_row_kind_or_field_does_not_open() {
        let (master, good) = sealed();
        assert!(unseal(&MasterKey::from_bytes([8; 32]), &good).is_none());
        let changes: [fn(&mut SealedSecret); 6] = [
            |s| s.id = SecretId(4),
            |s| s.kind.push('x'),
            |s| std::mem::swap(&mut s.wrapped_key, &mut s.ciphertext),
            |s| s.ciphertext[0] = 2,
            |s| s.ciphertext[30] ^= 1,
            |s| s.wrapped_key.truncate(10),
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(unseal(&master, &bad).is_none());
        }
    }

    #[test]
    fn the_same_value_seals_differently_each_time() {
        let (master, first) = sealed();
        let second = seal(
            &master,
            SecretId(3),
            "server_token",
            b"K10abc::server:hello",
        );
        assert_ne!(first.ciphertext, second.ciphertext);
        assert_ne!(first.wrapped_key, second.wrapped_key);
    }
}
