//! Who a request comes from: the client certificate of its connection.

use rustls::pki_types::CertificateDer;

use crate::pki;

/// A user of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// Common name of the certificate.
    pub(crate) name: String,
    /// Its organisations.
    pub(crate) groups: Vec<String>,
}

impl User {
    /// The user of a connection; TLS has already checked the chain against the client CA.
    pub(crate) fn of_connection(certificates: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let (name, groups) = pki::subject(certificates?.first()?).ok()?;
        Some(Self { name, groups })
    }
}
