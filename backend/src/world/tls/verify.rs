//! Certificates looked at instead of merely accepted: what was served, and whether it verifies.

use std::sync::Arc;

use coxswain_wire::{ServedCertificate, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::super::{Result, WorldError};
use super::{ServedChain, ServedLeaf};

/// Takes any certificate during the handshake, provided the server holds its key; the chain is judged after.
#[derive(Debug)]
pub(super) struct Look(WebPkiSupportedAlgorithms);

impl Look {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Whether a chain leads to one of the CAs now and is for this name.
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    name: &str,
    ca_pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<std::result::Result<(), String>> {
    let bad_ca = |detail: String| WorldError::InvalidInput {
        what: "CA certificate".to_owned(),
        detail,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|e| bad_ca(e.to_string()))?;
        roots.add(certificate).map_err(|e| bad_ca(e.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| bad_ca(e.to_string()))?;
    let Some((leaf, rest)) = chain.split_first() else {
        return Ok(Err("no certificate was served".to_owned()));
    };
    let Ok(name) = ServerName::try_from(name.to_owned()) else {
        return Ok(Err(format!(
            "{name} is neither a DNS name nor an IP address"
        )));
    };
    Ok(verifier
        .verify_server_cert(leaf, rest, &name, &[], UnixTime::now())
        .map(|_| ())
        .map_err(|e| e.to_string()))
}

/// The chain in plain types.
pub(super) fn describe(
    endpoint: &str,
    chain: &[CertificateDer<'_>],
    verified: Option<std::result::Result<(), String>>,
) -> Result<ServedChain> {
    let odd = |detail: &str| WorldError::Tls {
        endpoint: endpoint.to_owned(),
        detail: detail.to_owned(),
    };
    let leaf = chain
        .first()
        .ok_or_else(|| odd("no certificate was served"))?;
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|_| odd("the served certificate cannot be read"))?;
    let not_after = parsed.validity().not_after.timestamp().saturating_mul(1000);
    Ok(ServedChain {
        leaf: ServedLeaf {
            certificate: ServedCertificate {
                serial: serial(parsed.raw_serial()),
                not_after: Timestamp(not_after),
                sans: sans(&parsed),
            },
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            sha256: hex_lower(&Sha256::digest(leaf)),
        },
        chain: chain.iter().map(|c| c.to_vec()).collect(),
        verified,
    })
}

/// As `openssl x509 -serial` prints it: without the zero byte that only says "positive".
fn serial(raw: &[u8]) -> String {
    let digits = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex_lower(digits).to_uppercase()
}

fn hex_lower(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn sans(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let mut names: Vec<String> = extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// DNS names and addresses; the other kinds play no part in TLS to a server.
fn name(general: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(dns) = general {
        return Some((*dns).to_owned());
    }
    if let GeneralName::IPAddress(bytes) = general {
        if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
            return Some(std::net::Ipv4Addr::from(v4).to_string());
        }
        if let Ok(v6) = <[u8; 16]>::try_from(*bytes) {
            return Some(std::net::Ipv6Addr::from(v6).to_string());
        }
    }
    None
}
