//! The panel's own TLS: a certificate that was given, or one it makes once and keeps.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use crate::config::{Config, Exposure};

/// How the panel shows itself over TLS.
pub(super) struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    /// Of a certificate that the panel made: people compare it in the browser's warning.
    pub(super) fingerprint: Option<String>,
}

pub(super) fn prepare(config: &Config) -> anyhow::Result<Option<Certificate>> {
    match &config.exposure {
        Exposure::Loopback | Exposure::Proxy(_) => Ok(None),
        Exposure::Tls { certificate, key } => {
            let (config, _) = load(certificate, key)?;
            Ok(Some(Certificate {
                config,
                fingerprint: None,
            }))
        }
        Exposure::SelfSigned => {
            let (certificate, key) = (
                config.data_dir.join("tls.crt"),
                config.data_dir.join("tls.key"),
            );
            if !certificate.exists() {
                make(config, &certificate, &key)?;
            }
            let (config, fingerprint) = load(&certificate, &key)?;
            Ok(Some(Certificate {
                config,
                fingerprint: Some(fingerprint),
            }))
        }
    }
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<(Arc<ServerConfig>, String)> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate {}", certificate.display()))?;
    let leaf = chain
        .first()
        .with_context(|| format!("no certificate in {}", certificate.display()))?;
    let fingerprint = colons(&Sha256::digest(leaf));
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the key {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("the certificate {} cannot be used", certificate.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), fingerprint))
}

/// As browsers and openssl show it.
fn colons(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect::<Vec<_>>()
        .join(":")
}

fn make(config: &Config, certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    if !config.listen.ip().is_unspecified() {
        names.push(config.listen.ip().to_string());
    }
    if let Ok(own) = fs::read_to_string("/proc/sys/kernel/hostname") {
        names.push(own.trim().to_owned());
    }
    names.sort_unstable();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
    write(key, 0o600, &made.signing_key.serialize_pem())?;
    write(certificate, 0o644, &made.cert.pem())
}

fn write(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    // Truncates: a key without its certificate was left by a crash.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .with_context(|| format!("cannot write {}", path.display()))
}
