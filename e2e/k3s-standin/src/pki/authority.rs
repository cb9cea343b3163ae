//! Certificate authorities and what they issue. `notBefore` of a leaf is the CA's date, as k3s does (transcript 08).

use std::net::IpAddr;

use anyhow::Context as _;
use rand::Rng as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use super::ec_key::Key;

/// What a leaf may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// TLS client.
    Client,
    /// TLS server.
    Server,
    /// Both, as etcd's certificates.
    Both,
}

/// What a leaf says.
#[derive(Clone, Debug)]
pub(crate) struct LeafSpec {
    /// Common name.
    pub(crate) common_name: String,
    /// Organisations (groups, for a client).
    pub(crate) organizations: Vec<String>,
    /// DNS names, in the order of the certificate.
    pub(crate) dns: Vec<String>,
    /// Addresses, in the order of the certificate.
    pub(crate) addresses: Vec<IpAddr>,
    /// Allowed use.
    pub(crate) usage: Usage,
}

/// A CA with its key.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_before: OffsetDateTime,
}

/// k3s's CAs live ten years of 365 days.
const CA_DAYS: i64 = 3650;
/// Leaves live one year.
const LEAF_DAYS: i64 = 365;

impl Authority {
    /// A new self-signed CA named `<name>@<unix seconds>`; returns it with its key's PEM.
    ///
    /// # Errors
    /// When generation or signing fails.
    pub(crate) fn create(name: &str, now: OffsetDateTime) -> anyhow::Result<(Self, String)> {
        let now = now.replace_nanosecond(0).context("time")?;
        let key = Key::generate()?;
        let key_pem = key.to_pem();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("{name}@{}", now.unix_timestamp()),
        );
        params.not_before = now;
        params.not_after = now + Duration::days(CA_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyCertSign,
        ];
        params.serial_number = Some(SerialNumber::from(vec![0]));
        let pem = params
            .self_signed(key.pair())
            .context("self-sign CA")?
            .pem();
        let pem = unix_lines(&pem);
        Ok((Self::load(&pem, &key_pem)?, key_pem))
    }

    /// A CA from its two files.
    ///
    /// # Errors
    /// When they do not parse.
    pub(crate) fn load(pem: &str, key_pem: &str) -> anyhow::Result<Self> {
        let key = Key::from_pem(key_pem)?.into_pair();
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).context("CA PEM")?;
        let parsed = block.parse_x509().context("CA certificate")?;
        let not_before = parsed.validity().not_before.to_datetime();
        let issuer = Issuer::from_ca_cert_pem(pem, key).context("CA certificate")?;
        Ok(Self {
            pem: pem.to_owned(),
            issuer,
            not_before,
        })
    }

    /// The CA's certificate, as in its file.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for `key`; PEM of the leaf alone.
    ///
    /// # Errors
    /// When a name is not valid in a certificate.
    pub(crate) fn issue(&self, spec: &LeafSpec, key: &Key) -> anyhow::Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for organization in &spec.organizations {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization.clone());
        }
        params
            .distinguished_name
            .push(DnType::CommonName, spec.common_name.clone());
        for name in &spec.dns {
            let name = name
                .clone()
                .try_into()
                .with_context(|| format!("DNS name {name}"))?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        params
            .subject_alt_names
            .extend(spec.addresses.iter().copied().map(SanType::IpAddress));
        params.not_before = self.not_before;
        let now = OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .context("time")?;
        params.not_after = now + Duration::days(LEAF_DAYS);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = match spec.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Both => {
                vec![
                    ExtendedKeyUsagePurpose::ServerAuth,
                    ExtendedKeyUsagePurpose::ClientAuth,
                ]
            }
        };
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial());
        let certificate = params.signed_by(key.pair(), &self.issuer).context("sign")?;
        Ok(unix_lines(&certificate.pem()))
    }
}

/// 63 random bits, as Go's `rand.Int(MaxInt64)`.
fn random_serial() -> SerialNumber {
    let value = rand::rng().random::<u64>() >> 1;
    SerialNumber::from(value.to_be_bytes().to_vec())
}

fn unix_lines(pem: &str) -> String {
    pem.replace("\r\n", "\n")
}
