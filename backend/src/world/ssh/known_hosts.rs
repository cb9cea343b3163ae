//! Pinned host keys in the forms that ssh wants.

use super::super::{HostConnection, Result, keys};

/// The name under which a host's keys stand in its known_hosts file and ssh looks them up (`HostKeyAlias`):
/// address and port play no part in trust.
pub(super) fn alias(host: &HostConnection) -> String {
    format!("coxswain-host-{}", host.id)
}

/// Content of a known_hosts file that knows this host only.
pub(super) fn file(host: &HostConnection) -> Result<String> {
    let alias = alias(host);
    let mut text = String::new();
    for key in &host.pinned {
        // Read and checked first: a stray line must not become an entry of its own.
        keys::fingerprint(key)?;
        let plain: Vec<&str> = key.split_ascii_whitespace().take(2).collect();
        text.push_str(&format!("{alias} {}\n", plain.join(" ")));
    }
    Ok(text)
}

/// Signature algorithms for the pinned keys and no others (`HostKeyAlgorithms`), so that sshd shows a key we
/// know instead of another one of its own.
pub(super) fn algorithms(host: &HostConnection) -> Result<String> {
    let mut names: Vec<String> = Vec::new();
    for key in &host.pinned {
        let algorithm = keys::algorithm(key)?;
        if algorithm == "ssh-rsa" {
            names.extend(["rsa-sha2-512".to_owned(), "rsa-sha2-256".to_owned()]);
        } else {
            names.push(algorithm);
        }
    }
    names.dedup();
    Ok(names.join(","))
}

/// Fingerprints of the pinned keys.
pub(super) fn fingerprints(host: &HostConnection) -> Vec<String> {
    host.pinned
        .iter()
        .filter_map(|key| keys::fingerprint(key).ok())
        .collect()
}
