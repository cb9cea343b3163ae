//! How a node gets its certificates: the password file, and the servers it may ask.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::fsutil::{make_dir, read, write};
use crate::logging;
use crate::paths::Paths;
use crate::server::join::{Access, Refused, authority};
use crate::server::kubeconfig;
use crate::server::options::NodeOptions;
use crate::settings::Settings;
use crate::token::Token;

/// What k3s says when a node name is taken (facts B.5).
const REJECTED: &str = "Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag";
/// Pause between tries.
const RETRY: Duration = Duration::from_secs(5);

/// Servers a node may talk to; the one that answered last stays in front.
pub(crate) struct Upstream {
    urls: Mutex<Vec<String>>,
}

impl Upstream {
    /// Starts with one server's URL.
    pub(crate) fn new(url: String) -> Self {
        Self {
            urls: Mutex::new(vec![url]),
        }
    }

    /// The server to use now.
    pub(crate) fn current(&self) -> String {
        let urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        urls.first().cloned().unwrap_or_default()
    }

    /// The current server failed: the next one is tried.
    pub(crate) fn rotate(&self) {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        if urls.len() > 1 {
            urls.rotate_left(1);
        }
    }

    /// Learns the cluster's servers, keeping the current one in front.
    pub(crate) fn learn(&self, servers: Vec<String>) {
        let mut urls = self.urls.lock().unwrap_or_else(PoisonError::into_inner);
        for server in servers {
            if !urls.contains(&server) {
                urls.push(server);
            }
        }
    }
}

/// What an agent remembers of the cluster's servers, in k3s's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KnownServers {
    /// The URL the agent was told.
    #[serde(rename = "ServerURL")]
    pub(crate) server_url: String,
    /// `host:port` of the servers it has learned of.
    pub(crate) server_addresses: Vec<String>,
}

impl KnownServers {
    fn file(paths: &Paths) -> PathBuf {
        paths.agent("etc/k3s-agent-load-balancer.json")
    }

    /// What an earlier run learned through the same URL.
    pub(crate) fn load(paths: &Paths, url: &str) -> Option<Self> {
        let known: Self = serde_json::from_str(&read(&Self::file(paths)).ok()?).ok()?;
        (known.server_url == url).then_some(known)
    }

    /// Remembers it if it has changed.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn save(&self, paths: &Paths) -> anyhow::Result<()> {
        if Self::load(paths, &self.server_url).as_ref() == Some(self) {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self).context("known servers")?;
        write(&Self::file(paths), 0o600, text)
    }

    /// URLs of the servers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.server_addresses
            .iter()
            .map(|address| format!("https://{address}"))
            .collect()
    }
}

/// Files of the kubelet's identity.
pub(crate) struct Identity {
    /// CA of the API.
    pub(crate) ca: String,
    /// Client certificate with its CA.
    pub(crate) certificate: String,
    /// Its key.
    pub(crate) key: String,
}

/// Fetches certificates and lays down the agent's files, trying until a server grants it.
///
/// # Errors
/// When files cannot be written. A server that refuses or does not answer is asked again.
pub(crate) async fn identity(
    settings: &Settings,
    node: &NodeOptions,
    token: &Token,
    upstream: &Upstream,
) -> anyhow::Result<Identity> {
    let password = node_password(&settings.paths)?;
    loop {
        match fetch(settings, node, token, &upstream.current(), &password).await {
            Ok(identity) => return Ok(identity),
            Err(error) => {
                let refused = error.downcast_ref::<Refused>();
                let forbidden =
                    refused.is_some_and(|refused| refused.status == hyper::StatusCode::FORBIDDEN);
                let text = if forbidden {
                    REJECTED.to_owned()
                } else {
                    format!("{error:#}")
                };
                logging::info(format!(
                    "Waiting to retrieve agent configuration; server is not ready: {text}"
                ));
                upstream.rotate();
                tokio::time::sleep(settings.scaled(RETRY)).await;
            }
        }
    }
}

async fn fetch(
    settings: &Settings,
    node: &NodeOptions,
    token: &Token,
    url: &str,
    password: &str,
) -> anyhow::Result<Identity> {
    let paths = &settings.paths;
    let access = Access::open(url, token, "node").await?;
    let headers = || {
        vec![
            ("k3s-Node-Name", node.name.clone()),
            ("k3s-Node-Password", password.to_owned()),
            ("k3s-Node-IP", node.address.to_string()),
        ]
    };
    make_dir(&paths.agent(""), 0o700)?;
    make_dir(&paths.agent("etc"), 0o700)?;
    make_dir(&paths.agent("pod-manifests"), 0o755)?;
    for name in ["server-ca.crt", "client-ca.crt"] {
        let answer = access.get(&format!("/v1-k3s/{name}"), Vec::new()).await?;
        write(&paths.agent(name), 0o600, &answer.body)?;
    }
    for stem in [
        "serving-kubelet",
        "client-kubelet",
        "client-kube-proxy",
        "client-k3s-controller",
    ] {
        let answer = access
            .get(&format!("/v1-k3s/{stem}.crt"), headers())
            .await?;
        let text = String::from_utf8(answer.body.to_vec()).context("certificate")?;
        let Some(at) = text.find("-----BEGIN EC PRIVATE KEY-----") else {
            bail!("certificate without key");
        };
        write(&paths.agent(&format!("{stem}.crt")), 0o600, &text[..at])?;
        write(&paths.agent(&format!("{stem}.key")), 0o600, &text[at..])?;
    }
    let shown = |name: &str| paths.shown(&paths.agent(name));
    for (file, stem) in [
        ("kubelet", "client-kubelet"),
        ("kubeproxy", "client-kube-proxy"),
        ("k3scontroller", "client-k3s-controller"),
    ] {
        let text = kubeconfig::component(
            "https://127.0.0.1:6443",
            &shown("server-ca.crt"),
            &shown(&format!("{stem}.crt")),
            &shown(&format!("{stem}.key")),
        );
        write(&paths.agent(&format!("{file}.kubeconfig")), 0o644, text)?;
    }
    Ok(Identity {
        ca: access.ca_pem.clone(),
        certificate: read(&paths.agent("client-kubelet.crt"))?,
        key: read(&paths.agent("client-kubelet.key"))?,
    })
}

fn node_password(paths: &Paths) -> anyhow::Result<String> {
    let file = paths.node_password();
    if let Ok(text) = read(&file) {
        return Ok(text.trim().to_owned());
    }
    if let Some(parent) = file.parent() {
        make_dir(parent, 0o755)?;
    }
    let password = Token::random_password();
    write(&file, 0o600, format!("{password}\n"))?;
    Ok(password)
}

/// `host:port` of the server in use.
///
/// # Errors
/// When its URL is broken.
pub(crate) fn current_authority(upstream: &Upstream) -> anyhow::Result<String> {
    authority(&upstream.current())
}
