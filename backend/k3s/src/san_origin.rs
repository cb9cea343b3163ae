//! Where each name in the API's certificate comes from: a flag, a node, k3s itself, or the past. k3s never
//! takes a name out by itself (facts A, TLS SANs).

use std::fmt;
use std::net::IpAddr;

use crate::certs::{AltName, STANDARD_NAMES};
use crate::settings::{Settings, Source};

/// A server as far as its certificate is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Node name.
    pub node: &'a str,
    /// Node address.
    pub address: &'a str,
    /// What k3s is told there.
    pub settings: &'a Settings,
}

/// Why a name is in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--tls-san` of these servers, each with the place where it stands.
    Flag(Vec<(String, Source)>),
    /// Name or address of this server.
    Node(String),
    /// k3s adds it always.
    Standard,
    /// Nothing asks for it today.
    History,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(on) => {
                let places: Vec<String> = on
                    .iter()
                    .map(|(node, source)| format!("{node}: {source}"))
                    .collect();
                write!(f, "asked for by {}", places.join(", "))
            }
            Origin::Node(node) => write!(f, "of {node} itself"),
            Origin::Standard => f.write_str("k3s's own"),
            Origin::History => f.write_str("asked for by nothing today"),
        }
    }
}

/// The origin of a name.
#[must_use]
pub fn origin(name: &AltName, servers: &[Told<'_>]) -> Origin {
    let is = |text: &str| AltName::from_text(text) == *name;
    let asking: Vec<(String, Source)> = servers
        .iter()
        .filter_map(|server| {
            let setting = server.settings.get("tls-san")?;
            let wanted = setting.values.iter().any(|san| is(san));
            wanted.then(|| (server.node.to_owned(), setting.source.clone()))
        })
        .collect();
    if !asking.is_empty() {
        return Origin::Flag(asking);
    }
    let own = [
        "node-ip",
        "node-external-ip",
        "advertise-address",
        "node-name",
    ];
    let of_node = servers.iter().find(|server| {
        let told = own.iter().flat_map(|flag| server.settings.values(flag));
        is(server.node) || is(server.address) || told.into_iter().any(|value| is(value))
    });
    if let Some(server) = of_node {
        return Origin::Node(server.node.to_owned());
    }
    let standard = STANDARD_NAMES.iter().any(|own| is(own))
        || servers
            .iter()
            .any(|server| of_service(name, server.settings));
    if standard {
        Origin::Standard
    } else {
        Origin::History
    }
}

/// Name or address of the service `kubernetes`, which the flags for networks move.
fn of_service(name: &AltName, settings: &Settings) -> bool {
    match name {
        AltName::Dns(dns) => settings
            .values("cluster-domain")
            .iter()
            .any(|domain| *dns == format!("kubernetes.default.svc.{}", domain.to_lowercase())),
        AltName::Ip(ip) => settings
            .values("service-cidr")
            .iter()
            .any(|network| first_address(network) == Some(*ip)),
    }
}

/// The first address of a network in CIDR notation.
fn first_address(network: &str) -> Option<IpAddr> {
    let (address, length) = network.trim().split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(v4) => {
            let mask = u32::MAX
                .checked_shl(32_u32.checked_sub(length)?)
                .unwrap_or(0);
            Some(IpAddr::from(((u32::from(v4) & mask) | 1).to_be_bytes()))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128_u32.checked_sub(length)?)
                .unwrap_or(0);
            Some(IpAddr::from(((u128::from(v6) & mask) | 1).to_be_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config_yaml::{CONFIG_FILE, Config};
    use crate::env_file::EnvFile;

    fn settings(args: &str, yaml: &str) -> Settings {
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let config = Config::merge([(CONFIG_FILE, yaml)]).unwrap();
        Settings::effective(&args, &config, &EnvFile::default())
    }

    #[test]
    fn every_name_of_the_recorded_certificate() {
        // Transcript 03: three servers, told one name and one address.
        let by_flag = settings("--tls-san cluster.lab,172.30.55.45", "");
        let by_file = settings("", "tls-san:\n- 172.30.55.45\n");
        let servers = [
            Told {
                node: "node10",
                address: "172.30.55.10",
                settings: &by_flag,
            },
            Told {
                node: "node11",
                address: "172.30.55.11",
                settings: &by_file,
            },
        ];
        let shown = |name: &str| origin(&AltName::from_text(name), &servers).to_string();
        assert_eq!(shown("cluster.lab"), "asked for by node10: command line");
        assert_eq!(
            shown("172.30.55.45"),
            format!("asked for by node10: command line, node11: {CONFIG_FILE}")
        );
        assert_eq!(shown("node11"), "of node11 itself");
        assert_eq!(shown("172.30.55.10"), "of node10 itself");
        for own in STANDARD_NAMES {
            assert_eq!(
                origin(&AltName::from_text(own), &servers),
                Origin::Standard,
                "{own}"
            );
        }
        assert_eq!(
            origin(&AltName::from_text("old.lab"), &servers),
            Origin::History
        );
    }

    #[test]
    fn the_service_moves_with_its_network() {
        let moved = settings(
            "--service-cidr 10.96.0.0/12,fd00:1::/112 --cluster-domain Lab --node-external-ip 192.0.2.7",
            "",
        );
        let servers = [Told {
            node: "a",
            address: "10.0.0.1",
            settings: &moved,
        }];
        let of = |name: &str| origin(&AltName::from_text(name), &servers);
        for own in ["10.96.0.1", "fd00:1::1", "kubernetes.default.svc.lab"] {
            assert_eq!(of(own), Origin::Standard, "{own}");
        }
        assert_eq!(of("192.0.2.7"), Origin::Node("a".to_owned()));
        assert_eq!(of("10.96.0.2"), Origin::History);
    }

    #[test]
    fn odd_networks_are_no_address() {
        for odd in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
            assert_eq!(first_address(odd), None, "{odd}");
        }
        assert_eq!(first_address("10.43.7.9/0"), Some([0, 0, 0, 1].into()));
        assert_eq!(first_address("10.43.7.8/31"), Some([10, 43, 7, 9].into()));
    }
}
