//! Join tokens: `K10<sha256 of the CA, 64 hex>::user:password` and short ones (facts A install, B.5).
//! A [`Token`] never shows its value by accident: `Debug` and `Display` are masked, the value leaves
//! only through [`Token::expose`].

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::certs;

/// Where k3s keeps the server token (mode 0600); `node-token` is a link to it.
pub const SERVER_TOKEN_FILE: &str = "/var/lib/rancher/k3s/server/token";

/// Where the database keeps what a server needs to start, one key for each token.
pub const BOOTSTRAP_KEYS: &str = "/bootstrap/";

/// A cluster join token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// Carries the hash of the cluster's CA: the joiner can tell an impostor.
    Secure {
        ca_hash: String,
        credentials: String,
    },
    /// A bare password, good for the first server only: nobody knows the CA yet.
    Short(String),
}

/// Why a text is not a token. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Nothing there.
    #[error("the token is empty")]
    Empty,
    /// Longer than k3s or a systemd environment file would carry sensibly.
    #[error("the token is longer than 512 characters")]
    TooLong,
    /// Contains control characters, or bytes that are no text.
    #[error(
        "the token contains a control character or bytes that are not UTF-8, \
         which cannot stand in an environment file"
    )]
    Character,
    /// k3s drops them where it reads the token from a file, but not from its command line or a variable.
    #[error("the token begins or ends with a blank, which k3s loses when it reads it from a file")]
    Edge,
    /// `K10` is not followed by 64 hexadecimal digits and `::`.
    #[error("the token starts with K10 but not with K10, 64 hexadecimal digits and '::'")]
    CaHash,
    /// Neither `user:password` nor a bootstrap token `id.secret` after the hash.
    #[error("the token has no 'user:password' after the CA hash")]
    Credentials,
}

impl Token {
    /// A new short token of 128 bits, 32 hexadecimal digits. `random` must come from the system's
    /// random number generator.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        Token(Kind::Short(hex(&random)))
    }

    /// The value itself, for an environment file or the vault. Never format it into anything else.
    #[must_use]
    pub fn expose(&self) -> String {
        match &self.0 {
            Kind::Secure {
                ca_hash,
                credentials,
            } => format!("K10{ca_hash}::{credentials}"),
            Kind::Short(password) => password.clone(),
        }
    }

    /// SHA-256 of the CA the token was made for, 64 lower-case hex digits; `None` for a short token.
    #[must_use]
    pub fn ca_hash(&self) -> Option<&str> {
        match &self.0 {
            Kind::Secure { ca_hash, .. } => Some(ca_hash),
            Kind::Short(_) => None,
        }
    }

    /// Whether the token belongs to the cluster whose `/cacerts` answered `ca_pem` (the exact bytes).
    /// `None` for a short token, which cannot tell.
    #[must_use]
    pub fn matches_ca(&self, ca_pem: &[u8]) -> Option<bool> {
        self.ca_hash().map(|hash| hash == ca_hash(ca_pem))
    }

    /// Every text that gives the secret away: the whole token and its password part. What a redactor
    /// has to know.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let mut secrets = vec![self.expose().into_bytes()];
        if let Kind::Secure { credentials, .. } = &self.0 {
            let password = credentials
                .split_once(':')
                .map_or(credentials.as_str(), |(_, password)| password);
            secrets.push(password.as_bytes().to_vec());
        }
        secrets
    }

    /// Identifier and secret of a token made for joining alone (`k3s token create`): it expires, and a new token of the
    /// cluster leaves it as it is.
    #[must_use]
    pub fn bootstrap(&self) -> Option<&str> {
        let text = match &self.0 {
            Kind::Secure { credentials, .. } => credentials,
            Kind::Short(password) => password,
        };
        let (id, secret) = text.split_once('.')?;
        let plain = |text: &str, length: usize| {
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            text.len() == length && text.bytes().all(known)
        };
        (plain(id, 6) && plain(secret, 16)).then_some(text)
    }

    /// The key below which the database keeps what a server needs to start, encrypted with this token (k3s
    /// `pkg/cluster/encrypt.go`, `storageKey`). Handle it as secret: it tells a guess from the password.
    #[must_use]
    pub fn bootstrap_key(&self) -> String {
        let digest = hex(&Sha256::digest(self.password()));
        let hash = digest.get(..12).unwrap_or_default();
        format!("{BOOTSTRAP_KEYS}{hash}")
    }

    /// The short form of the same secret: what a first server was given before its CA existed.
    #[must_use]
    pub fn password(&self) -> &str {
        match &self.0 {
            Kind::Secure { credentials, .. } => credentials
                .split_once(':')
                .map_or(credentials.as_str(), |(_, password)| password),
            Kind::Short(password) => password,
        }
    }
}

/// The hash k3s puts into tokens. One certificate: SHA-256 of the PEM bytes as served by `/cacerts`.
/// A bundle: SHA-256 of the DER of the root that the first certificate leads to (k3s
/// `pkg/clientaccess/token.go`, `hashCA`); issuers are followed by name, signatures are not checked.
#[must_use]
pub fn ca_hash(ca_pem: &[u8]) -> String {
    let bundle = certs::Certificate::from_pem_bundle(ca_pem).unwrap_or_default();
    match root_of(&bundle) {
        Some(root) => hex(&Sha256::digest(root.der())),
        None => hex(&Sha256::digest(ca_pem)),
    }
}

fn root_of(bundle: &[certs::Certificate]) -> Option<&certs::Certificate> {
    let (mut current, others) = bundle.split_first()?;
    if others.is_empty() {
        return None;
    }
    // A chain cannot be longer than the bundle: this bounds malformed circles.
    for _ in 0..bundle.len() {
        let issuer = others
            .iter()
            .find(|c| c.subject() == current.issuer() && c.der() != current.der())?;
        if issuer.subject() == issuer.issuer() {
            return Some(issuer);
        }
        current = issuer;
    }
    None
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl FromStr for Token {
    type Err = TokenError;

    /// Line ends behind it are dropped: the token file has one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > 512 {
            return Err(TokenError::TooLong);
        }
        // The last one is what decoding makes of bytes that are no text.
        if text
            .chars()
            .any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)
        {
            return Err(TokenError::Character);
        }
        if text.trim() != text {
            return Err(TokenError::Edge);
        }
        let Some(rest) = text.strip_prefix("K10") else {
            return Ok(Token(Kind::Short(text.to_owned())));
        };
        let (hash, credentials) = rest.split_once("::").ok_or(TokenError::CaHash)?;
        if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(TokenError::CaHash);
        }
        let basic = credentials
            .split_once(':')
            .is_some_and(|(_, password)| !password.is_empty());
        if !basic && !is_bootstrap(credentials) {
            return Err(TokenError::Credentials);
        }
        Ok(Token(Kind::Secure {
            ca_hash: hash.to_ascii_lowercase(),
            credentials: credentials.to_owned(),
        }))
    }
}

/// kubeadm's form, six and sixteen lower-case letters or digits with a dot between.
fn is_bootstrap(text: &str) -> bool {
    let plain = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    text.split_once('.')
        .is_some_and(|(id, secret)| plain(id, 6) && plain(secret, 16))
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(")?;
        fmt::Display::fmt(self, f)?;
        f.write_str(")")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // The hash is public: anybody can compute it from /cacerts.
            Kind::Secure { ca_hash, .. } => write!(f, "K10{}…::‹secret›", &ca_hash[..8]),
            Kind::Short(_) => f.write_str("‹secret›"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_file::{self, EnvFile};
    use proptest::prelude::*;

    const HASH: &str = "26b819c1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[test]
    fn parses_what_k3s_writes() {
        let text = format!("K10{HASH}::server:0123456789abcdef0123456789abcdef\n");
        let token: Token = text.parse().unwrap();
        assert_eq!(token.ca_hash(), Some(HASH));
        assert_eq!(token.password(), "0123456789abcdef0123456789abcdef");
        assert_eq!(token.expose(), text.trim());
        assert_eq!(token.secrets().len(), 2);
    }

    #[test]
    fn the_database_is_keyed_by_the_password_alone() {
        let long: Token = format!("K10{}::server:abc", "a".repeat(64))
            .parse()
            .unwrap();
        let short: Token = "abc".parse().unwrap();
        // `printf abc | sha256sum`
        assert_eq!(long.bootstrap_key(), "/bootstrap/ba7816bf8f01");
        assert_eq!(short.bootstrap_key(), long.bootstrap_key());
    }

    #[test]
    fn refuses_with_a_reason() {
        let refused = |t: &str| t.parse::<Token>().unwrap_err();
        assert_eq!(refused(" \n"), TokenError::Empty);
        assert_eq!(refused("K10abc::server:x"), TokenError::CaHash);
        assert_eq!(
            refused(&format!("K10{HASH}::server:")),
            TokenError::Credentials
        );
        assert_eq!(refused("a\tb"), TokenError::Character);
        assert_eq!(refused("a\nb"), TokenError::Character);
        let bytes = String::from_utf8_lossy(b"a\xffb").into_owned();
        assert_eq!(refused(&bytes), TokenError::Character);
        assert_eq!(refused("ab \n"), TokenError::Edge);
        assert_eq!(
            refused(&format!("K10{HASH}::server:ab \n")),
            TokenError::Edge
        );
        assert_eq!(refused(" ab"), TokenError::Edge);
    }

    #[test]
    fn takes_whatever_an_environment_file_gives_back() {
        for password in [
            r#"pa$$w"rd"#,
            "it's",
            r"back\slash\",
            "two  blanks",
            "`id`",
            "${HOME}",
            "%n",
            "# no comment",
            "a:b",
            "größe",
        ] {
            let token: Token = format!("K10{HASH}::server:{password}\n").parse().unwrap();
            assert_eq!(token.password(), password);
            let short: Token = password.parse().unwrap();
            for token in [token, short] {
                let file = env_file::render([("K3S_TOKEN", token.expose().as_str())]).unwrap();
                let read = EnvFile::parse(&file);
                assert_eq!(read.get("K3S_TOKEN"), Some(token.expose().as_str()));
            }
        }
    }

    #[test]
    fn never_shows_its_value() {
        let token = Token::from_random([0xab; 16]);
        assert_eq!(token.expose(), "ab".repeat(16));
        let shown = format!("{token} {token:?} {:?}", vec![Some(&token)]);
        assert!(!shown.contains("abab"), "{shown}");
    }

    #[test]
    fn hash_of_one_certificate_is_over_its_pem_bytes() {
        let pem = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        let token: Token = format!("K10{}::server:x", hex(&Sha256::digest(pem)))
            .parse()
            .unwrap();
        assert_eq!(token.matches_ca(pem), Some(true));
        assert_eq!(token.matches_ca(&pem[..pem.len() - 1]), Some(false));
        assert_eq!(Token::from_random([0; 16]).matches_ca(pem), None);
    }

    #[test]
    fn hash_of_a_bundle_is_over_the_root() {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let ca = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root_key = KeyPair::generate().unwrap();
        let root = ca("root").self_signed(&root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let middle = ca("middle")
            .signed_by(&key, &Issuer::from_params(&ca("root"), &root_key))
            .unwrap();
        let bundle = format!("{}{}", middle.pem(), root.pem());
        assert_eq!(ca_hash(bundle.as_bytes()), hex(&Sha256::digest(root.der())));
    }

    proptest! {
        #[test]
        fn round_trip_and_no_panic(text in "(K10)?[ -~]{0,90}") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.expose().parse::<Token>().unwrap(), token);
            }
        }
    }
}
