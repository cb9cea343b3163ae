//! Reading certificates: names, fingerprints, chains.

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use sha1::{Digest as _, Sha1};
#[cfg(test)]
use x509_parser::prelude::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Name};

/// All certificates of a PEM text.
///
/// # Errors
/// When a block does not parse or there is none.
pub(crate) fn der_chain(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| anyhow::anyhow!("certificate PEM: {error:?}"))?;
    anyhow::ensure!(!chain.is_empty(), "certificate PEM: no certificate");
    Ok(chain)
}

/// `SHA1=<upper-case hex>` of the first certificate, as in `listener.cattle.io/fingerprint`.
///
/// # Errors
/// As [`der_chain`].
pub(crate) fn sha1_fingerprint(pem: &str) -> anyhow::Result<String> {
    let digest = Sha1::digest(&der_chain(pem)?[0]);
    Ok(format!(
        "SHA1={}",
        crate::token::hex(&digest).to_uppercase()
    ))
}

/// Common name and organisations of a DER certificate.
///
/// # Errors
/// When it does not parse.
pub(crate) fn subject(der: &[u8]) -> anyhow::Result<(String, Vec<String>)> {
    let (_, certificate) = X509Certificate::from_der(der).context("certificate")?;
    let name = certificate.subject();
    let common = name
        .iter_common_name()
        .find_map(|value| value.as_str().ok())
        .unwrap_or_default()
        .to_owned();
    let groups = name
        .iter_organization()
        .filter_map(|value| value.as_str().ok().map(str::to_owned))
        .collect();
    Ok((common, groups))
}

/// What `certificate check` tells of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Common name.
    pub(crate) subject: String,
    /// Common name of its CA.
    pub(crate) issuer: String,
    /// `ClientAuth`, `ServerAuth`, `CertSign`.
    pub(crate) usages: Vec<&'static str>,
    /// Unix seconds.
    pub(crate) not_before: i64,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

/// All certificates of a PEM text.
///
/// # Errors
/// When one does not parse.
pub(crate) fn details(pem: &str) -> anyhow::Result<Vec<Detail>> {
    der_chain(pem)?.iter().map(|der| detail(der)).collect()
}

fn detail(der: &[u8]) -> anyhow::Result<Detail> {
    let (_, certificate) = X509Certificate::from_der(der).context("certificate")?;
    let mut usages = Vec::new();
    if certificate.is_ca() {
        usages.push("CertSign");
    }
    if let Some(extended) = certificate.extended_key_usage().context("usages")? {
        for (set, word) in [
            (extended.value.server_auth, "ServerAuth"),
            (extended.value.client_auth, "ClientAuth"),
        ] {
            if set {
                usages.push(word);
            }
        }
    }
    let common = |name: &X509Name<'_>| {
        let mut names = name.iter_common_name();
        names
            .find_map(|value| value.as_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    Ok(Detail {
        subject: common(certificate.subject()),
        issuer: common(certificate.issuer()),
        usages,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// Subject alternative names of the first certificate, as text, in order.
///
/// # Errors
/// When it does not parse.
#[cfg(test)]
pub(crate) fn certificate_names(pem: &str) -> anyhow::Result<Vec<String>> {
    let chain = der_chain(pem)?;
    let (_, certificate) = X509Certificate::from_der(&chain[0]).context("certificate")?;
    let Some(extension) = certificate.subject_alternative_name().context("SAN")? else {
        return Ok(Vec::new());
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            _ => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        },
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    Ok(extension
        .value
        .general_names
        .iter()
        .filter_map(text)
        .collect())
}
