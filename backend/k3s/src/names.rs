//! The names people and machines give things, as types that can only hold valid ones.
//!
//! Every type parses from text ([`std::str::FromStr`], `TryFrom<String>`, serde) and displays in its
//! canonical form: DNS names in lower case, IP addresses as the standard library prints them.

mod invisible;
mod url;
mod version;

use std::net::IpAddr;

pub use invisible::{invisible, unseen, unseen_in_prose};
pub use url::{AbsPath, HttpUrl, ServerUrl};
pub use version::{Channel, K3sVersion};

/// Why a text is not the name it should be. `Display` is a sentence for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {reason}")]
pub struct NameError {
    /// What was expected, e.g. "node name".
    pub what: &'static str,
    /// The text as given, cut at 80 characters.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl NameError {
    pub(crate) fn new(what: &'static str, value: &str, reason: impl Into<String>) -> Self {
        NameError {
            what,
            value: value.chars().take(80).collect(),
            reason: reason.into(),
        }
    }
}

/// Declares a text type whose only way in is `check`, which returns the canonical form or the reason
/// against it.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The canonical text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::names::NameError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)
                    .map($name)
                    .map_err(|reason| $crate::names::NameError::new($what, text, reason))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::names::NameError;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) use checked_text;

checked_text!(
    /// A Kubernetes node name: an RFC 1123 subdomain in lower case, at most 253 characters. It names the
    /// etcd member too (`<node name>-<8 hex>`).
    NodeName, "node name", check_node_name
);
checked_text!(
    /// The name of a cluster in the panel: one RFC 1123 label. It appears in HAProxy section names and as
    /// kubeconfig context.
    ClusterName, "cluster name", check_label
);
checked_text!(
    /// A DNS name, in lower case. Never an IP address.
    HostName, "host name", check_host_name
);
checked_text!(
    /// Where a machine is reached: a DNS name or an IP address, without a port. Never starts with a dash,
    /// so it cannot be taken for an option.
    Address, "address", check_address
);
checked_text!(
    /// A POSIX user name.
    UserName, "user name", check_user_name
);
checked_text!(
    /// A subject alternative name for the API's certificate: a DNS name or an IP address. k3s drops
    /// wildcards, so they are refused.
    San, "subject alternative name", check_san
);

impl Address {
    /// The address as an IP, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    /// `address:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn with_port(&self, port: u16) -> String {
        match self.ip() {
            Some(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
            Some(IpAddr::V4(_)) | None => format!("{}:{port}", self.0),
        }
    }

    /// The address as a subject alternative name.
    #[must_use]
    pub fn to_san(&self) -> San {
        San(self.0.clone())
    }
}

impl San {
    /// The name as an IP, if it is one. An IP is never sent as SNI: k3s learns it from the `Host` header
    /// (facts A, 07).
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl NodeName {
    /// The node name as a subject alternative name: k3s puts every server's name into the certificate.
    #[must_use]
    pub fn to_san(&self) -> San {
        San(self.0.clone())
    }
}

fn check_label(text: &str) -> Result<String, String> {
    label(text)?;
    if let Some(c) = text.chars().find(char::is_ascii_uppercase) {
        return Err(format!("{c:?} is upper case; only lower case is allowed"));
    }
    Ok(text.to_owned())
}

fn check_node_name(text: &str) -> Result<String, String> {
    if let Some(c) = text.chars().find(char::is_ascii_uppercase) {
        return Err(format!(
            "{c:?} is upper case; node names are lower case only"
        ));
    }
    labels(text)?;
    Ok(text.to_owned())
}

fn check_host_name(text: &str) -> Result<String, String> {
    if text.parse::<IpAddr>().is_ok() {
        return Err("it is an IP address, not a name".to_owned());
    }
    labels(text)?;
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        // Resolvers read such names as (mistyped) IPv4 addresses.
        return Err("its last part is a number, so it looks like a mistyped IP address".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

fn check_address(text: &str) -> Result<String, String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        if ip.is_unspecified() || ip.is_multicast() {
            return Err("no machine has this address".to_owned());
        }
        return Ok(ip.to_string());
    }
    if text.starts_with('[') || text.contains(':') {
        return Err(
            "it is neither a DNS name nor an IP address; write the port separately and IPv6 without brackets"
                .to_owned(),
        );
    }
    check_host_name(text)
}

fn check_san(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("k3s does not take wildcards into its certificate".to_owned());
    }
    check_address(text)
}

fn check_user_name(text: &str) -> Result<String, String> {
    let mut chars = text.chars();
    match chars.next() {
        None => return Err("it is empty".to_owned()),
        Some(c) if c.is_ascii_lowercase() || c == '_' => {}
        Some(c) => {
            return Err(format!(
                "it starts with {c:?}; a lower-case letter or an underscore must come first"
            ));
        }
    }
    if text.len() > 32 {
        return Err("it is longer than 32 characters".to_owned());
    }
    match chars.find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(*c))) {
        Some(c) => Err(format!(
            "{c:?} is not allowed; use lower-case letters, digits, '_', '-' and '.'"
        )),
        None => Ok(text.to_owned()),
    }
}

/// Whether k3s takes this into its certificate: an address, or what dynamiclistener's `cnRegexp` lets pass. That is
/// more than a host name may be: underscores, too.
#[must_use]
pub fn is_served(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let outer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let named = name.chars().all(inner) && outer(name.chars().next()) && outer(name.chars().last());
    named || name.parse::<IpAddr>().is_ok()
}

fn labels(text: &str) -> Result<(), String> {
    if text.len() > 253 {
        return Err("it is longer than 253 characters".to_owned());
    }
    text.split('.').try_for_each(label)
}

fn label(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty or has an empty part between dots".to_owned());
    }
    if text.len() > 63 {
        return Err("a part of it is longer than 63 characters".to_owned());
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a dash must not stand first or last".to_owned());
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '-')
    {
        Some(c) => Err(format!(
            "{c:?} is not allowed; use letters, digits, '-' and '.'"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_kubernetes_accepts() {
        for ok in ["node1", "a", "node-1.example", "10-0-0-1"] {
            assert!(ok.parse::<NodeName>().is_ok(), "{ok}");
        }
        for bad in ["", "Node1", "-a", "a-", "a..b", "a_b", "a b", "a\n", "ä"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(64).parse::<NodeName>().is_err());
    }

    #[test]
    fn addresses_are_canonical_and_never_options() {
        let ok = |t: &str| t.parse::<Address>().unwrap().to_string();
        assert_eq!(ok("Node1.Example.ORG"), "node1.example.org");
        assert_eq!(ok("fd00:0:0::1"), "fd00::1");
        assert_eq!(ok("172.30.55.10"), "172.30.55.10");
        for bad in [
            "-oProxyCommand=x",
            "10.0.0.256",
            "1.2.3",
            "a:22",
            "[::1]",
            "0.0.0.0",
            "fe80::1%eth0",
            "user@host",
            "a/b",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert_eq!(
            "fd00::1".parse::<Address>().unwrap().with_port(6443),
            "[fd00::1]:6443"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = "10.0.0.256".parse::<San>().unwrap_err().to_string();
        assert!(error.contains("mistyped IP address"), "{error}");
        let error = "*.example.org".parse::<San>().unwrap_err().to_string();
        assert!(error.contains("wildcard"), "{error}");
    }

    #[test]
    fn json_goes_through_the_check() {
        assert!(serde_json::from_str::<UserName>("\"ops\"").is_ok());
        assert!(serde_json::from_str::<UserName>("\"Ops\"").is_err());
        assert!(serde_json::from_str::<UserName>("\"-ops\"").is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_and_parses_again(text in "\\PC{0,40}") {
            if let Ok(a) = text.parse::<Address>() {
                prop_assert_eq!(a.to_string().parse::<Address>().unwrap(), a.clone());
                prop_assert!(!a.as_str().starts_with('-'));
            }
            if let Ok(n) = text.parse::<NodeName>() {
                prop_assert_eq!(n.as_str(), text.as_str());
            }
        }
    }
}
