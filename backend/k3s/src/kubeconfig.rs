//! Kubeconfigs: reading the one k3s writes, and pointing it at the cluster's endpoint under the
//! cluster's name (facts A: `/etc/rancher/k3s/k3s.yaml`, server 127.0.0.1, everything named `default`).

mod merge;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, ServerUrl};

pub use merge::{MergeError, Merged, merge};

/// Where k3s writes the admin kubeconfig (mode 0600).
pub const K3S_KUBECONFIG_FILE: &str = "/etc/rancher/k3s/k3s.yaml";

/// A kubeconfig with one cluster and one user with a client certificate. `Debug` hides the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    name: String,
    server: String,
    ca_pem: Vec<u8>,
    client_cert_pem: Vec<u8>,
    client_key_pem: Vec<u8>,
}

/// Why a text is no usable kubeconfig. Never contains the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// Larger than any kubeconfig.
    #[error("the kubeconfig is larger than 256 KiB")]
    TooLarge,
    /// Not YAML, or fields are missing.
    #[error("the text is not a kubeconfig as k3s writes it")]
    Shape,
    /// The current context, its cluster or its user is not there.
    #[error("the kubeconfig has no {0}")]
    Missing(&'static str),
    /// A base64 field is damaged.
    #[error("{0} is not base64")]
    Base64(&'static str),
}

impl Kubeconfig {
    /// Reads the current context of a kubeconfig.
    ///
    /// # Errors
    /// When it is no kubeconfig, or has no client certificate and key in it.
    pub fn parse(text: &str) -> Result<Self, KubeconfigError> {
        if text.len() > 256 * 1024 {
            return Err(KubeconfigError::TooLarge);
        }
        // The parser's own message may quote the text, and with it the key.
        let file: File = serde_saphyr::from_str(text).map_err(|_| KubeconfigError::Shape)?;
        let context = file
            .contexts
            .iter()
            .find(|c| c.name == file.current_context)
            .ok_or(KubeconfigError::Missing("current context"))?;
        let cluster = file
            .clusters
            .iter()
            .find(|c| c.name == context.context.cluster)
            .ok_or(KubeconfigError::Missing("cluster of the current context"))?;
        let user = file
            .users
            .iter()
            .find(|u| u.name == context.context.user)
            .ok_or(KubeconfigError::Missing("user of the current context"))?;
        Ok(Kubeconfig {
            name: context.name.clone(),
            server: cluster.cluster.server.clone(),
            ca_pem: decode(
                "certificate-authority-data",
                &cluster.cluster.certificate_authority_data,
            )?,
            client_cert_pem: decode(
                "client-certificate-data",
                &user.user.client_certificate_data,
            )?,
            client_key_pem: decode("client-key-data", &user.user.client_key_data)?,
        })
    }

    /// The same credentials under the cluster's name, for `endpoint`.
    #[must_use]
    pub fn for_cluster(&self, cluster: &ClusterName, endpoint: &ServerUrl) -> Self {
        Kubeconfig {
            name: cluster.to_string(),
            server: endpoint.to_string(),
            ..self.clone()
        }
    }

    /// Context, cluster and user name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The API's address, `https://…`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The CA of the API's certificate.
    #[must_use]
    pub fn ca_pem(&self) -> &[u8] {
        &self.ca_pem
    }

    /// The admin's client certificate. It ages: k3s makes a new one, this copy stays old.
    #[must_use]
    pub fn client_cert_pem(&self) -> &[u8] {
        &self.client_cert_pem
    }

    /// The admin's private key. Secret.
    #[must_use]
    pub fn client_key_pem(&self) -> &[u8] {
        &self.client_key_pem
    }

    /// What a redactor has to know: the key as PEM and as it stands in the file.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        vec![
            self.client_key_pem.clone(),
            STANDARD.encode(&self.client_key_pem).into_bytes(),
        ]
    }

    /// CA, certificate and key as they stand in the file.
    fn encoded(&self) -> [String; 3] {
        [&self.ca_pem, &self.client_cert_pem, &self.client_key_pem].map(|pem| STANDARD.encode(pem))
    }

    /// The file's text, in the layout k3s writes. Secret.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let quote = |text: &str| serde_json::Value::from(text).to_string();
        let (name, server) = (quote(&self.name), quote(&self.server));
        let [ca, certificate, key] = self.encoded();
        format!(
            "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {ca}\n    server: {server}\n  name: {name}\n\
             contexts:\n- context:\n    cluster: {name}\n    user: {name}\n  name: {name}\ncurrent-context: {name}\n\
             kind: Config\npreferences: {{}}\nusers:\n- name: {name}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n",
        )
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubeconfig")
            .field("name", &self.name)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, KubeconfigError> {
    if text.is_empty() {
        return Err(KubeconfigError::Missing(field));
    }
    STANDARD
        .decode(text.trim())
        .map_err(|_| KubeconfigError::Base64(field))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    clusters: Vec<NamedCluster>,
    contexts: Vec<NamedContext>,
    current_context: String,
    users: Vec<NamedUser>,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    #[serde(default)]
    certificate_authority_data: String,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Serialize, Deserialize)]
struct ContextEntry {
    cluster: String,
    user: String,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    user: UserEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct UserEntry {
    #[serde(default)]
    client_certificate_data: String,
    #[serde(default)]
    client_key_data: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const K3S_YAML: &str = include_str!("../tests/samples/k3s.yaml");

    #[test]
    fn reads_what_k3s_writes() {
        let config = Kubeconfig::parse(K3S_YAML).unwrap();
        assert_eq!(
            (config.name(), config.server()),
            ("default", "https://127.0.0.1:6443")
        );
        assert_eq!(config.ca_pem(), b"ca\n");
        assert_eq!(config.client_key_pem(), b"the key\n");
        assert_eq!(config.to_yaml().replace('"', ""), K3S_YAML);
    }

    #[test]
    fn points_at_the_cluster() {
        let config = Kubeconfig::parse(K3S_YAML).unwrap().for_cluster(
            &"lab".parse().unwrap(),
            &"https://172.30.55.45:6443".parse().unwrap(),
        );
        let again = Kubeconfig::parse(&config.to_yaml()).unwrap();
        assert_eq!(again, config);
        assert_eq!(
            (again.name(), again.server()),
            ("lab", "https://172.30.55.45:6443")
        );
        assert!(!config.to_yaml().contains("default"));
    }

    #[test]
    fn shows_no_key() {
        let config = Kubeconfig::parse(K3S_YAML).unwrap();
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("the key") && !shown.contains("dGhl"),
            "{shown}"
        );
        let broken = K3S_YAML.replace("dGhlIGtleQo=", "dGhl!");
        assert_eq!(
            Kubeconfig::parse(&broken).unwrap_err().to_string(),
            "client-key-data is not base64"
        );
        assert_eq!(
            Kubeconfig::parse("a: [").unwrap_err(),
            KubeconfigError::Shape
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[ -~\n]{0,200}") {
            let _ = Kubeconfig::parse(&text);
        }
    }
}
