//! Proxies that are believed, as `--trusted-proxy` names them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

/// One address, or a network of them, that proxies connect from; IPv4 is plain IPv4, never mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxies(IpNet);

/// Why a text names no proxies.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoProxies {
    /// Neither an address nor a network.
    #[error("give an address (10.0.0.7) or a network (10.0.0.0/24) that the proxy connects from")]
    NotANetwork,
    /// `10.0.0.7/24`: one machine, or all of them?
    #[error(
        "this is an address inside a network; give {address} for this one machine, or {network} for the whole network"
    )]
    AddressInNetwork {
        /// The address.
        address: IpAddr,
        /// The network that it lies in.
        network: IpNet,
    },
    /// Anybody could say where a request comes from.
    #[error(
        "this is every address there is; give the one or the network that the proxy connects from"
    )]
    Everybody,
    /// Unspecified or multicast.
    #[error("no machine has this address; give the one that the proxy connects from")]
    NoMachine,
}

impl Proxies {
    /// A proxy may connect from this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// They are on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.network().is_loopback()
    }
}

impl FromStr for Proxies {
    type Err = NoProxies;

    fn from_str(text: &str) -> Result<Self, NoProxies> {
        let given = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NoProxies::NotANetwork)?,
        };
        let network = canonical(given);
        if network.prefix_len() == 0 {
            return Err(NoProxies::Everybody);
        }
        if network.addr() != network.network() {
            return Err(NoProxies::AddressInNetwork {
                address: network.addr(),
                network: network.trunc(),
            });
        }
        if network.addr().is_unspecified() || network.addr().is_multicast() {
            return Err(NoProxies::NoMachine);
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `::ffff:10.0.0.0/120` is `10.0.0.0/24`.
fn canonical(network: IpNet) -> IpNet {
    let bits = network.prefix_len().checked_sub(MAPPED);
    let mapped = bits.and_then(|bits| match network.addr().to_canonical() {
        IpAddr::V4(address) => IpNet::new(address.into(), bits).ok(),
        IpAddr::V6(_) => None,
    });
    mapped.unwrap_or(network)
}

/// Bits before an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(proxies: &str, address: &str) -> bool {
        let proxies: Proxies = proxies.parse().unwrap();
        proxies.contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_one_machine_and_a_network_all_of_its_own() {
        assert!(holds("10.0.0.7", "10.0.0.7") && !holds("10.0.0.7", "10.0.0.8"));
        assert!(holds("10.42.0.0/16", "10.42.255.1") && !holds("10.42.0.0/16", "10.43.0.1"));
        assert!(holds("fd00:1::/64", "fd00:1::9") && !holds("fd00:1::/64", "fd00:1:0:1::9"));
        assert!(!holds("fd00:1::/64", "10.0.0.7"));
        assert!(holds("127.0.0.0/8", "127.0.0.1"));
        assert!("127.0.0.0/8".parse::<Proxies>().unwrap().is_loopback());
        assert!(!"10.0.0.0/8".parse::<Proxies>().unwrap().is_loopback());
    }

    #[test]
    fn ipv4_is_the_same_however_it_is_written() {
        assert!(holds("::ffff:10.0.0.0/120", "10.0.0.7"));
        assert!(holds("::ffff:10.0.0.7", "10.0.0.7"));
        assert!(holds("10.0.0.0/24", "::ffff:10.0.0.7"));
        assert_eq!(
            "::ffff:0:0/96".parse::<Proxies>(),
            Err(NoProxies::Everybody)
        );
    }

    #[test]
    fn what_names_no_proxies_is_refused_with_what_to_give() {
        for text in [
            "",
            "proxy.lan",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.1:80",
        ] {
            assert_eq!(
                text.parse::<Proxies>(),
                Err(NoProxies::NotANetwork),
                "{text}"
            );
        }
        for text in ["0.0.0.0/0", "::/0"] {
            assert_eq!(text.parse::<Proxies>(), Err(NoProxies::Everybody), "{text}");
        }
        for text in ["0.0.0.0", "::", "0.0.0.0/1", "224.0.0.0/4", "ff02::1"] {
            assert_eq!(text.parse::<Proxies>(), Err(NoProxies::NoMachine), "{text}");
        }
        let inside = "10.0.0.7/24".parse::<Proxies>().unwrap_err().to_string();
        assert!(inside.contains("give 10.0.0.7 for") && inside.contains("or 10.0.0.0/24 for"));
    }
}
