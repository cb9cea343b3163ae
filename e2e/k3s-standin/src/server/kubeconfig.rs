//! Kubeconfig files: the administrator's with embedded data (transcript 01), the components' with file names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The administrator's kubeconfig.
pub(crate) fn admin(server: &str, ca: &str, certificate: &str, key: &str) -> String {
    let data = |text: &str| STANDARD.encode(text);
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {}\n    server: {server}\n  name: default\n\
         contexts:\n- context:\n    cluster: default\n    user: default\n  name: default\ncurrent-context: default\n\
         kind: Config\npreferences: {{}}\nusers:\n- name: default\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        data(ca),
        data(certificate),
        data(key),
    )
}

/// A component's kubeconfig that names its files.
pub(crate) fn component(server: &str, ca: &str, certificate: &str, key: &str) -> String {
    format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    server: {server}\n    certificate-authority: {ca}\n  name: local\n\
         contexts:\n- context:\n    cluster: local\n    namespace: default\n    user: user\n  name: Default\n\
         current-context: Default\nkind: Config\npreferences: {{}}\nusers:\n- name: user\n  user:\n    client-certificate: {certificate}\n    client-key: {key}\n"
    )
}
