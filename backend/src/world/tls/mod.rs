//! TLS handshakes and single HTTPS requests: which certificate is served where, and to whom.

mod handshake;
mod http;
mod verify;

use coxswain_wire::ServedCertificate;

pub(super) use handshake::handshake;
pub(super) use http::get;

/// What the client says about whom it wants to talk to. k3s re-issues its certificate by this: a DNS name in
/// SNI, an IP address in the `Host` header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// No SNI; `Host` is the address connected to.
    Plain,
    /// This DNS name as SNI and as `Host`.
    Sni(String),
    /// No SNI, this `Host`. For [`super::World::handshake`]: `GET /ping` with it first, then a new connection,
    /// whose certificate is the result.
    Host(String),
}

/// A TLS server of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsTarget {
    /// IP address or DNS name to connect to.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Whom to ask for.
    pub ask: Ask,
    /// The cluster's CA as PEM, if it is known.
    pub ca: Option<Vec<u8>>,
}

impl TlsTarget {
    /// A plain target without a known CA.
    pub fn new(address: impl Into<String>, port: u16) -> Self {
        Self {
            address: address.into(),
            port,
            ask: Ask::Plain,
            ca: None,
        }
    }

    /// Asks for somebody.
    #[must_use]
    pub fn ask(mut self, ask: Ask) -> Self {
        self.ask = ask;
        self
    }

    /// Pins the CA.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// `address:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn endpoint(&self) -> String {
        if self.address.contains(':') {
            format!("[{}]:{}", self.address, self.port)
        } else {
            format!("{}:{}", self.address, self.port)
        }
    }
}

/// What a handshake showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedChain {
    /// The leaf certificate, parsed.
    pub leaf: ServedLeaf,
    /// Leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Whether the chain verifies now, against [`TlsTarget::ca`], for the name asked for (with
    /// [`Ask::Plain`] the address); none if no CA was given.
    pub verified: Option<Result<(), String>>,
}

/// The fields of a leaf certificate that people and steps look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedLeaf {
    /// Serial, end of validity, names.
    pub certificate: ServedCertificate,
    /// Distinguished name of the subject.
    pub subject: String,
    /// Distinguished name of the issuer.
    pub issuer: String,
    /// SHA-256 of the DER, lower-case hex.
    pub sha256: String,
}

/// Answer to a request without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// At most 1 MiB.
    pub body: Vec<u8>,
    /// The certificate of the connection it came over.
    pub chain: ServedChain,
}
