//! The certificate of :6443 as k3s keeps it: in a Secret that all servers share, in a file on each, and
//! where each of its names comes from (facts A, TLS SANs; B.6).

use std::collections::{BTreeMap, BTreeSet};

use crate::certs::AltName;

/// Namespace of the Secret.
pub const NAMESPACE: &str = "kube-system";
/// Name of the Secret.
pub const SECRET: &str = "k3s-serving";
/// Each server's own copy. With it in place a deleted name comes back at the next start.
pub const CACHE_FILE: &str = "/var/lib/rancher/k3s/server/tls/dynamic-cert.json";

/// Annotations that hold a name each.
const NAME: &str = "listener.cattle.io/cn-";

/// The names in the Secret's annotations.
#[must_use]
pub fn annotated_names(annotations: &BTreeMap<String, String>) -> BTreeSet<AltName> {
    annotations
        .iter()
        .filter(|(key, _)| key.starts_with(NAME))
        .map(|(_, name)| AltName::from_text(name))
        .collect()
}

/// Why a name is in the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A `tls-san`.
    Flag,
    /// Address of a server.
    NodeAddress,
    /// Name of a server.
    HostName,
    /// k3s adds it everywhere.
    Standard,
    /// Nothing asks for it today: it was learned, belonged to a server that has left, or is a standard name
    /// of a version that is not known here.
    History,
}

/// What a name is judged by.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// All servers' `tls-san`.
    pub flags: BTreeSet<AltName>,
    /// Servers' node names.
    pub host_names: BTreeSet<AltName>,
    /// Servers' node addresses.
    pub addresses: BTreeSet<AltName>,
    /// See [`crate::sans::own_names`].
    pub standard: BTreeSet<AltName>,
}

impl Known {
    /// Where a name comes from. A flag counts first: it is what a person can change.
    #[must_use]
    pub fn origin(&self, name: &AltName) -> Origin {
        if self.flags.contains(name) {
            Origin::Flag
        } else if self.addresses.contains(name) {
            Origin::NodeAddress
        } else if self.host_names.contains(name) {
            Origin::HostName
        } else if self.standard.contains(name) {
            Origin::Standard
        } else {
            Origin::History
        }
    }

    /// Names of that origin.
    pub fn of<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a AltName> + 'a,
        origin: Origin,
    ) -> impl Iterator<Item = &'a AltName> + 'a {
        names
            .into_iter()
            .filter(move |name| self.origin(name) == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> BTreeSet<AltName> {
        texts.iter().map(|t| AltName::from_text(t)).collect()
    }

    /// Transcript 03.
    #[test]
    fn every_name_has_an_origin() {
        let known = Known {
            flags: names(&["cluster.lab", "172.30.55.45"]),
            host_names: names(&["node10"]),
            addresses: names(&["172.30.55.10"]),
            standard: names(&["kubernetes", "localhost", "10.43.0.1"]),
        };
        for (name, origin) in [
            ("cluster.lab", Origin::Flag),
            ("node10", Origin::HostName),
            ("172.30.55.10", Origin::NodeAddress),
            ("10.43.0.1", Origin::Standard),
            ("node9", Origin::History),
        ] {
            assert_eq!(known.origin(&AltName::from_text(name)), origin, "{name}");
        }
        let served = names(&["old.lab", "cluster.lab"]);
        let history: Vec<_> = known.of(&served, Origin::History).collect();
        assert_eq!(history, [&AltName::from_text("old.lab")]);
    }

    #[test]
    fn the_secret_names_its_names() {
        let annotations = BTreeMap::from([
            (format!("{NAME}10.43.0.1"), "10.43.0.1".to_owned()),
            (format!("{NAME}fd00__1"), "fd00::1".to_owned()),
            (
                "listener.cattle.io/fingerprint".to_owned(),
                "SHA1=0".to_owned(),
            ),
        ]);
        assert_eq!(
            annotated_names(&annotations),
            names(&["10.43.0.1", "fd00::1"])
        );
    }
}
