//! Configuration, typed and checked once.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use thiserror::Error;

pub use self::proxies::{NoProxies, Proxies};
use crate::vault::KeySource;

mod proxies;

/// File name of systemd's credential with the vault key.
const CREDENTIAL: &str = "coxswain-vault-key";

/// What the panel was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Database, lock and, unless told otherwise, vault key.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How the cookie and the password are kept from others on the network.
    pub exposure: Exposure,
    /// The page's files.
    pub web_dir: PathBuf,
    /// Where the vault key is.
    pub vault_key: KeySource,
}

impl Config {
    /// The database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE)
    }
}

/// Name of the database file in the data folder.
pub const DATABASE: &str = "coxswain.db";

/// Who sees the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Plain HTTP, this machine only.
    Loopback,
    /// HTTPS with a certificate that was given, both PEM.
    Tls {
        /// Chain, leaf first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// HTTPS with a certificate that the panel makes and whose fingerprint it prints.
    SelfSigned,
    /// Plain HTTP towards proxies that do HTTPS; their `X-Forwarded-For` is believed, and nobody else is answered.
    Proxy(Vec<Proxies>),
}

impl Exposure {
    /// Browsers speak HTTPS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        match self {
            Exposure::Loopback => false,
            Exposure::Tls { .. } | Exposure::SelfSigned | Exposure::Proxy(_) => true,
        }
    }

    /// Those whose `X-Forwarded-For` is believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[Proxies] {
        match self {
            Exposure::Proxy(proxies) => proxies,
            Exposure::Loopback | Exposure::Tls { .. } | Exposure::SelfSigned => &[],
        }
    }
}

/// Options of `serve` as they were typed.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "see the command line's help")]
pub struct Options {
    pub data_dir: PathBuf,
    pub listen: Option<SocketAddr>,
    pub web_dir: Option<PathBuf>,
    pub vault_key_file: Option<PathBuf>,
    pub credentials_directory: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_self_signed: bool,
    pub trusted_proxy: Vec<Proxies>,
}

/// Why the panel does not start with these options.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Passwords and sessions would cross a network in the clear.
    #[error(
        "{0} can be reached from other machines, and passwords would cross the network in the clear. Give \
         --tls-cert and --tls-key, or --tls-self-signed, or --trusted-proxy with the address of a proxy that does \
         HTTPS; or listen on 127.0.0.1"
    )]
    InTheClear(SocketAddr),
    /// Two ways at once.
    #[error("choose one of --tls-cert with --tls-key, --tls-self-signed, and --trusted-proxy")]
    TwoWays,
    /// Half a pair.
    #[error("--tls-cert and --tls-key go together")]
    HalfAPair,
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

impl TryFrom<Options> for Config {
    type Error = ConfigError;

    fn try_from(options: Options) -> Result<Self, ConfigError> {
        let listen = options.listen.unwrap_or(LISTEN);
        let pair = match (options.tls_cert, options.tls_key) {
            (Some(certificate), Some(key)) => Some(Exposure::Tls { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfAPair),
        };
        let own = options.tls_self_signed.then_some(Exposure::SelfSigned);
        let proxy =
            (!options.trusted_proxy.is_empty()).then_some(Exposure::Proxy(options.trusted_proxy));
        let mut ways = [pair, own, proxy].into_iter().flatten();
        let exposure = match (ways.next(), ways.next()) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoWays),
            (Some(way), None) => way,
            (None, _) if listen.ip().to_canonical().is_loopback() => Exposure::Loopback,
            (None, _) => return Err(ConfigError::InTheClear(listen)),
        };
        let given = options
            .credentials_directory
            .map(|dir| dir.join(CREDENTIAL))
            .filter(|file| file.exists());
        let vault_key = match (options.vault_key_file, given) {
            (Some(file), _) => KeySource::File(file),
            (None, Some(credential)) => KeySource::Credential(credential),
            (None, None) => KeySource::File(options.data_dir.join("vault.key")),
        };
        Ok(Self {
            listen,
            exposure,
            web_dir: options.web_dir.unwrap_or_else(default_web_dir),
            vault_key,
            data_dir: options.data_dir,
        })
    }
}

/// `dist` beside the program, else in the current folder.
fn default_web_dir() -> PathBuf {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("dist")));
    beside
        .filter(|dir| dir.join("index.html").is_file())
        .unwrap_or_else(|| PathBuf::from("dist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut Options)) -> Result<Config, ConfigError> {
        let mut options = Options {
            data_dir: "/data".into(),
            ..Options::default()
        };
        change(&mut options);
        options.try_into()
    }

    #[test]
    fn loopback_is_the_default() {
        let config = config(|_| {}).unwrap();
        assert!(config.listen.ip().is_loopback());
        assert_eq!(config.exposure, Exposure::Loopback);
        assert_eq!(config.vault_key, KeySource::File("/data/vault.key".into()));
    }

    #[test]
    fn another_address_needs_tls_or_a_proxy() {
        let open = "0.0.0.0:8080".parse().unwrap();
        assert_eq!(
            config(|o| o.listen = Some(open)).unwrap_err(),
            ConfigError::InTheClear(open)
        );
        let own = config(|o| {
            o.listen = Some(open);
            o.tls_self_signed = true;
        });
        assert!(own.unwrap().exposure.is_https());
        let proxy = config(|o| {
            o.listen = Some(open);
            o.trusted_proxy = vec!["10.0.0.1".parse().unwrap()];
        });
        assert_eq!(proxy.unwrap().exposure.trusted_proxies().len(), 1);
    }

    #[test]
    fn one_way_only_and_pairs_whole() {
        let two = config(|o| {
            o.tls_self_signed = true;
            o.trusted_proxy = vec!["10.0.0.1".parse().unwrap()];
        });
        assert_eq!(two.unwrap_err(), ConfigError::TwoWays);
        assert_eq!(
            config(|o| o.tls_cert = Some("c".into())).unwrap_err(),
            ConfigError::HalfAPair
        );
    }
}
