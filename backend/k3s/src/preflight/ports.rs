//! Listening sockets, from `ss` or `/proc/net`, and the ports a k3s server needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a server with embedded etcd and flannel listens on, and for what.
pub const SERVER_PORTS: &[(Protocol, u16, &str)] = &[
    (Protocol::Tcp, 2379, "etcd clients"),
    (Protocol::Tcp, 2380, "etcd peers"),
    (Protocol::Tcp, 2381, "etcd metrics"),
    (Protocol::Tcp, 2382, "etcd clients over HTTP"),
    (Protocol::Tcp, 6443, "API and supervisor"),
    (Protocol::Tcp, 6444, "local client load balancer"),
    (Protocol::Tcp, 10010, "containerd streams"),
    (Protocol::Tcp, 10248, "kubelet health"),
    (Protocol::Tcp, 10249, "kube-proxy metrics"),
    (Protocol::Tcp, 10250, "kubelet"),
    (Protocol::Tcp, 10256, "kube-proxy health"),
    (Protocol::Tcp, 10257, "controller manager"),
    (Protocol::Tcp, 10258, "cloud controller manager"),
    (Protocol::Tcp, 10259, "scheduler"),
    (Protocol::Udp, 8472, "flannel VXLAN"),
];

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningPort {
    /// Protocol.
    pub protocol: Protocol,
    /// Local address; `None`: all.
    pub address: Option<IpAddr>,
    /// Port.
    pub port: u16,
    /// Name of a process that holds it; `None`: unknown.
    pub process: Option<String>,
}

/// A line of `ss -Hlntup`, e.g.
/// `tcp LISTEN 0 4096 127.0.0.1:6444 0.0.0.0:* users:(("k3s-server",pid=9,fd=3))`.
pub(super) fn from_ss(line: &str) -> Option<ListeningPort> {
    let mut words = line.split_whitespace();
    let protocol = match words.next()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let local = words.nth(3)?;
    let (address, port) = local.rsplit_once(':')?;
    let process = line
        .split_once("users:((\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(name, _)| name.to_owned());
    Some(ListeningPort {
        protocol,
        address: address_of(address),
        port: port.parse().ok()?,
        process,
    })
}

/// `*`, `0.0.0.0`, `[::]`, `[::1]`, `127.0.0.53%lo`.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let text = text.split('%').next().unwrap_or(text);
    text.parse::<IpAddr>()
        .ok()
        .filter(|ip| !ip.is_unspecified())
}

/// A line of `/proc/net/tcp` (and `tcp6`, `udp`, `udp6`) behind its table's name:
/// `tcp 0: 0100007F:192C 00000000:0000 0A …`.
pub(super) fn from_proc(line: &str) -> Option<ListeningPort> {
    let mut words = line.split_whitespace();
    let table = words.next()?;
    let protocol = match table {
        "tcp" | "tcp6" => Protocol::Tcp,
        "udp" | "udp6" => Protocol::Udp,
        _ => return None,
    };
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    // 0A: TCP listens. 07: an unconnected UDP socket.
    let listens = match protocol {
        Protocol::Tcp => state == "0A",
        Protocol::Udp => state == "07",
    };
    if !listens {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(ListeningPort {
        protocol,
        address: hex_address(address).filter(|ip| !ip.is_unspecified()),
        port: u16::from_str_radix(port, 16).ok()?,
        process: None,
    })
}

/// Groups of four bytes, each in the machine's order (little-endian on all that matter here).
fn hex_address(text: &str) -> Option<IpAddr> {
    if !text.is_ascii() {
        return None;
    }
    let group = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_le_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(group(0)?))),
        32 => {
            let bytes = [group(0)?, group(8)?, group(16)?, group(24)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(
                <[u8; 16]>::try_from(bytes).ok()?,
            )))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ss() {
        let socket = from_ss(
            "tcp   LISTEN 0      4096              *:6443            *:*    users:((\"k3s-server\",pid=367,fd=14))",
        )
        .unwrap();
        assert_eq!((socket.address, socket.port), (None, 6443));
        assert_eq!(socket.process.as_deref(), Some("k3s-server"));
        let socket = from_ss("udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:*").unwrap();
        assert_eq!((socket.protocol, socket.port), (Protocol::Udp, 53));
        assert_eq!(socket.address, Some("127.0.0.53".parse().unwrap()));
        assert_eq!(
            from_ss("tcp LISTEN 0 128 [::1]:631 [::]:*")
                .unwrap()
                .address,
            Some("::1".parse().unwrap())
        );
        assert_eq!(from_ss("Netid State"), None);
    }

    #[test]
    fn reads_proc() {
        let socket = from_proc("tcp 0: 0100007F:192C 00000000:0000 0A 00000000:00000000").unwrap();
        assert_eq!(
            (socket.address, socket.port),
            (Some("127.0.0.1".parse().unwrap()), 6444)
        );
        let socket =
            from_proc("tcp6 1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 0").unwrap();
        assert_eq!(socket.address, Some("::1".parse().unwrap()));
        assert_eq!(from_proc("tcp 0: 0100007F:192C 0100007F:0001 01 0"), None);
        assert_eq!(from_proc("tcp sl local_address rem_address st"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = (from_ss(&text), from_ss(&format!("tcp a b c {text}")));
            let _ = (from_proc(&text), from_proc(&format!("tcp 0: {text} 0:0 0A")));
        }
    }
}
