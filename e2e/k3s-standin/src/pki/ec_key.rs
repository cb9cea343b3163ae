//! P-256 keys in the form Go writes them: `EC PRIVATE KEY` (SEC 1), 227 bytes of PEM.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

/// A key pair with its SEC 1 encoding.
pub(crate) struct Key {
    pair: KeyPair,
    sec1: Vec<u8>,
}

/// `SEQUENCE { INTEGER 1, OCTET STRING (32 bytes) …` of `ECPrivateKey`, with the curve's name: 121 bytes in all.
const SEC1_HEAD: [u8; 7] = [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
/// `[0] { OID prime256v1 }`, then `[1] { BIT STRING` of an uncompressed point.
const SEC1_MIDDLE: [u8; 17] = [
    0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42,
    0x00,
];
/// PKCS #8 wrapping of a P-256 key up to and including the scalar's header.
const PKCS8_HEAD: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02,
    0x01, 0x01, 0x04, 0x20,
];
/// Between scalar and point in PKCS #8, where the curve is not repeated.
const PKCS8_MIDDLE: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// When the generator fails.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("generate key")?;
        let pkcs8 = pair.serialize_der();
        if pkcs8.len() != 138 || !pkcs8.starts_with(&PKCS8_HEAD) {
            bail!("unexpected PKCS #8 layout of a P-256 key");
        }
        let sec1 = [
            &SEC1_HEAD[..],
            &pkcs8[36..68],
            &SEC1_MIDDLE,
            pair.der_bytes(),
        ]
        .concat();
        Ok(Self { pair, sec1 })
    }

    /// Reads SEC 1 PEM as written by [`Key::to_pem`].
    ///
    /// # Errors
    /// When the text is no P-256 key in that form.
    pub(crate) fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let sec1 = PrivateSec1KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("EC key: {error:?}"))?
            .secret_sec1_der()
            .to_vec();
        if sec1.len() != 121 || sec1[..7] != SEC1_HEAD {
            bail!("EC key: not a P-256 key");
        }
        let pkcs8 = [&PKCS8_HEAD[..], &sec1[7..39], &PKCS8_MIDDLE, &sec1[56..]].concat();
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8));
        let pair =
            KeyPair::from_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).context("EC key")?;
        Ok(Self { pair, sec1 })
    }

    /// PEM with the label `EC PRIVATE KEY`.
    pub(crate) fn to_pem(&self) -> String {
        let mut pem = String::from("-----BEGIN EC PRIVATE KEY-----\n");
        let text = STANDARD.encode(&self.sec1);
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END EC PRIVATE KEY-----\n");
        pem
    }

    /// For signing and for public keys of certificates.
    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    /// Gives the signing half away.
    pub(crate) fn into_pair(self) -> KeyPair {
        self.pair
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_round_trip_and_has_go_s_size() {
        let key = Key::generate().unwrap();
        let pem = key.to_pem();
        assert_eq!(pem.len(), 227);
        let again = Key::from_pem(&pem).unwrap();
        assert_eq!(again.pair().der_bytes(), key.pair().der_bytes());
        assert_eq!(again.to_pem(), pem);
    }
}
