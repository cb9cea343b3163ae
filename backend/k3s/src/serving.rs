//! The certificate of :6443 as k3s keeps it: in a Secret that all servers share, and in a file on each (facts
//! A, TLS SANs; B.6).

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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> BTreeSet<AltName> {
        texts.iter().map(|t| AltName::from_text(t)).collect()
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
