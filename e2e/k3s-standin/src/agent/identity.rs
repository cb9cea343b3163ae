//! The server's side of a node's identity: the password Secret, and the certificates it hands out.

use std::net::IpAddr;

use rand::Rng as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::api::store::{Store, StoreError};
use crate::api::{DeleteOptions, delete, resources};
use crate::fsutil::read;
use crate::paths::Paths;
use crate::pki::{Key, LeafSpec, Usage, files};
use crate::token::hex;

/// Name of the Secret with a node's password.
pub(crate) fn secret_name(node: &str) -> String {
    format!("{node}.node-password.k3s")
}

/// Whether `password` belongs to `node`; the first one to ask for a name owns it.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn check(store: &Store, node: &str, password: &str) -> Result<bool, StoreError> {
    if node.is_empty() || password.is_empty() {
        return Ok(false);
    }
    let name = secret_name(node);
    loop {
        if let Some(secret) = store
            .get(resources::secrets(), Some("kube-system"), &name)
            .await?
        {
            let stored = secret["data"]["hash"]
                .as_str()
                .and_then(decode)
                .unwrap_or_default();
            return Ok(verify(&stored, password));
        }
        let secret = json!({
            "metadata": {"name": name, "namespace": "kube-system"},
            "immutable": true,
            "stringData": {"hash": hash(password)},
        });
        match store.create(resources::secrets(), secret).await {
            Ok(_) => return Ok(true),
            Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Forgets a node's password, so that the next one it brings counts.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn forget(store: &Store, node: &str) -> Result<(), StoreError> {
    let (secrets, namespace) = (resources::secrets(), Some("kube-system"));
    let options = DeleteOptions::default();
    match delete(store, secrets, namespace, &secret_name(node), &options).await {
        Ok(_) | Err(StoreError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

fn decode(text: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .ok()?;
    String::from_utf8(bytes).ok()
}

/// `$1:<salt>:<digest>`, k3s's layout.
fn hash(password: &str) -> String {
    let salt = hex(&rand::rng().random::<[u8; 8]>());
    format!("$1:{salt}:{}", digest(&salt, password))
}

fn digest(salt: &str, password: &str) -> String {
    hex(&Sha256::digest(format!("{salt}:{password}")))
}

fn verify(stored: &str, password: &str) -> bool {
    let mut parts = stored.splitn(3, ':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("$1"), Some(salt), Some(wanted)) => digest(salt, password) == wanted,
        _ => false,
    }
}

/// Certificate with its CA, then the key, of an agent component (`client-kubelet`, `serving-kubelet`, …).
///
/// # Errors
/// When signing fails or the CA's files are missing.
pub(crate) fn certificate(
    paths: &Paths,
    stem: &str,
    node: &str,
    address: Option<IpAddr>,
) -> anyhow::Result<String> {
    let serving = stem == "serving-kubelet";
    let (common_name, organizations) = match stem {
        "client-kubelet" => (
            format!("system:node:{node}"),
            vec!["system:nodes".to_owned()],
        ),
        "serving-kubelet" => (node.to_owned(), Vec::new()),
        "client-kube-proxy" => ("system:kube-proxy".to_owned(), Vec::new()),
        _ => ("system:k3s-controller".to_owned(), Vec::new()),
    };
    let spec = LeafSpec {
        common_name,
        organizations,
        dns: if serving {
            vec![node.to_owned(), "localhost".to_owned()]
        } else {
            Vec::new()
        },
        addresses: if serving {
            [Some(std::net::Ipv4Addr::LOCALHOST.into()), address]
                .into_iter()
                .flatten()
                .collect()
        } else {
            Vec::new()
        },
        usage: if serving {
            Usage::Server
        } else {
            Usage::Client
        },
    };
    let ca = files::authority(paths, if serving { "server-ca" } else { "client-ca" })?;
    let key = Key::from_pem(&read(&paths.tls(&format!("{stem}.key")))?)?;
    Ok(format!(
        "{}{}{}",
        ca.issue(&spec, &key)?,
        ca.pem(),
        key.to_pem()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let stored = hash("secret");
        assert!(verify(&stored, "secret"));
        assert!(!verify(&stored, "other"));
        assert!(!verify("nonsense", "secret"));
    }
}
