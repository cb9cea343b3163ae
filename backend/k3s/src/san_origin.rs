//! Where each name in the API's certificate comes from: a flag, a node, k3s itself, or the past. k3s never
//! takes a name out by itself (facts A, TLS SANs).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::certs::AltName;
use crate::names::San;
use crate::sans::SanChange;
use crate::settings::{Settings, Source};

/// Names that k3s adds everywhere, besides those of the service `kubernetes`, which flags may move.
const EVERYWHERE: [&str; 6] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "localhost",
    "127.0.0.1",
    "::1",
];
/// Where the service is unless a flag says otherwise.
const DOMAIN: &str = "cluster.local";
const NETWORK: &str = "10.43.0.0/16";

/// A server as far as its certificate is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Node name.
    pub node: &'a str,
    /// Node address.
    pub address: &'a str,
    /// What its interfaces have.
    pub interfaces: &'a [IpAddr],
    /// What k3s is told there.
    pub settings: &'a Settings,
}

/// Why a name is in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--tls-san` of these servers, each with the place where it stands.
    Flag(Vec<(String, Source)>),
    /// Address of this server.
    NodeAddress(String),
    /// On an interface of this server, which is told no `--node-ip`: k3s takes the addresses of the default route,
    /// one of each family, and puts them into the certificate at every start.
    Interface(String),
    /// Name of this server.
    HostName(String),
    /// k3s adds it always.
    Standard,
    /// Nothing asks for it today: it was learned, belonged to a server that has left, or is a standard name
    /// of a version that is not known here.
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
            Origin::NodeAddress(node) | Origin::HostName(node) => write!(f, "of {node} itself"),
            Origin::Interface(node) => write!(f, "on an interface of {node}"),
            Origin::Standard => f.write_str("k3s's own"),
            Origin::History => f.write_str("asked for by nothing today"),
        }
    }
}

/// What names are judged by: everything that the servers of a cluster are told.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    flags: BTreeMap<AltName, Vec<(String, Source)>>,
    /// Told where it perhaps does not count, or in a form that k3s leaves out: neither wanted nor unwanted.
    perhaps: BTreeMap<AltName, Vec<(String, Source)>>,
    addresses: BTreeMap<AltName, String>,
    interfaces: BTreeMap<AltName, String>,
    host_names: BTreeMap<AltName, String>,
    standard: BTreeSet<AltName>,
}

impl Origins {
    /// Of these servers.
    #[must_use]
    pub fn of(servers: &[Told<'_>]) -> Self {
        let mut known = Self {
            standard: EVERYWHERE.map(AltName::from_text).into(),
            ..Self::default()
        };
        for server in servers {
            known.add(server);
        }
        known
    }

    fn add(&mut self, server: &Told<'_>) {
        let Told {
            node,
            address,
            interfaces,
            settings,
        } = server;
        if let Some(setting) = settings.get("tls-san") {
            for name in &setting.values {
                let served = name.parse::<San>().is_ok();
                let place = if served {
                    &mut self.flags
                } else {
                    &mut self.perhaps
                };
                let asking = place.entry(AltName::from_text(name)).or_default();
                asking.push(((*node).to_owned(), setting.source.clone()));
            }
        }
        let beside = settings.hidden().iter().filter(|h| h.name == "tls-san");
        for (hidden, name) in beside.flat_map(|h| h.values.iter().map(move |name| (h, name))) {
            let asking = self.perhaps.entry(AltName::from_text(name)).or_default();
            asking.push(((*node).to_owned(), Source::Config(hidden.files.clone())));
        }
        let told = |flags: &[&str]| -> Vec<AltName> {
            let values = flags.iter().flat_map(|flag| settings.values(flag));
            values.map(|value| AltName::from_text(value)).collect()
        };
        let mut addresses = told(&[
            "node-ip",
            "node-external-ip",
            "advertise-address",
            "bind-address",
        ]);
        addresses.push(AltName::from_text(address));
        let chosen = if settings.values("node-ip").is_empty() {
            let global = interfaces.iter().copied().filter(is_global);
            global.map(AltName::Ip).collect()
        } else {
            Vec::new()
        };
        let mut names = told(&["node-name"]);
        names.push(AltName::from_text(node));
        for (of, places) in [
            (addresses, &mut self.addresses),
            (chosen, &mut self.interfaces),
            (names, &mut self.host_names),
        ] {
            for name in of {
                places.entry(name).or_insert_with(|| (*node).to_owned());
            }
        }
        self.standard.extend(of_service(settings));
    }

    /// As they will be after a change of every server.
    #[must_use]
    pub fn after(mut self, change: &SanChange) -> Self {
        for name in &change.remove {
            self.flags.remove(&AltName::from(name));
            self.perhaps.remove(&AltName::from(name));
        }
        for name in &change.add {
            self.flags.entry(AltName::from(name)).or_default();
        }
        self
    }

    /// The origin of a name. A flag counts first: it is what a person can change.
    #[must_use]
    pub fn origin(&self, name: &AltName) -> Origin {
        if let Some(on) = self.flags.get(name) {
            Origin::Flag(on.clone())
        } else if let Some(node) = self.addresses.get(name) {
            Origin::NodeAddress(node.clone())
        } else if let Some(node) = self.host_names.get(name) {
            Origin::HostName(node.clone())
        } else if self.standard.contains(name) {
            Origin::Standard
        } else if let Some(on) = self.perhaps.get(name) {
            Origin::Flag(on.clone())
        } else if let Some(node) = self.interfaces.get(name) {
            Origin::Interface(node.clone())
        } else {
            Origin::History
        }
    }

    /// Nobody can say whether k3s is asked for it: see [`crate::settings`].
    #[must_use]
    pub fn is_doubtful(&self, name: &AltName) -> bool {
        self.perhaps.contains_key(name) && !self.flags.contains_key(name) && !self.is_own(name)
    }

    /// Names that a server is asked to have.
    pub fn flags(&self) -> impl Iterator<Item = &AltName> {
        self.flags.keys()
    }

    /// k3s has it in the certificate by itself.
    #[must_use]
    pub fn is_own(&self, name: &AltName) -> bool {
        self.addresses.contains_key(name)
            || self.host_names.contains_key(name)
            || self.standard.contains(name)
    }

    /// The server that has this address on an interface, where k3s perhaps takes it from.
    #[must_use]
    pub fn on_interface(&self, name: &AltName) -> Option<&str> {
        self.interfaces.get(name).map(String::as_str)
    }

    /// A server that starts adds it untold, or perhaps does.
    #[must_use]
    pub fn comes_untold(&self, name: &AltName) -> bool {
        self.is_own(name) || self.interfaces.contains_key(name)
    }

    /// A server is told of it, or k3s has it by itself for certain: it is in any certificate to come.
    #[must_use]
    pub fn is_certain(&self, name: &AltName) -> bool {
        match self.origin(name) {
            Origin::Flag(_) | Origin::NodeAddress(_) | Origin::HostName(_) | Origin::Standard => {
                true
            }
            Origin::Interface(_) | Origin::History => false,
        }
    }

    /// Those of the names that nothing asks for.
    pub fn history<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a AltName> + 'a,
    ) -> impl Iterator<Item = &'a AltName> + 'a {
        names
            .into_iter()
            .filter(|name| self.origin(name) == Origin::History)
    }
}

/// Neither of this machine nor of its link alone.
fn is_global(address: &IpAddr) -> bool {
    let link = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !link && !address.is_loopback()
}

/// Name and addresses of the service `kubernetes`.
fn of_service(settings: &Settings) -> Vec<AltName> {
    let told = |flag: &str, usual: &str| match settings.values(flag) {
        [] => vec![usual.to_owned()],
        some => some.to_vec(),
    };
    let names = told("cluster-domain", DOMAIN).into_iter();
    let addresses = told("service-cidr", NETWORK);
    names
        .map(|domain| AltName::from_text(&format!("kubernetes.default.svc.{domain}")))
        .chain(
            addresses
                .iter()
                .filter_map(|network| first_address(network))
                .map(AltName::Ip),
        )
        .collect()
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
    use crate::certs::STANDARD_NAMES;
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
                interfaces: &[],
                settings: &by_flag,
            },
            Told {
                node: "node11",
                address: "172.30.55.11",
                interfaces: &[],
                settings: &by_file,
            },
        ];
        let known = Origins::of(&servers);
        let shown = |name: &str| known.origin(&AltName::from_text(name)).to_string();
        assert_eq!(shown("cluster.lab"), "asked for by node10: command line");
        assert_eq!(
            shown("172.30.55.45"),
            format!("asked for by node10: command line, node11: {CONFIG_FILE}")
        );
        assert_eq!(shown("node11"), "of node11 itself");
        assert_eq!(shown("172.30.55.10"), "of node10 itself");
        for own in STANDARD_NAMES {
            assert_eq!(
                known.origin(&AltName::from_text(own)),
                Origin::Standard,
                "{own}"
            );
        }
        let old = AltName::from_text("old.lab");
        assert_eq!(known.origin(&old), Origin::History);
        let served = [old.clone(), AltName::from_text("cluster.lab")];
        assert_eq!(known.history(&served).collect::<Vec<_>>(), [&old]);
    }

    #[test]
    fn a_change_moves_names() {
        let settings = settings("--tls-san old.lab", "");
        let servers = [Told {
            node: "a",
            address: "10.0.0.1",
            interfaces: &[],
            settings: &settings,
        }];
        let change = SanChange {
            add: vec!["new.lab".parse().unwrap()],
            remove: vec!["old.lab".parse().unwrap()],
        };
        let after = Origins::of(&servers).after(&change);
        let flags: Vec<String> = after.flags().map(ToString::to_string).collect();
        assert_eq!(flags, ["new.lab"]);
        let old = AltName::from_text("old.lab");
        assert_eq!(after.origin(&old), Origin::History);
        assert!(after.is_own(&AltName::from_text("a")) && !after.is_own(&old));
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
            interfaces: &[],
            settings: &moved,
        }];
        let known = Origins::of(&servers);
        let of = |name: &str| known.origin(&AltName::from_text(name));
        for own in ["10.96.0.1", "fd00:1::1", "kubernetes.default.svc.lab"] {
            assert_eq!(of(own), Origin::Standard, "{own}");
        }
        assert_eq!(of("192.0.2.7"), Origin::NodeAddress("a".to_owned()));
        assert_eq!(of("a"), Origin::HostName("a".to_owned()));
        for other in ["10.96.0.2", "10.43.0.1"] {
            assert_eq!(of(other), Origin::History, "{other}");
        }
    }

    #[test]
    fn an_interface_counts_where_k3s_chooses_the_address() {
        let chooses = settings("--tls-san 192.0.2.9", "");
        let told = settings("--node-ip 10.0.0.2", "");
        let interfaces: Vec<IpAddr> = ["127.0.0.1", "fe80::1", "192.0.2.9", "2001:db8::1"]
            .map(|text| text.parse().unwrap())
            .into();
        let server = |settings| Told {
            node: "a",
            address: "10.0.0.1",
            interfaces: &interfaces,
            settings,
        };
        let of = |settings, name: &str| {
            Origins::of(&[server(settings)]).origin(&AltName::from_text(name))
        };
        let own = Origin::Interface("a".to_owned());
        assert_eq!(of(&chooses, "2001:db8:0::1"), own);
        assert_eq!(
            of(&chooses, "192.0.2.9").to_string(),
            "asked for by a: command line"
        );
        assert_eq!(of(&chooses, "fe80::1"), Origin::History);
        assert_eq!(of(&chooses, "127.0.0.1"), Origin::Standard);
        assert_eq!(of(&told, "2001:db8::1"), Origin::History);
        let known = Origins::of(&[server(&chooses)]);
        let name = AltName::from_text("2001:db8::1");
        assert!(!known.is_own(&name) && !known.is_certain(&name));
        assert_eq!(known.on_interface(&name), Some("a"));
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
