//! X.509 certificates as k3s serves and stores them, and the comparison of the names in them with the
//! names wanted (facts A, TLS SANs).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::names::San;
use crate::token::hex;

/// Names and addresses k3s puts into its certificate by itself, besides node names and addresses
/// (facts A, 03). The service address is that of the default service network.
pub const STANDARD_NAMES: [&str; 8] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "::1",
    "10.43.0.1",
];

/// A name in a certificate. Names first, then addresses, each sorted.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum AltName {
    /// A DNS name, lower case.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl AltName {
    /// From text: an IP address if it reads as one.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.parse() {
            Ok(ip) => AltName::Ip(ip),
            Err(_) => AltName::Dns(text.to_ascii_lowercase()),
        }
    }
}

impl From<&San> for AltName {
    fn from(san: &San) -> Self {
        AltName::from_text(san.as_str())
    }
}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AltName::Dns(name) => f.write_str(name),
            AltName::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// What matters of a certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    subject: String,
    issuer: String,
    serial: String,
    not_before: i64,
    not_after: i64,
    names: Vec<AltName>,
    ca: bool,
    der: Vec<u8>,
}

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertError {
    /// No PEM certificate in the text.
    #[error("no PEM certificate found")]
    NoPem,
    /// A PEM block is damaged.
    #[error("damaged PEM: {0}")]
    Pem(String),
    /// The DER is damaged.
    #[error("damaged certificate: {0}")]
    Der(String),
}

impl Certificate {
    /// Parses one DER certificate, as a TLS handshake gives it.
    ///
    /// # Errors
    /// When the bytes are not a certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|e| CertError::Der(e.to_string()))?;
        let mut names: Vec<AltName> = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension
                .value
                .general_names
                .iter()
                .filter_map(alt_name)
                .collect(),
            Ok(None) => Vec::new(),
            Err(e) => return Err(CertError::Der(e.to_string())),
        };
        names.sort();
        names.dedup();
        let constraints = parsed
            .basic_constraints()
            .map_err(|e| CertError::Der(e.to_string()))?;
        Ok(Certificate {
            ca: constraints.is_some_and(|extension| extension.value.ca),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            serial: serial_hex(parsed.raw_serial()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names,
            der: der.to_vec(),
        })
    }

    /// Parses the first certificate of a PEM text.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertError> {
        Self::from_pem_bundle(pem)?
            .into_iter()
            .next()
            .ok_or(CertError::NoPem)
    }

    /// Parses all certificates of a PEM text, in order; other blocks (keys) are skipped.
    ///
    /// # Errors
    /// When there is none, or one is damaged.
    pub fn from_pem_bundle(pem: &[u8]) -> Result<Vec<Self>, CertError> {
        let mut all = Vec::new();
        for block in x509_parser::pem::Pem::iter_from_buffer(pem) {
            let block = block.map_err(|e| CertError::Pem(e.to_string()))?;
            if block.label == "CERTIFICATE" {
                all.push(Self::from_der(&block.contents)?);
            }
        }
        if all.is_empty() {
            return Err(CertError::NoPem);
        }
        Ok(all)
    }

    /// Subject, e.g. `O=k3s, CN=k3s`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Issuer, e.g. `CN=k3s-server-ca@1795325948`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Serial number in upper-case hex as openssl prints it. The proof that a certificate is new:
    /// `notBefore` is the CA's (facts A, 08).
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Valid from, in seconds since 1970 UTC.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Valid until, in seconds since 1970 UTC.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The subject alternative names, sorted, without duplicates.
    #[must_use]
    pub fn names(&self) -> &[AltName] {
        &self.names
    }

    /// It may sign others.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.ca
    }

    /// The certificate as received.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER, lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// Compares the names in the certificate with `wanted`. Names in `own` (node names and addresses)
    /// and [`STANDARD_NAMES`] are k3s's own business: never reported as extra.
    #[must_use]
    pub fn compare_names(&self, wanted: &[San], own: &[San]) -> SanReport {
        let served: BTreeSet<&AltName> = self.names.iter().collect();
        let wanted: BTreeSet<AltName> = wanted.iter().map(AltName::from).collect();
        let expected: BTreeSet<AltName> = STANDARD_NAMES
            .iter()
            .map(|name| AltName::from_text(name))
            .chain(own.iter().map(AltName::from))
            .collect();
        SanReport {
            extra: served
                .iter()
                .filter(|name| !wanted.contains(**name) && !expected.contains(**name))
                .map(|name| (*name).clone())
                .collect(),
            missing: wanted
                .into_iter()
                .filter(|name| !served.contains(name))
                .collect(),
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// How the names served differ from the names wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct SanReport {
    /// Wanted, not in the certificate.
    pub missing: Vec<AltName>,
    /// In the certificate, neither wanted nor k3s's own.
    pub extra: Vec<AltName>,
}

impl SanReport {
    /// Exactly the wanted names are served.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

impl fmt::Display for SanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[AltName]| {
            names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (self.missing.is_empty(), self.extra.is_empty()) {
            (true, true) => f.write_str("exactly the wanted names"),
            (false, true) => write!(f, "missing: {}", list(&self.missing)),
            (true, false) => write!(f, "not wanted: {}", list(&self.extra)),
            (false, false) => write!(
                f,
                "missing: {}; not wanted: {}",
                list(&self.missing),
                list(&self.extra)
            ),
        }
    }
}

fn alt_name(name: &GeneralName<'_>) -> Option<AltName> {
    if let GeneralName::DNSName(dns) = name {
        return Some(AltName::Dns(dns.to_ascii_lowercase()));
    }
    // Other kinds (mail, URI) do not take part in verifying a server.
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
        return Some(AltName::Ip(IpAddr::from(v4)));
    }
    <[u8; 16]>::try_from(*bytes)
        .ok()
        .map(|v6| AltName::Ip(IpAddr::from(v6)))
}

fn serial_hex(raw: &[u8]) -> String {
    // A leading zero byte only keeps the number positive; openssl does not print it.
    let digits = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex(digits).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, SerialNumber};

    fn sans(names: &[&str]) -> Vec<San> {
        names.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn served() -> Certificate {
        // The names of transcript 03, with its serial number.
        let names = [
            "cluster.lab",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "node10",
            "node11",
            "node12",
            "10.43.0.1",
            "127.0.0.1",
            "172.30.55.10",
            "172.30.55.11",
            "172.30.55.12",
            "172.30.55.45",
        ];
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "k3s");
        params.distinguished_name.push(DnType::CommonName, "k3s");
        params.serial_number = Some(SerialNumber::from(0x3612_3C57_9029_1FC9_u64));
        params.subject_alt_names = names
            .iter()
            .map(|n| match n.parse() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName((*n).try_into().unwrap()),
            })
            .collect();
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Certificate::from_pem(cert.pem().as_bytes()).unwrap()
    }

    #[test]
    fn reads_what_openssl_prints() {
        let cert = served();
        assert_eq!(cert.serial(), "36123C5790291FC9");
        assert_eq!(cert.subject(), "O=k3s, CN=k3s");
        assert_eq!(cert.names().len(), 15);
        assert_eq!(cert.names()[0].to_string(), "cluster.lab");
        assert!(cert.not_before() < cert.not_after());
        assert_eq!(cert.sha256().len(), 64);
        assert_eq!(serial_hex(&[0, 0x9a]), "9A");
        assert_eq!(serial_hex(&[0]), "00");
    }

    #[test]
    fn compares_names() {
        let own = sans(&[
            "node10",
            "node11",
            "node12",
            "172.30.55.10",
            "172.30.55.11",
            "172.30.55.12",
        ]);
        let exact = served().compare_names(&sans(&["cluster.lab", "172.30.55.45"]), &own);
        assert!(exact.is_exact(), "{exact}");
        let report = served().compare_names(&sans(&["new.cluster.lab", "172.30.55.45"]), &own);
        assert_eq!(
            report.to_string(),
            "missing: new.cluster.lab; not wanted: cluster.lab"
        );
    }

    #[test]
    fn damage_is_an_error() {
        assert_eq!(Certificate::from_pem(b"").unwrap_err(), CertError::NoPem);
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            Certificate::from_pem(text.as_bytes()),
            Err(CertError::Der(_))
        ));
        assert!(Certificate::from_der(&[0x30, 0x82]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Certificate::from_der(&bytes);
            let _ = Certificate::from_pem_bundle(&bytes);
        }
    }
}
